"""The text of a log: follows its end, stands still when one scrolls up, and counts what is new meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from hegelion_tui.log_text import Line, disarm, wrap

MAX_LINES = 5_000


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the screen: a part of a line."""

    line: Line
    start: int
    end: int


class LogView(ScrollView, can_focus=True):
    """At most ``MAX_LINES`` lines, wrapped to the width."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log-view--empty"}

    following: reactive[bool] = reactive(True, repaint=False)
    unseen: reactive[int] = reactive(0, repaint=False)
    """Lines that came since one scrolled up."""

    empty: reactive[str] = reactive("")
    """Stands where no line is yet."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[Line, int]] = deque()
        self._rows: deque[Row] = deque()
        self._wrapped_at = 0

    @property
    def text(self) -> str:
        """All lines, for tests and for copying."""
        return "\n".join(line.plain for line, _ in self._lines)

    def extend(self, raw: Sequence[str]) -> None:
        """Append lines as they stand in the file."""
        for text in raw[-MAX_LINES:]:
            self._append(disarm(text))
        removed = 0
        while len(self._lines) > MAX_LINES:
            _, rows = self._lines.popleft()
            removed += rows
        for _ in range(removed):
            self._rows.popleft()
        if not self.following:
            self.unseen += len(raw)
        self._settle(self.scroll_y - removed)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.following = new_value >= self.max_scroll_y

    def watch_following(self, following: bool) -> None:
        if following:
            self.unseen = 0

    def on_resize(self) -> None:
        width = self._width
        if width == self._wrapped_at:
            self._settle(self.scroll_y)
            return
        top = self._rows[round(self.scroll_y)].line if round(self.scroll_y) < len(self._rows) else None
        lines = [line for line, _ in self._lines]
        self._lines.clear()
        self._rows.clear()
        self._wrapped_at = width
        for line in lines:
            self._append(line)
        anchor = next((number for number, row in enumerate(self._rows) if row.line is top), 0)
        self._settle(anchor)

    def render_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        style, width = self.rich_style, self.size.width
        if number >= len(self._rows):
            empty = self.empty if not self._rows and y == 0 else ""
            strip = Strip([Segment(empty, self.get_component_rich_style("log-view--empty"))])
            return strip.crop_extend(0, width, style)
        row = self._rows[number]
        return Strip(self._segments(row, style)).crop_extend(0, width, style)

    def _segments(self, row: Row, style: Style) -> list[Segment]:
        coloured = row.line.coloured()
        if coloured is None:
            return [Segment(row.line.plain[row.start : row.end], style)]
        part = coloured[row.start : row.end]
        return [Segment(text, style + own if own else style) for text, own, _ in part.render(self.app.console) if text]

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    def _append(self, line: Line) -> None:
        spans = wrap(line.plain, self._wrapped_at)
        self._lines.append((line, len(spans)))
        self._rows.extend(Row(line, start, end) for start, end in spans)

    def _settle(self, y: float) -> None:
        """Show the end while following, else row ``y`` at the top, which therefore does not move."""
        following = self.following
        self.virtual_size = Size(self._width, len(self._rows))
        target = float(self.max_scroll_y) if following else max(0.0, min(y, float(self.max_scroll_y)))
        if target != self.scroll_y:
            self.scroll_target_y = self.scroll_y = target
        self.following = following
        self.refresh()
