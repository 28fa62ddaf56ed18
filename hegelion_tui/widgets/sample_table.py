"""A table of samples that reads only the rows it shows: 100,000 of them cost no more than 50."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from hegelion_core.generation.catalogue import Entry
from hegelion_tui import sample_words

_CACHED = 500
"""Rows that are kept ready."""


@dataclass
class RowMoved(Message):
    """The cursor stands on another row, or on none."""

    index: int | None


class RowOpened(Message):
    """A person wants to read the row under the cursor."""


class SampleTable(ScrollView, can_focus=True):
    """Rows of a shelf: all of them, or those that were found. The first line names the columns and stays."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"sample-table--cursor", "sample-table--empty"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "go(0)", show=False),
        Binding("end", "go(-1)", show=False),
        Binding("enter", "open", show=False),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)
    """Position among the rows that are shown."""
    empty: reactive[str] = reactive("")
    """Stands where no row is."""

    def __init__(self, read: Callable[[int], Entry | None]) -> None:
        """``read`` gives a row of the shelf by its index."""
        super().__init__()
        self._read = read
        self._entries: OrderedDict[int, Entry | None] = OrderedDict()
        self._rows: array[int] | None = None
        self._total = 0
        self.marks: set[int] = set()
        """Rows of the shelf that a person marked."""

    @property
    def count(self) -> int:
        """Rows that are shown."""
        return self._total if self._rows is None else len(self._rows)

    @property
    def index(self) -> int | None:
        """The row of the shelf under the cursor."""
        return self.row_at(self.cursor)

    @property
    def rows(self) -> Sequence[int]:
        """The rows of the shelf that are shown."""
        return range(self._total) if self._rows is None else self._rows

    def row_at(self, position: int) -> int | None:
        """The row of the shelf at a position."""
        return self.rows[position] if 0 <= position < self.count else None

    def show_all(self, total: int) -> None:
        """Show all rows of a shelf that has ``total``; the cursor stays on its row."""
        here, self._rows, self._total = self.index, None, total
        self._settle(here if here is not None else 0)

    def show_found(self, rows: array[int], *, keep: int | None) -> None:
        """Show these rows, in rising order; the cursor goes to the row ``keep``, or the next one that is shown."""
        self._rows = rows
        self._settle(bisect_left(rows, keep) if keep is not None else 0)

    def grow(self, more: Sequence[int]) -> None:
        """Show these rows too, behind the others; nothing moves."""
        assert self._rows is not None  # noqa: S101 - all rows are shown by ``show_all``
        self._rows.extend(more)
        self._settle(self.cursor)

    def forget(self) -> None:
        """The rows have to be read anew."""
        self._entries.clear()
        self.refresh()

    def mark(self) -> None:
        """Mark the row under the cursor, or not any more, and go on."""
        if (index := self.index) is not None:
            self.marks ^= {index}
            self.action_move(1)
            self.refresh()

    def watch_cursor(self, before: int, after: int) -> None:
        self._reveal()
        self.refresh()
        if before != after:
            self.post_message(RowMoved(self.index))

    def on_resize(self) -> None:
        self._settle(self.cursor)

    def on_click(self, event: events.Click) -> None:
        position = event.y - 1 + self.scroll_offset.y
        if event.y > 0 and position < self.count:
            opens = position == self.cursor or event.chain > 1
            self.cursor = position
            if opens:
                self.post_message(RowOpened())

    def action_move(self, by: int) -> None:
        self.cursor = max(0, min(self.cursor + by, self.count - 1))

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.size.height - 2))

    def action_go(self, position: int) -> None:
        self.cursor = position if position >= 0 else max(0, self.count - 1)

    def action_open(self) -> None:
        self.post_message(RowOpened())

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        columns = sample_words.Columns.fitting(width)
        if y == 0:
            return self._strip(sample_words.head(columns), width)
        position = y - 1 + self.scroll_offset.y
        index = self.row_at(position)
        if index is None:
            if y == 1 and not self.count:
                style = self.get_component_rich_style("sample-table--empty")
                return Strip([Segment(f"  {self.empty}", style)]).crop_extend(0, width, self.rich_style)
            return Strip.blank(width, self.rich_style)
        content = sample_words.row(self._entry(index), index + 1, columns, marked=index in self.marks)
        return self._strip(content, width, cursor=position == self.cursor)

    def _strip(self, content: Content, width: int, *, cursor: bool = False) -> Strip:
        style = self.get_visual_style("sample-table--cursor") if cursor else self.visual_style
        return Strip(content.render_segments(style)).crop_extend(0, width, style.rich_style)

    def _entry(self, index: int) -> Entry | None:
        if index not in self._entries:
            if len(self._entries) >= _CACHED:
                self._entries.popitem(last=False)
            self._entries[index] = self._read(index)
        return self._entries[index]

    def _settle(self, position: int) -> None:
        """Account for another number of rows."""
        self.virtual_size = Size(self.scrollable_content_region.width, self.count + 1)
        before = self.index
        self.set_reactive(SampleTable.cursor, max(0, min(position, self.count - 1)))
        self._reveal()
        self.refresh()
        if self.index != before or self.count <= 1:
            self.post_message(RowMoved(self.index))

    def _reveal(self) -> None:
        """Scroll as little as is needed to see the cursor."""
        room = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        if self.cursor < top:
            top = self.cursor
        elif self.cursor >= top + room:
            top = self.cursor - room + 1
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)
