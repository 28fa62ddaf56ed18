"""Log text for a screen: disarmed, coloured where it says so, cut into rows. Pure; knows no widget.

A log may hold anything that a model or another program wrote. Colours (SGR sequences) are kept; every other escape
sequence, control character and direction override is taken out. Markup has no meaning here.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from rich.cells import cell_len, split_graphemes
from rich.style import Style
from rich.text import Text

MAX_SHOWN = 2_000
"""Characters of a line that are shown; the file keeps the whole of it."""
WHOLE = 1 << 30
"""For ``disarm``: do not cut."""
CUT = "…"
"""Stands at the end of a line that is longer."""
_TAB = 8
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: cursor, erase, colours, modes
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC: titles, links, clipboard
    r"|[ -/]*[0-~])?"  # all the others, and an escape that nothing follows
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_REMOVED = re.compile(
    "[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f"  # controls but tab and escape, which are looked at apart
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the writing direction for a whole line
    "\ud800-\udfff]"  # lone surrogates, which no terminal can be given
)
_SEPARATORS = re.compile("[\u2028\u2029]")
_HIDES = Style(blink=False, blink2=False, conceal=False)
"""What no log may do: hide its text, or blink."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is safe to show; ``ansi`` is the same with its colour sequences, if it has any."""

    plain: str
    ansi: str = ""

    def coloured(self) -> Text | None:
        """The line with its styles, read when it is shown: most lines never are."""
        if not self.ansi:
            return None
        text = Text.from_ansi(self.ansi)
        text.stylize(_HIDES)
        return text


def disarm(raw: str, longest: int = MAX_SHOWN) -> Line:
    """``raw`` without anything that could steer a terminal; its colours stay.

    A carriage return begins the line anew, as progress bars mean it. A line of more than ``longest`` characters is cut,
    and ends in a mark.
    """
    text = raw.rstrip("\r").rpartition("\r")[2]
    if text.isascii() and text.isprintable():
        return Line(text if len(text) <= longest else text[:longest] + CUT)
    text = _SEPARATORS.sub(" ", _REMOVED.sub("", _ESCAPE.sub(_keep_colour, text)))
    if "\t" in text:
        text = _expand_tabs(text)
    if "\x1b" not in text:
        return Line(text if len(text) <= longest else text[:longest] + CUT)
    plain = _COLOUR.sub("", text)
    if len(plain) <= longest:
        return Line(plain, text)
    return Line(plain[:longest] + CUT, _cut_coloured(text, longest) + CUT)


def _keep_colour(match: re.Match[str]) -> str:
    return match[0] if _COLOUR.fullmatch(match[0]) else ""


def _cut_coloured(text: str, longest: int) -> str:
    """The first ``longest`` characters that are seen, with the colours among them."""
    parts: list[str] = []
    position = 0
    for match in _COLOUR.finditer(text):
        parts.append(text[position : min(match.start(), position + longest)])
        longest -= len(parts[-1])
        if longest <= 0:
            return "".join(parts)
        parts.append(match[0])
        position = match.end()
    return "".join([*parts, text[position : position + longest]])


def _expand_tabs(text: str) -> str:
    """Tabs as spaces up to the next multiple of eight cells; colours take no cell, wide characters two."""
    parts: list[str] = []
    column = 0
    for part in text.split("\t"):
        if parts:
            spaces = _TAB - column % _TAB
            parts.append(" " * spaces)
            column += spaces
        parts.append(part)
        column += cell_len(_COLOUR.sub("", part))
    return "".join(parts)


def wrap(text: str, width: int) -> list[tuple[int, int]]:
    """Start and end of each row when ``text`` is shown ``width`` cells wide; at least one row.

    Rows end after a space where one is in their second half; what belongs together (a letter and its marks, an emoji
    of several characters) is not parted.
    """
    if width < 1 or (len(text) <= width and text.isascii()) or cell_len(text) <= width:
        return [(0, len(text))]
    bounds, cells = (None, None) if text.isascii() else _bounds(text)
    rows: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = min(len(text), start + width) if bounds is None or cells is None else _fit(bounds, cells, start, width)
        if end < len(text):
            space = text.rfind(" ", start, end + 1) + 1
            if space > (start + end) // 2 + 1 and (bounds is None or bounds[bisect_left(bounds, space)] == space):
                end = space
        rows.append((start, end))
        start = end
    return rows


def _bounds(text: str) -> tuple[list[int], list[int]]:
    """Where the characters that are seen begin, with the text's end; and the cells that stand before each."""
    spans, _ = split_graphemes(text)
    cells = [0]
    for _, _, size in spans:
        cells.append(cells[-1] + size)
    return [start for start, _, _ in spans] + [len(text)], cells


def _fit(bounds: list[int], cells: list[int], start: int, width: int) -> int:
    """The end of what fits into ``width`` cells from ``start``; one character at least."""
    first = bisect_left(bounds, start)
    last = bisect_right(cells, cells[first] + width) - 1
    return bounds[max(last, first + 1)]


def part(text: str, left: int, width: int) -> tuple[int, int, int]:
    """What of ``text`` stands in the cells from ``left`` on, ``width`` of them: spaces before it, start and end.

    A wide character that the left edge would halve is left out, and a space stands for its other half.
    """
    if text.isascii():
        return 0, min(left, len(text)), min(left + width, len(text))
    bounds, cells = _bounds(text)
    first = bisect_left(cells, left)
    if first >= len(bounds):
        return 0, len(text), len(text)
    pad = cells[first] - left
    last = bisect_right(cells, left + width) - 1
    return pad, bounds[first], bounds[max(first, last)]
