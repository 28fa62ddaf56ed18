"""Rows that a training would have to cut: found while there is still time to do something about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from hegelion_core.conversion.chat_template import ChatTokenizer
from hegelion_core.conversion.rendering import TrainingRow
from hegelion_core.regular import open_regular

NAMED = 3
"""Rows that are named of each kind."""
ENCODED = 500
"""Long rows that are encoded, which takes some milliseconds each; of a file with more, the first ones."""
BYTES = 2
"""Bytes of a line for each token of the limit, up to which it is taken to fit: real text has more of them."""


@dataclass(frozen=True)
class TooLong:
    """Rows of a training file with more tokens than a training takes of one."""

    limit: int
    """Tokens."""
    rows: tuple[int, ...] = ()
    """Their lines, counted from 1."""
    longest: int = 0
    """Tokens of the longest."""
    complete: bool = True
    """Whether every long row was looked at."""

    def words(self) -> str:
        """What a person should know and may do, or nothing."""
        if not self.rows:
            return ""
        count = len(self.rows) if self.complete else f"At least {len(self.rows)}"
        be = "row is" if len(self.rows) == 1 and self.complete else "rows are"
        return (
            f"{count} {be} longer than {self.limit} tokens ({first_of(self.rows)}): training would cut the beginning. "
            f"Train with --max-seq-length {self.longest}, or without them."
        )

    def facts(self) -> dict[str, object]:
        """The same for programs; lengths in tokens."""
        return {
            "rows": len(self.rows),
            "first_lines": self.rows[:NAMED],
            "limit": self.limit,
            "longest": self.longest,
            "complete": self.complete,
        }


def first_of(lines: Sequence[int]) -> str:
    """``line 4``, or ``lines 4, 9, 12, ...``."""
    named = ", ".join(map(str, lines[:NAMED])) + (", ..." if len(lines) > NAMED else "")
    return f"line {named}" if len(lines) == 1 else f"lines {named}"


def too_long(path: Path, tokenizer: ChatTokenizer, limit: int) -> TooLong:
    """Look at the rows of a training file.

    Args:
        path: the file.
        tokenizer: the student's.
        limit: tokens that a row may have (``training.max_seq_length``).
    """
    decode = msgspec.json.Decoder(TrainingRow).decode
    with open_regular(path) as file:
        long = ((number, line) for number, line in enumerate(file, start=1) if len(line) > limit * BYTES)
        lengths = {
            number: len(tokenizer.encode(decode(line).text, add_special_tokens=False))
            for number, line in islice(long, ENCODED)
        }
        complete = next(long, None) is None
    found = tuple(number for number, length in lengths.items() if length > limit)
    return TooLong(limit, found, max(lengths.values(), default=0), complete)
