"""What stands at the begin of a line of our own logs: time, whose call it is, and what it says. Pure.

Whoever looks over a log finds its verdicts by their colour; nothing is told by the colour alone.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

Kind = Literal["time", "call", "part", "good", "bad"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_BEGIN = re.compile(
    r"(?P<time>(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?= ))?"
    r"(?P<call>(?:^| )\[[0-9a-f]{4}\])?"
    r"(?:(?:^| )(?:"
    r"(?P<part>asks|thesis|antithesis|synthesis|answer|Step \d+|Validation at step \d+)"
    r"|(?P<good>accepted)"
    r"|(?P<bad>(?:rejected|failed)(?: \(\w+\))?)"
    r")(?=:))?"
)


def marks(plain: str) -> list[tuple[int, int, Kind]]:
    """Start, end and kind of each of them, from left to right; empty for a line of another form."""
    found = _BEGIN.match(plain)
    return [(*found.span(kind), kind) for kind in KINDS if found[kind]] if found and found.end() else []
