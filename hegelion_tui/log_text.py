"""Log text for a screen: disarmed, coloured where it says so, cut into rows. Pure; knows no widget.

A log may hold anything that a model or another program wrote. Colours (SGR sequences) are kept; every other escape
sequence, control character and direction override is taken out. Markup has no meaning here.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len, get_character_cell_size
from rich.text import Text

from hegelion_core.spool import LineReader

MAX_SHOWN = 2_000
"""Characters of a line that are shown; the file keeps the whole of it."""
TAIL_BYTES = 128 * 1024
"""Bytes at a file's end in which the last lines are looked for."""

_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: cursor, erase, colours, modes
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC: titles, links, clipboard
    r"|[ -/]*[0-~])?"  # all the others, and an escape that nothing follows
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Controls but tab and escape, which are looked at apart; marks that turn the writing direction for a whole line.
_REMOVED = {code: None for code in (*range(32), *range(127, 160)) if code not in (0x09, 0x1B)}
_REMOVED |= dict.fromkeys((0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
_TRANSLATION: dict[int, str | None] = {**_REMOVED, 0x2028: " ", 0x2029: " "}


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is safe to show; ``ansi`` is the same with its colour sequences, if it has any."""

    plain: str
    ansi: str = ""

    def coloured(self) -> Text | None:
        """The line with its styles, read when it is shown: most lines never are."""
        return Text.from_ansi(self.ansi) if self.ansi else None


def disarm(raw: str) -> Line:
    """``raw`` without anything that could steer a terminal; its colours stay.

    A carriage return begins the line anew, as progress bars mean it.
    """
    text = raw.rstrip("\r").rpartition("\r")[2]
    if len(text) > MAX_SHOWN:
        text = text[:MAX_SHOWN] + "…"
    if text.isascii() and text.isprintable():
        return Line(text)
    text = _ESCAPE.sub(_keep_colour, text).translate(_TRANSLATION).expandtabs(4)
    # Characters of no category that Unicode gave a control's meaning since, and lone surrogates.
    text = "".join(c for c in text if c == "\x1b" or unicodedata.category(c) not in {"Cc", "Cs"})
    if "\x1b" not in text:
        return Line(text)
    return Line(_COLOUR.sub("", text), text)


def _keep_colour(match: re.Match[str]) -> str:
    return match[0] if _COLOUR.fullmatch(match[0]) else ""


def wrap(text: str, width: int) -> list[tuple[int, int]]:
    """Start and end of each row when ``text`` is shown ``width`` cells wide; at least one row.

    Rows end after a space where one is in their second half.
    """
    if width < 1 or (len(text) <= width and text.isascii()) or cell_len(text) <= width:
        return [(0, len(text))]
    rows: list[tuple[int, int]] = []
    start = 0
    while (end := _fit(text, start, width)) < len(text):
        space = text.rfind(" ", start, end + 1)
        cut = space + 1 if space > (start + end) // 2 else end
        rows.append((start, cut))
        start = cut
    if start < len(text):
        rows.append((start, len(text)))
    return rows


def _fit(text: str, start: int, width: int) -> int:
    """The end of what fits into ``width`` cells from ``start``; one character at least."""
    if text.isascii():
        return min(len(text), start + width)
    room = width
    for position in range(start, len(text)):
        room -= get_character_cell_size(text[position])
        if room < 0:
            return max(position, start + 1)
    return len(text)


def tail(path: Path, lines: int) -> LineReader:
    """A reader that begins at the last ``lines`` lines of a file, or at its begin if it is short or not there."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - TAIL_BYTES)
            file.seek(begin)
            data = file.read()
    except OSError:
        return LineReader(path)
    position = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            break
    if position < 0 and begin:  # one that began before what was read is left out
        position = data.find(b"\n")
    return LineReader(path, begin + position + 1)
