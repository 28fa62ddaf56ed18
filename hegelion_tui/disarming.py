"""The last gate before the terminal: whatever a widget shows, nothing in it steers."""

from __future__ import annotations

import re

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of text or end a line. None of them takes a cell."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, as a file's name may hold it, which no terminal can be given; it takes a cell."""


class Disarming(LineFilter):
    """Takes out of each line what steers a terminal; its width stays."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments without it."""
        return [
            segment
            if segment.text.isprintable() or segment.control
            else Segment(_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _STEERS.sub("", segment.text)), segment.style)
            for segment in segments
        ]
