"""Searching a log: patterns, how many matches there are, and the way from one to the next.

Counting remembers a number a block, not the matches: so it is exact, and small for a file of any size. Patterns are
those of ``re``; the ``regex`` library runs them, since it can be told to give up.
"""

from __future__ import annotations

import contextlib
import importlib
from array import array
from dataclasses import dataclass

from hegelion_tui.logs.file import BLOCK
from hegelion_tui.logs.text import WHOLE, disarm
from hegelion_tui.logs.volume import Cursor, Keep, Order, Volume

PATIENCE = 0.25
"""Seconds that a pattern may take on one line."""
TRIES = 3
"""A busy machine may take the processor away just then; that is no fault of the pattern's."""

_SPECIAL = set("\\.^$*+?{}[]|()")
_CONTROLS = bytes([*range(10), *range(11, 32), 127])  # all but the newline


class BadPattern(Exception):
    """A pattern that cannot be used; its text says why, on one line."""


class Pattern:
    """A regular expression. Without a capital letter in it, capitals do not matter."""

    def __init__(self, text: str) -> None:
        """Raises ``BadPattern``."""
        self.text = text
        self.too_slow = False
        self._literal = text.encode() if text.isascii() and not set(text) & _SPECIAL else None
        regex = importlib.import_module("regex")  # 20 ms, and only who searches needs it
        literal, escaped = [], False
        for character in text:
            if not escaped and character != "\\":
                literal.append(character)
            escaped = character == "\\" and not escaped
        self._exact = exact = any(character.isupper() for character in literal)
        try:
            self._compiled = regex.compile(text, regex.VERSION0 | (0 if exact else regex.IGNORECASE))
        except regex.error as error:
            raise BadPattern(" ".join(str(error).split())) from None

    def lacks(self, data: bytes) -> bool:
        """Whether it is certain, and quickly found out, that nothing matches in these lines of a file."""
        if self._literal is None or not data.isascii() or len(data.translate(None, _CONTROLS)) != len(data):
            return False  # it may be shown otherwise than it stands in the file
        return self._literal not in (data if self._exact else data.lower())

    def spans(self, line: str, patience: float = PATIENCE) -> list[tuple[int, int]]:
        """Where it matches in a line; empty matches are none.

        Raises:
            BadPattern: it took more than ``patience`` seconds on this line, ``TRIES`` times, or on one before.
        """
        for _ in range(0 if self.too_slow else TRIES):
            with contextlib.suppress(TimeoutError):
                found = self._compiled.finditer(line, timeout=patience, concurrent=True)
                return [span for span in (match.span() for match in found) if span[0] < span[1]]
        self.too_slow = True
        raise BadPattern("takes too long on a line")

    def holds(self, line: str) -> bool:
        """Whether it matches in a line; one that takes too long holds them all."""
        try:
            return bool(self.spans(line))
        except BadPattern:
            return True


@dataclass(frozen=True, slots=True)
class Spot:
    """A match: the ``nth`` of its line, from 0."""

    file: int
    offset: int
    nth: int
    span: tuple[int, int] = (0, 0)


class Hunt:
    """A pattern's matches in a volume; with ``keep``, in those of its lines that ``keep`` holds."""

    def __init__(self, volume: Volume, pattern: Pattern, keep: Keep | None = None) -> None:
        self.volume = volume
        self.pattern = pattern
        self.cancelled = False
        """Set from another thread, to end a search that is under way."""
        self.counting = False
        """Whether a thread is at it: ``advance`` is for one at a time."""
        self._keep = keep
        self._closed: list[array[int]] = [array("L") for _ in volume.files]
        self._open = [(0, 0, 0)] * len(volume.files)  # size of the file, matches and blocks beyond the closed ones

    @property
    def total(self) -> int:
        """The matches counted so far."""
        return sum(sum(closed) for closed in self._closed) + sum(count for _, count, _ in self._open)

    @property
    def behind(self) -> bool:
        """Whether there is something that is not counted yet."""
        return any(size != file.size for (size, _, _), file in zip(self._open, self.volume.files, strict=True))

    @property
    def share(self) -> float:
        """How much of the files is counted, 0 to 1."""
        done = 0
        for closed, (_, _, blocks), file in zip(self._closed, self._open, self.volume.files, strict=True):
            done += min((len(closed) + blocks) * BLOCK, file.size)
        return done / self.volume.size if self.volume.size else 1.0

    def advance(self, blocks: int) -> bool:
        """Count in so many blocks more; whether all that there is is counted. Raises ``BadPattern``."""
        for number, file in enumerate(self.volume.files):
            closed, size = self._closed[number], file.size
            while (len(closed) + 2) * BLOCK <= size:  # lines that begin in it can't grow
                if blocks <= 0 or self.cancelled:
                    return False
                closed.append(self._count(number, len(closed)))
                self._open[number] = (0, 0, 0)
                blocks -= 1
            if self._open[number][0] != size:
                left = range(len(closed), -(-size // BLOCK))
                self._open[number] = (size, sum(self._count(number, block) for block in left), len(left))
        return True

    def ordinal(self, spot: Spot) -> int:
        """The number of a match, from 1, among all; they must be counted."""
        before = 0
        for number, offset in enumerate(self.volume.at(spot.file, spot.offset)):
            block = offset // BLOCK
            closed = self._closed[number][:block]
            before += sum(closed) + sum(self._count(number, later) for later in range(len(closed), block))
            before += sum(len(s) for at, s, _ in self._lines(number, block) if at < offset)
        return before + spot.nth + 1

    def forward(self, cursor: Cursor, spot: Spot | None = None) -> Spot | None:
        """The first match after ``spot``, or from ``cursor`` on; raises ``BadPattern``."""
        if spot is not None:
            cursor = self.volume.at(spot.file, spot.offset)
            if (near := self._in_line(spot, spot.nth + 1)) is not None:
                return near
        found: list[tuple[Order, Spot]] = []
        for number, start in enumerate(cursor):
            begin = start + (spot is not None and number == spot.file)
            for block in range(start // BLOCK, self.volume.files[number].blocks):
                lines = [] if self._empty(number, block) else self._lines(number, block)
                if hit := next(((at, s, time) for at, s, time in lines if at >= begin), None):
                    found.append(((hit[2], number, hit[0]), Spot(number, hit[0], 0, hit[1][0])))
                if hit or self.cancelled:
                    break
        return min(found, key=lambda pair: pair[0])[1] if found and not self.cancelled else None

    def backward(self, cursor: Cursor, spot: Spot | None = None) -> Spot | None:
        """The last match before ``spot``, or up to ``cursor``; raises ``BadPattern``."""
        if spot is not None:
            cursor = self.volume.at(spot.file, spot.offset)
            if spot.nth > 0 and (near := self._in_line(spot, spot.nth - 1)) is not None:
                return near
        found: list[tuple[Order, Spot]] = []
        for number, end in enumerate(cursor):
            for block in range((end - 1) // BLOCK, -1, -1):
                lines = [] if self._empty(number, block) else self._lines(number, block)
                if hit := next(((at, s, time) for at, s, time in reversed(lines) if at < end), None):
                    last = len(hit[1]) - 1
                    found.append(((hit[2], number, hit[0]), Spot(number, hit[0], last, hit[1][last])))
                if hit or self.cancelled:
                    break
        return max(found, key=lambda pair: pair[0])[1] if found and not self.cancelled else None

    def _in_line(self, spot: Spot, nth: int) -> Spot | None:
        for offset, spans, _ in self._lines(spot.file, spot.offset // BLOCK):
            if offset == spot.offset and nth < len(spans):
                return Spot(spot.file, offset, nth, spans[nth])
        return None

    def _empty(self, number: int, block: int) -> bool:
        closed = self._closed[number]
        return block < len(closed) and closed[block] == 0

    def _count(self, number: int, block: int) -> int:
        return sum(len(spans) for _, spans, _ in self._lines(number, block))

    def _lines(self, number: int, block: int) -> list[tuple[int, list[tuple[int, int]], int]]:
        """Offset, matches and time of each whole line of a block that has a match."""
        if self.pattern.lacks(self.volume.files[number].read(block * BLOCK, 2 * BLOCK)):
            return []
        found = []
        for raw, time in self.volume.raw(number, block):
            text = raw.data.decode("utf-8", "replace")
            if not (text.isascii() and text.isprintable()):
                text = disarm(text, WHOLE).plain
            if raw.whole and (self._keep is None or self._keep(text)) and (spans := self.pattern.spans(text)):
                found.append((raw.offset, spans, time))
        return found
