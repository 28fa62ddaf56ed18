"""The lines of a log that are in memory: a part of it without gaps, wrapped into rows. Pure; knows no widget."""

from __future__ import annotations

from dataclasses import dataclass

from hegelion_tui.logs.text import wrap
from hegelion_tui.logs.volume import Cursor, Entry, Page

MAX_LINES = 2_000
MAX_CHARACTERS = 400_000
"""Of all lines in memory together; what lies beyond is read again when it is looked at."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the screen: a part of a line."""

    entry: Entry
    start: int
    end: int


class Window:
    """Lines between the cursors ``top`` and ``bottom``. Methods that move rows say by how many."""

    def __init__(self, top: Cursor, width: int = 0) -> None:
        """``width`` in cells; 0 does not wrap."""
        self.top = self.bottom = top
        self.rows: list[Row] = []
        self.width = width
        self._heights: list[int] = []
        self._characters = 0
        self.entries: list[Entry] = []

    def reset(self, cursor: Cursor) -> None:
        """Hold no line, and stand at ``cursor``."""
        self.__init__(cursor, self.width)  # type: ignore[misc]

    def append(self, page: Page) -> None:
        """Add lines below. A line that was not whole gives way to what became of it."""
        while self.entries and not self.entries[-1].whole:
            self._pop()
        for entry in page.entries:
            spans = self._wrap(entry)
            self.entries.append(entry)
            self._heights.append(len(spans))
            self.rows.extend(Row(entry, *span) for span in spans)
            self._characters += len(entry.line.plain)
        self.bottom = page.cursor

    def prepend(self, page: Page) -> int:
        """Add lines above; the rows that they take."""
        spans = [(entry, self._wrap(entry)) for entry in page.entries]
        rows = [Row(entry, *span) for entry, found in spans for span in found]
        self.entries[:0] = page.entries
        self._heights[:0] = [len(found) for _, found in spans]
        self.rows[:0] = rows
        self._characters += sum(len(entry.line.plain) for entry in page.entries)
        self.top = page.cursor
        return len(rows)

    def trim_top(self, keep: int) -> int:
        """Drop lines that are too many from the top, down to row ``keep`` at most; the rows that they took."""
        lines = rows = characters = 0
        top = list(self.top)
        while self._over(lines, characters) and rows + self._heights[lines] <= keep:
            entry = self.entries[lines]
            rows += self._heights[lines]
            characters += len(entry.line.plain)
            top[entry.file] = entry.end
            lines += 1
        del self.entries[:lines], self._heights[:lines], self.rows[:rows]
        self._characters -= characters
        self.top = tuple(top)
        return rows

    def trim_bottom(self, keep: int) -> None:
        """Drop lines that are too many from the bottom, but none with a row above ``keep``."""
        while self._over(0, 0) and len(self.rows) - self._heights[-1] >= keep:
            entry = self.entries[-1]
            self._pop()
            bottom = list(self.bottom)
            bottom[entry.file] = entry.offset
            self.bottom = tuple(bottom)

    def rewrap(self, width: int) -> None:
        """Wrap to another width."""
        self.width = width
        spans = [(entry, self._wrap(entry)) for entry in self.entries]
        self._heights = [len(found) for _, found in spans]
        self.rows = [Row(entry, *span) for entry, found in spans for span in found]

    def row_of(self, file: int, offset: int, index: int = 0) -> int | None:
        """The row in which character ``index`` of a line stands; ``None`` if the line is not here."""
        for number, row in enumerate(self.rows):
            if row.entry.offset == offset and row.entry.file == file and (index < row.end or row.end == 0):
                return number
            if row.entry.offset == offset and row.entry.file == file and row.end == len(row.entry.line.plain):
                return number  # beyond what is shown of it
        return None

    @property
    def widest(self) -> int:
        """Cells of the widest line, at most: what one may scroll through sideways."""
        return max(
            (len(e.line.plain) if e.line.plain.isascii() else 2 * len(e.line.plain) for e in self.entries), default=0
        )

    def _over(self, lines: int, characters: int) -> bool:
        left = len(self.entries) - lines
        return left > 1 and (left > MAX_LINES or self._characters - characters > MAX_CHARACTERS)

    def _pop(self) -> None:
        self._characters -= len(self.entries.pop().line.plain)
        height = self._heights.pop()
        del self.rows[-height:]

    def _wrap(self, entry: Entry) -> list[tuple[int, int]]:
        return wrap(entry.line.plain, self.width)
