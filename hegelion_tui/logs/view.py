"""The text of a log: follows its end, stands still when one scrolls up, and counts what is new meanwhile.

Only the lines around what is looked at are in memory (``Window``); the others are read when one comes near them.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Offset, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from hegelion_tui.logs.marks import Kind
from hegelion_tui.logs.marks import marks as begin_marks
from hegelion_tui.logs.search import BadPattern, Pattern, Spot
from hegelion_tui.logs.selecting import MAX_COPIED, copied, lines_of
from hegelion_tui.logs.text import part
from hegelion_tui.logs.turns import Turns
from hegelion_tui.logs.volume import Cursor, Keep, Page, Volume
from hegelion_tui.logs.window import MAX_LINES, Row, Window
from hegelion_tui.themes import rich_style

PAGE = 200
"""Lines that are read at a time."""
FEW = 20
"""Lines beyond two screens that are read at an end which will soon be another."""
FLOOD = 8 * 1024
"""Bytes that are new at one look, of which only the end is shown."""
COUNTED = 1 << 20
"""Bytes at most in which new lines are counted at one look."""
SLICE = 16
"""Blocks that a thread filters at a time: a pause to be cancelled in after each."""
LABELS = ("$primary", "$success", "$accent", "$secondary-lighten-2", "$error-lighten-1", "$primary-lighten-2")
"""Colours of labels in a merged log."""
COLOURS: dict[Kind, str] = {"time": "dim", "call": "dim", "part": "$primary", "good": "$success", "bad": "$error"}
MATCH, CURRENT = "underline $accent", "bold reverse $accent"


class LogView(ScrollView, can_focus=True):
    """One log, or several merged by time. Its keys are in ``hegelion_tui.actions``; its pane does what they say."""

    # Scrolling has priority: its keys need not go through all that is around a log before they do something.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "Down", priority=True),
        Binding("k,up", "scroll_up", "Up", priority=True),
        Binding("space,pagedown", "page_down", "Page down", priority=True),
        Binding("b,pageup", "page_up", "Page up", priority=True),
        ("less_than_sign", "scroll_home", "Start"),
        ("greater_than_sign,G", "scroll_end", "End"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log-view--empty"}

    virtual_size: reactive[Size] = reactive(Size(0, 0), repaint=False)
    """As any widget's, but the screen is not laid out anew when it changes: its scrollbars alone depend on it."""
    following: reactive[bool] = reactive(True, repaint=False)
    unseen: reactive[int] = reactive(0, repaint=False)
    """Lines that came since one scrolled up."""
    empty: reactive[str] = reactive("")
    """Stands where no line is yet."""
    wrapped: reactive[bool] = reactive(True, repaint=False)
    pattern: reactive[Pattern | None] = reactive[Pattern | None](None)
    """What is highlighted."""
    spot: reactive[Spot | None] = reactive[Spot | None](None)
    """The match that one is at."""

    class Moved(Message):
        """Other lines are shown, or the log has changed."""

    def __init__(self, volume: Volume, turns: Turns) -> None:
        self._strips: LRUCache[tuple[int, int, int, int], Strip] = LRUCache(256)
        super().__init__()
        self._own_style: Style | None = None
        self.rushing = False
        """Whether more came at the last look than anyone could read."""
        self.volume = volume
        self._turns = turns
        self.window = Window(volume.start)
        self.keep: Keep | None = None
        self._counted = volume.start
        self._edge = 0
        """Cells of the label in front of each line."""
        if volume.merged:
            self._edge = len(str(len(volume.files))) + 2

    @property
    def text(self) -> str:
        """The lines in memory."""
        return "\n".join(entry.line.plain for entry in self.window.entries)

    @property
    def reading(self) -> bool:
        """Whether filtered lines are being looked for in a thread."""
        return any(worker.node is self and worker.group == "load" and not worker.is_finished for worker in self.workers)

    # Reading

    def look(self) -> None:
        """Show what is new in the files; bounded, so that a flood does not hold up the keys. Raises ``OSError``."""
        if self.wrapped and self.window.width != self._width:
            self._rewrap()  # its place was found after the lines had been wrapped
        before = self.volume.size
        if self.volume.look():
            self.window.reset(self.volume.start)
            self.spot, self._counted, self.unseen = None, self.volume.start, 0
            self.following = True
        elif self.volume.size == before and self._fresh:
            self.rushing = False
            return
        if not self.volume.learn(SLICE // len(self.volume.files)):
            self._learn()
            return
        self._fresh = True
        if self.following:
            self._catch_up()
        else:
            self.rushing = False
            self._count_new()
            self._fill()
        self.post_message(self.Moved())

    _fresh = False

    def to_start(self) -> None:
        """Show the first lines."""
        self.following = False
        self._show_from(self.volume.start)

    def to_end(self) -> None:
        """Show the last lines, and follow."""
        self.following = True
        if self.window.bottom != self.volume.whole_end():
            self._jump(self.volume.whole_end())
        else:
            self._settle(0)

    def filter(self, keep: Keep | None) -> None:
        """Show only lines that ``keep`` holds; what is looked at stays, if it is one of them."""
        self.keep = keep
        first = self.first_shown
        if self.following or first is None:
            self.following = True
            self._jump(self.volume.whole_end())
        else:
            self._show_from(self.volume.at(first.entry.file, first.entry.offset))

    def show(self, spot: Spot) -> None:
        """Make a match the current one, and bring it into view."""
        self.spot = spot
        row = self.window.row_of(spot.file, spot.offset, spot.span[0])
        if row is None:
            self.following = False
            self._show_from(self.volume.at(spot.file, spot.offset))
            row = self.window.row_of(spot.file, spot.offset, spot.span[0]) or 0
        top, height = round(self.scroll_y), max(1, self._height)
        if not top <= row < top + height:
            self.following = False
            self._settle(row - height // 3)
            self._fill()
        self._reveal(spot)
        self.refresh()

    def cursor_below(self) -> Cursor:
        """The cursor below the last line that is shown."""
        row = self._last_shown
        if row is None:
            return self.volume.whole_end()
        cursor = list(self.volume.at(row.entry.file, row.entry.offset))
        cursor[row.entry.file] = row.entry.end
        return tuple(cursor)

    @work(exclusive=True, group="learn")
    async def _learn(self) -> None:
        while not await asyncio.to_thread(self.volume.learn, SLICE):
            pass
        self._fresh = False

    def _catch_up(self) -> None:
        """Show the end."""
        behind = sum(self.volume.end) - sum(self.window.bottom)
        self.rushing = self.keep is None and behind > FLOOD
        if self.rushing:
            self._jump(self.volume.whole_end())
            return
        for _ in range(MAX_LINES // PAGE):
            page = self.volume.after(self.window.bottom, PAGE, self.keep)
            self._append(page)
            if self.keep is not None or not page.more:
                break
        else:
            self._jump(self.volume.whole_end())
        self._fresh = self.window.bottom == self.volume.whole_end()
        self._counted = self.window.bottom

    def _jump(self, end: Cursor) -> None:
        """Show the lines that end at ``end``."""
        self._counted = end
        self.window.reset(end)
        self._load_above(PAGE if self.keep else 2 * self._height + FEW)
        self._append(self.volume.after(end, PAGE, self.keep))  # what is begun and not whole yet

    def _show_from(self, cursor: Cursor) -> None:
        """Show the lines from ``cursor`` on at the top, and have some more around."""
        self.window.reset(cursor)
        self.window.append(self.volume.after(cursor, PAGE, self.keep))
        self._settle(0)
        self._fill()

    def _fill(self) -> None:
        """Read on where what is shown comes near the border of what is in memory."""
        if not self.is_attached or self.reading:
            return
        rows, top, height = len(self.window.rows), round(self.scroll_y), max(1, self._height)
        if any(self.window.top) and top < height:
            self._load_above()
        elif rows - top - height < height and self.window.bottom != self.volume.whole_end():
            self._load_below()

    def _load_above(self, count: int = PAGE) -> None:
        page = self.volume.before(self.window.top, count, self.keep)
        self._prepend(page)
        if self.keep is not None and self._wanting(page):
            self._search_above()

    def _load_below(self) -> None:
        page = self.volume.after(self.window.bottom, PAGE, self.keep)
        self._append(page)
        if self.keep is not None and self._wanting(page):
            self._search_below()

    def _wanting(self, page: Page) -> bool:
        """Whether a page leaves one without what could be shown."""
        return page.more and not (page.entries and len(self.window.rows) > 2 * self._height)

    @work(exclusive=True, group="load")
    async def _search_above(self) -> None:
        """Filtered lines are far between: look for them aside."""
        await self._search(up=True)

    @work(exclusive=True, group="load")
    async def _search_below(self) -> None:
        await self._search(up=False)

    async def _search(self, *, up: bool) -> None:
        keep = self.keep
        while keep is self.keep:
            cursor = self.window.top if up else self.window.bottom
            turn = self.volume.before if up else self.volume.after
            page = await asyncio.to_thread(turn, cursor, PAGE, keep, SLICE)
            if cursor != (self.window.top if up else self.window.bottom) or keep is not self.keep:
                continue
            (self._prepend if up else self._append)(page)
            self.post_message(self.Moved())
            if not self._wanting(page):
                break

    def _append(self, page: Page) -> None:
        self.window.append(page)
        keep = len(self.window.rows) - 2 * self._height if self.following else round(self.scroll_y) - self._height
        removed = self.window.trim_top(keep)
        self._settle(self.scroll_y - removed)

    def _prepend(self, page: Page) -> None:
        added = self.window.prepend(page)
        y = self.scroll_y + added
        if not self.following:
            self.window.trim_bottom(round(y) + 2 * self._height)
        self._settle(y)

    def _count_new(self) -> None:
        end = self.volume.whole_end()
        counted, left = list(self._counted), COUNTED
        for number, file in enumerate(self.volume.files):
            data = file.read(counted[number], min(left, end[number] - counted[number]))
            left -= len(data)
            counted[number] += len(data)
            if self.keep is None:
                self.unseen += data.count(b"\n")
        if self.keep is not None:
            page = self.volume.after(self._counted, PAGE, self.keep)
            self.unseen += len(page.entries)
            counted = list(page.cursor)
        self._counted = tuple(counted)
        if self._counted != end:
            self._fresh = False

    # Scrolling

    @property
    def _height(self) -> int:
        return self.scrollable_content_region.height

    @property
    def first_shown(self) -> Row | None:
        rows = self.window.rows
        return rows[min(round(self.scroll_y), len(rows) - 1)] if rows else None

    @property
    def _last_shown(self) -> Row | None:
        rows = self.window.rows
        return rows[min(round(self.scroll_y) + max(1, self._height), len(rows)) - 1] if rows else None

    def scroll_to(self, x: float | None = None, y: float | None = None, **options: object) -> None:
        """Without animation: what is read meanwhile would move its target."""
        options["animate"] = False
        self._turns.key_pressed()
        super().scroll_to(x, y, **options)  # type: ignore[arg-type]

    def action_scroll_home(self) -> None:
        self.to_start()

    def action_scroll_end(self) -> None:
        self.to_end()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._settling:
            at_end = new_value >= self.max_scroll_y and self.window.bottom == self.volume.whole_end()
            self.following = at_end
            if not at_end:
                self._fill()
        self.post_message(self.Moved())

    _settling = False

    def watch_virtual_size(self, size: Size) -> None:
        self._scroll_update(size)

    def watch_following(self, following: bool) -> None:
        if following:
            self.unseen = 0
            self._fresh = False

    def watch_wrapped(self, wrapped: bool) -> None:
        self.set_class(not wrapped, "-unwrapped")
        self._rewrap()
        self.call_after_refresh(self._rewrap)  # with a scrollbar more or less

    def on_resize(self) -> None:
        self._rewrap()

    def on_show(self) -> None:
        self._fresh = False

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()
        self._own_style = None

    @property
    def _style(self) -> Style:
        """The style of plain text; Textual would work it out from all that is around it, at each line."""
        if self._own_style is None:
            self._own_style = self.rich_style
        return self._own_style

    def _rewrap(self) -> None:
        if not self.scrollable_content_region.width:
            return  # it has no place on the screen yet
        first = self.first_shown
        self.window.rewrap(self._width if self.wrapped else 0)
        self._strips.clear()
        row = first and self.window.row_of(first.entry.file, first.entry.offset, first.start)
        if self.wrapped:
            self.scroll_target_x = self.scroll_x = 0
        self._settle(row or 0)
        self._fill()

    @property
    def _width(self) -> int:
        return max(1, self.scrollable_content_region.width - self._edge)

    def _settle(self, y: float) -> None:
        """Show the end while following, else row ``y`` at the top, which therefore does not move."""
        width = self._width + self._edge if self.wrapped else self.window.widest + self._edge
        self._settling = True
        try:
            self.virtual_size = Size(width, len(self.window.rows))
            target = float(self.max_scroll_y) if self.following else max(0.0, min(y, float(self.max_scroll_y)))
            self.scroll_target_y = self.scroll_y = target
            self.vertical_scrollbar.position = target  # a bar that was hidden at this moment was not told
        finally:
            self._settling = False
        self.refresh()

    def _reveal(self, spot: Spot) -> None:
        """Scroll sideways until a match is seen, where lines are not wrapped."""
        left, right = spot.span
        if not self.wrapped and not self.scroll_x <= left <= right <= self.scroll_x + self._width:
            self.scroll_target_x = self.scroll_x = max(0.0, float(min(left - self._width // 4, self.max_scroll_x)))

    # Painting

    def watch_pattern(self) -> None:
        self._strips.clear()

    def watch_spot(self) -> None:
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        style, width = self._style, self.size.width
        rows = self.window.rows
        if number >= len(rows):
            empty = self.empty if not rows and y == 0 else ""
            strip = Strip([Segment(empty, self.get_component_rich_style("log-view--empty"))])
            return strip.crop_extend(0, width, style)
        row = rows[number]
        key = (row.entry.place, row.start, row.end, self.scroll_offset.x)
        if not row.entry.whole:
            return self._strip(row, style).crop_extend(0, width, style)
        if (known := self._strips.get(key)) is not None:
            return known
        strip = self._strips[key] = self._strip(row, style).crop_extend(0, width, style)
        return strip

    def _strip(self, row: Row, style: Style) -> Strip:
        entry = row.entry
        pad, start, end = 0, row.start, row.end
        if not self.wrapped:
            pad, start, end = part(entry.line.plain, self.scroll_offset.x, self._width)
        segments = [Segment(" " * pad, style)] if pad else []
        segments += self._segments(row, start, end, style)
        strip = Strip(segments).apply_offsets(start, entry.place)
        return Strip.join([self._label(row, style), strip]) if self._edge else strip

    def _label(self, row: Row, style: Style) -> Strip:
        """Whose line it is, in front of its first row."""
        number = row.entry.file + 1
        room = self._edge - 2
        text = f"{number:>{room}}" if row.start == 0 else " " * room
        colour = rich_style(LABELS[row.entry.file % len(LABELS)])
        return Strip([Segment(f"{text}│ ", style + colour)])

    def _segments(self, row: Row, start: int, end: int, style: Style) -> list[Segment]:
        line = row.entry.line
        begin = [] if line.ansi else self._begin(row, start)
        marks = [*begin, *self._matches(row, start, end), *self._selected(row)]
        if not marks and not line.ansi:
            return [Segment(line.plain[start:end], style)]
        text = line.coloured() or Text(line.plain)
        for left, right, mark in marks:
            text.stylize(mark, left, right)
        shown = text[start:end].render(self.app.console)
        return [Segment(piece, style + own if own else style) for piece, own, _ in shown if piece]

    def _begin(self, row: Row, start: int) -> list[tuple[int, int, Style]]:
        """Time, call and verdict, where a row begins with them."""
        if start:
            return []
        return [(left, right, rich_style(COLOURS[kind])) for left, right, kind in begin_marks(row.entry.line.plain)]

    def _matches(self, row: Row, start: int, end: int) -> list[tuple[int, int, Style]]:
        if self.pattern is None:
            return []
        try:
            spans = self.pattern.spans(row.entry.line.plain, patience=0.04)
        except BadPattern:
            return []  # its count says so
        match, current = rich_style(MATCH), rich_style(CURRENT)
        spot = self.spot
        here = spot is not None and (spot.file, spot.offset) == (row.entry.file, row.entry.offset)
        return [
            (left, right, current if here and spot is not None and spot.span == (left, right) else match)
            for left, right in spans
            if left < end and right > start
        ]

    # Selecting

    def _selected(self, row: Row) -> list[tuple[int, int, Style]]:
        selection = self.text_selection
        if selection is None or (span := selection.get_span(row.entry.place)) is None:
            return []
        length = len(row.entry.line.plain)
        left, right = span[0], length if span[1] == -1 else span[1]
        return [(min(left, length), min(right, length), self.screen.get_component_rich_style("screen--selection"))]

    def selection_updated(self, selection: Selection | None) -> None:
        self._strips.clear()
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        entries = self.window.entries
        if not entries:
            return None
        start = selection.start or Offset(0, entries[0].place)
        end = selection.end or Offset(MAX_COPIED, entries[-1].place)
        return copied(self.volume, start, end, self.keep), "\n"

    def select_lines(self, by: int) -> None:
        """Select the last line shown (up) or the first (down), and then line by line more; ``by`` lines."""
        entries, selection = self.window.entries, self.text_selection
        if not entries:
            return
        places = [entry.place for entry in entries]
        if selection is None or selection.start is None or selection.end is None or self._anchor not in places:
            row = self._last_shown if by < 0 else self.first_shown
            self._anchor = self._head = row.entry.place if row else places[-1]
        else:
            at = places.index(self._head) if self._head in places else len(places) - 1
            self._head = places[max(0, min(at + by, len(places) - 1))]
        low, high = sorted((self._anchor, self._head))
        length = next(len(entry.line.plain) for entry in entries if entry.place == high)
        self.screen.selections = {self: Selection(Offset(0, low), Offset(length, high))}
        self._follow_head()

    _anchor = _head = -1

    def _follow_head(self) -> None:
        row = next((n for n, row in enumerate(self.window.rows) if row.entry.place == self._head), 0)
        if row < self.scroll_y:
            self.scroll_to(y=row)
        elif row >= self.scroll_y + self._height:
            self.scroll_to(y=row - self._height + 1)

    def shown_text(self) -> str:
        """The whole lines of which something is on the screen."""
        first, last = self.first_shown, self._last_shown
        if first is None or last is None:
            return ""
        return lines_of(self.volume, first.entry, last.entry, self.keep)
