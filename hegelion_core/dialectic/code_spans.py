"""Which parts of a text are code: fenced blocks, as Markdown has them, and inline code."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple


class Fence(NamedTuple):
    """A line of a text that opens or closes a fenced block."""

    start: int
    end: int
    mark: str
    """The back quotes or tildes."""
    bare: bool
    """Nothing stands behind the mark, so it may close a block."""


_LEAD = r"[ \t>]*+(?:(?:[-*+]|\d{1,3}[.)])[ \t]++)?"
_MARK = r"(?P<mark>`{3,}+|~{3,}+)(?P<info>[^\n`]*+)(?=\n|\Z)"
_AT_LINE = re.compile(rf"^{_LEAD}{_MARK}", re.MULTILINE)
_HERE = re.compile(_LEAD + _MARK)
_INLINE = re.compile(r"`[^`\n]++`")


def may_hold_fences(text: str) -> bool:
    """A quick look; false means that there are none."""
    return ("`" in text and "```" in text) or ("~" in text and "~~~" in text)  # one character is found much faster


def line_fences(text: str) -> list[Fence]:
    """Every fence at the start of a line (behind quote marks, a bullet or a number)."""
    return [_fence(found) for found in _AT_LINE.finditer(text)] if may_hold_fences(text) else []


def fence_at(text: str, position: int) -> Fence | None:
    """The fence that begins right at ``position``, such as behind a heading on the same line."""
    found = _HERE.match(text, position)
    return _fence(found) if found else None


class Closers:
    """Which fences will still be closed: an open block that nobody closes is no block, but a slip or a cut."""

    def __init__(self, fences: list[Fence]) -> None:
        closing = [fence for fence in fences if fence.bare]
        self._starts = [fence.start for fence in closing]
        self._longest = {kind: _longest_to_come(closing, kind) for kind in "`~"}

    def will_close(self, opener: Fence) -> bool:
        """Whether a fence that closes ``opener`` follows somewhere."""
        following = bisect_right(self._starts, opener.start)
        return self._longest[opener.mark[0]][following] >= len(opener.mark)


def _longest_to_come(fences: list[Fence], kind: str) -> list[int]:
    """For each place among ``fences``, and the end, the length of the longest mark from there on."""
    lengths = [len(fence.mark) if fence.mark[0] == kind else 0 for fence in reversed(fences)]
    return [*reversed([*accumulate(lengths, max)]), 0]


def closes(fence: Fence, opener: Fence) -> bool:
    """Whether ``fence``, somewhere behind ``opener``, ends its block."""
    return fence.bare and fence.mark[0] == opener.mark[0] and len(fence.mark) >= len(opener.mark)


def blocks(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and info string of each closed fenced block, in order."""
    fences = line_fences(text)
    closers = Closers(fences)
    opener: Fence | None = None
    for fence in fences:
        if opener is None:
            opener = fence if closers.will_close(fence) else None
        elif closes(fence, opener):
            yield opener.start, fence.end, text[opener.start : opener.end].strip(" \t>`~-*+").lower()
            opener = None


def is_open(text: str) -> bool:
    """Whether a fenced block is opened and never closed."""
    if not may_hold_fences(text):
        return False
    fences = line_fences(text)
    opener: Fence | None = None
    for fence in fences:
        if opener is None:
            opener = fence
        elif closes(fence, opener):
            opener = None
    return opener is not None


def without_code(text: str) -> str:
    """``text`` without its closed fenced blocks and its inline code."""
    if "`" not in text and "~~~" not in text:
        return text
    kept, position = [], 0
    for start, end, _ in blocks(text):
        kept.append(text[position:start])
        position = end
    kept.append(text[position:])
    return _INLINE.sub(" ", "\n".join(kept))


def _fence(found: re.Match[str]) -> Fence:
    return Fence(found.start(), found.end(), found["mark"], not found["info"].strip())
