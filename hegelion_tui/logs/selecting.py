"""What of a log is copied: read from the file between two places, so that it may be longer than what is in memory."""

from __future__ import annotations

from textual.geometry import Offset

from hegelion_tui.logs.text import WHOLE, disarm
from hegelion_tui.logs.volume import Entry, Keep, Volume, spot_of

MAX_COPIED = 1 << 20
"""Characters that are copied at most: more than terminals take."""
_PAGE = 500


def copied(volume: Volume, start: Offset, end: Offset, keep: Keep | None) -> str:
    """The text from ``start`` to ``end``: x is a character of the line as it is shown, y a line's ``place``.

    Lines that are shown cut are copied whole, unless the selection ends in the part that is shown.
    """
    parts: list[str] = []
    room = MAX_COPIED
    for entry in _between(volume, start.y, end.y, keep):
        text = _whole(volume, entry)
        if entry.place == end.y and end.x < len(entry.line.plain):
            text = text[: end.x]
        if entry.place == start.y:
            text = text[start.x :]
        parts.append(text[:room])
        room -= len(text) + 1
        if room <= 0:
            break
    return "\n".join(parts)


def lines_of(volume: Volume, first: Entry, last: Entry, keep: Keep | None) -> str:
    """Whole lines, from one to another."""
    return copied(volume, Offset(0, first.place), Offset(MAX_COPIED, last.place), keep)


def _between(volume: Volume, first: int, last: int, keep: Keep | None) -> list[Entry]:
    """The lines from one place to another; about ``MAX_COPIED`` characters at most."""
    found: list[Entry] = []
    size = 0
    cursor, more = volume.at(*spot_of(first)), True
    while more and size < MAX_COPIED:
        page = volume.after(cursor, _PAGE, keep)
        for entry in page.entries:
            if entry.place > last:
                return found
            found.append(entry)
            size += len(entry.line.plain)
        cursor, more = page.cursor, page.more
    return found


def _whole(volume: Volume, entry: Entry) -> str:
    data = volume.files[entry.file].read(entry.offset, entry.end - entry.offset)
    return disarm(data.decode("utf-8", "replace").rstrip("\n"), WHOLE).plain
