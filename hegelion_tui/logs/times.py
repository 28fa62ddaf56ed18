"""When the lines of a log were written, for logs whose lines begin with the time of day (``HH:MM:SS ``).

There is no date in them, so the day is counted: a time that is earlier than the one before means midnight in between,
and the last line was written on the day on which the file was last changed. A line without a time has that of the line
before. Times never run backwards within a log, also where the clock did.
"""

from __future__ import annotations

import re
from array import array
from datetime import date

from hegelion_tui.logs.file import BLOCK, LogFile, RawLine

_TIME = re.compile(rb"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)[ ,.]")
_DAY = 24 * 3600
_CLOCK_CHANGE = 3601
"""Seconds by which a clock may be set back (summer time) without a new day."""


class Times:
    """The time in force at the begin of each block, from which that of any line follows by reading its block alone."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._starts: array[int] = array("q")
        self._base: int | None = None

    def advance(self, blocks: int) -> bool:
        """Look at so many blocks more; whether all of the file has been looked at."""
        if not self._starts and self._file.size:
            self._starts.append(self._first_time())
        for _ in range(blocks):
            block = len(self._starts) - 1
            if self._file.size < (block + 2) * BLOCK:
                break  # the lines that begin in it may still grow
            keyed = self._walk(block)
            self._starts.append(keyed[-1][1] if keyed else self._starts[block])
        done = self.known >= self._file.size
        if done and self._base is None and self._starts:
            self._anchor()
        return done

    @property
    def known(self) -> int:
        """Bytes of the file whose lines have a time."""
        return min(self._file.size, (len(self._starts) + 1) * BLOCK) if self._starts else 0

    def lines(self, block: int, start: int = 0) -> list[tuple[RawLine, int]]:
        """The whole lines that begin in a block, from ``start`` on, with their times in seconds since 0001-01-01."""
        base = self._base or 0
        return [(line, time + base) for line, time in self._walk(block) if line.offset >= start]

    def block_at(self, time: int) -> int:
        """The last block that begins before ``time``; lines from then on don't stand before it."""
        time -= self._base or 0
        low, high = 0, len(self._starts) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._starts[middle] < time else (low, middle - 1)
        return low

    def _walk(self, block: int) -> list[tuple[RawLine, int]]:
        if block > len(self._starts):
            return []  # not known yet
        time = self._starts[min(block, len(self._starts) - 1)]
        if block >= len(self._starts):  # the last but one is still open
            before = self._walk(block - 1)
            time = before[-1][1] if before else time
        found: list[tuple[RawLine, int]] = []
        for line in self._file.lines(block):
            if line.whole:
                time = _next_time(time, line.data)
                found.append((line, time))
        return found

    def _first_time(self) -> int:
        for line in self._file.lines(0):
            if match := _TIME.match(line.data):
                return _seconds(match)
        return 0

    def _anchor(self) -> None:
        """Now that all is known: the last line was written when the file was changed."""
        last = self._walk(self._file.blocks - 1) or self._walk(max(0, self._file.blocks - 2))
        day = last[-1][1] // _DAY if last else 0
        self._base = (date.fromtimestamp(self._file.modified).toordinal() - day) * _DAY


def _next_time(time: int, data: bytes) -> int:
    """The time of a line after one of ``time``: seconds, the days before counted in."""
    if (match := _TIME.match(data)) is None:
        return time
    seconds = _seconds(match)
    day, before = divmod(time, _DAY)
    if seconds < before - _CLOCK_CHANGE:
        day += 1
    return max(time, day * _DAY + seconds)


def _seconds(match: re.Match[bytes]) -> int:
    return 3600 * int(match[1]) + 60 * int(match[2]) + int(match[3])
