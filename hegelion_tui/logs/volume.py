"""One log, or several as one that is ordered by time, read page by page in both directions.

A ``Cursor`` is a place between two lines: a byte offset for each file. Whatever a page holds, the lines of each file
between its two cursors are all there, in order; so pages that touch neither lose nor repeat a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hegelion_tui.logs.file import BLOCK, LogFile, RawLine
from hegelion_tui.logs.text import WHOLE, Line, disarm
from hegelion_tui.logs.times import Times

Cursor = tuple[int, ...]
Keep = Callable[[str], bool]
Order = tuple[int, int, int]
"""Time, file and offset: how lines are ordered. The time is 0 if there is one file."""

NEAR = 8
"""Blocks of each file that one page may read."""
_OFFSET_BITS, _FILE_BITS = 48, 6


@dataclass(frozen=True, slots=True)
class Entry:
    """A line with its place."""

    file: int
    offset: int
    end: int
    time: int
    line: Line
    whole: bool = True

    @property
    def order(self) -> Order:
        return self.time, self.file, self.offset

    @property
    def place(self) -> int:
        """The line's order as one integer, for text selections."""
        return ((self.time << _FILE_BITS | self.file) << _OFFSET_BITS) | self.offset


def spot_of(place: int) -> tuple[int, int]:
    """File and offset of a ``place``."""
    return place >> _OFFSET_BITS & (1 << _FILE_BITS) - 1, place & (1 << _OFFSET_BITS) - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in their order; the cursor on the far side of them; whether there is more beyond."""

    entries: list[Entry]
    cursor: Cursor
    more: bool


@dataclass
class _Strand:
    """What one file adds to a page."""

    entries: list[Entry]
    reached: int
    """Offset up to which everything was looked at."""
    exhausted: bool
    limit: Order


class Volume:
    """Reads files as they were at the last ``look``; up to 64 of them."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.files = [LogFile(path) for path in paths]
        self._times = [Times(file) for file in self.files] if len(paths) > 1 else []
        self._whole_end: tuple[Cursor, Cursor] = self.start, self.start

    @property
    def merged(self) -> bool:
        return bool(self._times)

    @property
    def start(self) -> Cursor:
        return (0,) * len(self.files)

    @property
    def end(self) -> Cursor:
        """The end of what can be read now."""
        if self.merged:
            return tuple(times.known for times in self._times)
        return (self.files[0].size,)

    def whole_end(self) -> Cursor:
        """The end of the last whole line of each file; what was begun after it is still being written."""
        if self._whole_end[0] == self.end:
            return self._whole_end[1]
        ends: list[int] = []
        for number, end in enumerate(self.end):
            last = -(-end // BLOCK) - 1
            blocks = (self.files[number].lines(block, last=1) for block in range(last, max(-1, last - 3), -1))
            line = next((lines[-1] for lines in blocks if lines), None)
            ends.append(0 if line is None else line.end if line.whole else line.offset)
        self._whole_end = self.end, tuple(ends)
        return tuple(ends)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def look(self) -> bool:
        """Notice what was written; whether a file was cut or replaced, so that all cursors are void.

        Raises:
            OSError: a file cannot be read.
        """
        other = False
        for number, file in enumerate(self.files):
            if file.look():
                other = True
                self._whole_end = self.start, self.start
                if self._times:
                    self._times[number] = Times(file)
        return other

    def learn(self, blocks: int) -> bool:
        """Find out when lines were written, at most so many blocks of each file; whether all of it is known now."""
        done = [times.advance(blocks) for times in self._times]
        return all(done)

    def before(self, cursor: Cursor, count: int, keep: Keep | None = None, blocks: int = NEAR) -> Page:
        """Up to ``count`` lines that end at ``cursor``; only those that ``keep`` holds, if it is given.

        Looks at a bounded part of each file: a page without lines may have more beyond it.
        """
        strands = [self._strand_before(number, cursor[number], count, keep, blocks) for number in range(len(cursor))]
        limit = max((strand.limit for strand in strands if not strand.exhausted), default=(-1, 0, 0))
        found = sorted((e for strand in strands for e in strand.entries if e.order >= limit), key=_order)[-count:]
        first = found[0].order if len(found) == count else limit
        ends: list[int] = []
        for strand in strands:
            left = [entry for entry in strand.entries if entry.order < first]
            ends.append(left[-1].end if left else strand.reached)
        return Page(found, tuple(ends), any(ends))

    def after(self, cursor: Cursor, count: int, keep: Keep | None = None, blocks: int = NEAR) -> Page:
        """Up to ``count`` lines that begin at ``cursor``; else as ``before``."""
        strands = [self._strand_after(number, cursor[number], count, keep, blocks) for number in range(len(cursor))]
        limit = min((strand.limit for strand in strands if not strand.exhausted), default=None)
        ahead = [e for strand in strands for e in strand.entries if limit is None or e.order <= limit]
        found = sorted(ahead, key=_order)[:count]
        last = found[-1].order if len(found) == count else limit
        ends: list[int] = []
        for strand in strands:
            left = [entry for entry in strand.entries if last is not None and entry.order > last]
            partial = [entry for entry in strand.entries if not entry.whole]
            ends.append((left or partial)[0].offset if left or partial else strand.reached)
        more = len(found) < len([e for strand in strands for e in strand.entries])
        return Page(found, tuple(ends), more or not all(strand.exhausted for strand in strands))

    def at(self, number: int, offset: int) -> Cursor:
        """The cursor in front of the line of file ``number`` that begins at ``offset``."""
        if not self.merged:
            return (offset,)
        time = next((time for line, time in self._times[number].lines(offset // BLOCK, offset)), 0)
        return tuple(
            offset if other == number else self._split(other, (time, number, offset))
            for other in range(len(self.files))
        )

    def raw(self, number: int, block: int, start: int = 0) -> list[tuple[RawLine, int]]:
        """The lines that begin in a block of a file, with their times."""
        if self.merged:
            return self._times[number].lines(block, start)
        return [(line, 0) for line in self.files[number].lines(block, start)]

    def _split(self, number: int, order: Order) -> int:
        """Where in another file the lines begin that come after ``order``."""
        end = self.end[number]
        for block in range(self._times[number].block_at(order[0]), -(-end // BLOCK)):
            for line, time in self.raw(number, block):
                if (time, number, line.offset) > order:
                    return line.offset
        return end

    def _strand_before(self, number: int, end: int, count: int, keep: Keep | None, blocks: int) -> _Strand:
        found: list[Entry] = []
        reached, limit = end, (1 << 62, 0, 0)
        for block in range((end - 1) // BLOCK, max(-1, (end - 1) // BLOCK - blocks), -1):
            lines = [pair for pair in self.raw(number, block) if pair[0].offset < end]
            for raw, time in reversed(lines):
                reached, limit = raw.offset, (time, number, raw.offset)
                if (raw.whole or keep is None) and (entry := self._entry(number, raw, time, keep)):
                    found.append(entry)
                    if len(found) == count:
                        return _Strand(found[::-1], reached, reached == 0, limit)
        return _Strand(found[::-1], reached, reached == 0, limit)

    def _strand_after(self, number: int, start: int, count: int, keep: Keep | None, blocks: int) -> _Strand:
        found: list[Entry] = []
        reached, end, limit = start, self.end[number], (-1, 0, 0)
        for block in range(start // BLOCK, min(-(-end // BLOCK), start // BLOCK + blocks)):
            for raw, time in self.raw(number, block, start):
                if raw.offset >= end:
                    break
                if not raw.whole and keep is not None:
                    return _Strand(found, reached, True, limit)
                reached, limit = raw.end, (time, number, raw.offset)
                if entry := self._entry(number, raw, time, keep):
                    found.append(entry)
                    if len(found) == count:
                        return _Strand(found, reached, reached >= end, limit)
        exhausted = reached >= end or start // BLOCK + blocks >= -(-end // BLOCK)
        return _Strand(found, reached, exhausted, limit)

    @staticmethod
    def _entry(number: int, raw: RawLine, time: int, keep: Keep | None) -> Entry | None:
        text = raw.data.decode("utf-8", "replace")
        if keep is not None and not keep(disarm(text, WHOLE).plain):
            return None
        return Entry(number, raw.offset, raw.end, time, disarm(text), raw.whole)


def _order(entry: Entry) -> Order:
    return entry.order
