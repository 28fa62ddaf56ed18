"""Samples in words for the screen. Pure: an entry or a page and a width in, styled text out.

Colours are names of the theme; no meaning is in a colour alone. Texts of models are shown as text.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from textual.content import Content

from hegelion_core.commands.text import printable
from hegelion_core.generation.catalogue import Entry, Page, View

MUTED = "dim"
MAX_SHOWN = 20_000
"""Characters of a part that are shown; the file keeps the whole of it."""
STATES: dict[View, tuple[str, ...]] = {
    "samples": ("accepted", "accepted by hand", "edited", "rejected by hand", "duplicate", "unusable"),
    "attempts": ("rejected", "failed", "accepted by hand", "edited"),
}
"""The states that rows can have, in the order in which the filter goes through them."""
_GLYPHS = {
    "accepted": ("✓", "$success"),
    "accepted by hand": ("✓", "bold $success"),
    "edited": ("✎", "bold $success"),
    "rejected by hand": ("✗", "bold $error"),
    "duplicate": ("=", MUTED),
    "unusable": ("✗", "$warning"),
    "rejected": ("✗", "$warning"),
    "failed": ("!", "$error"),
}
_ACTIONS = {"accept": "accepted", "reject": "rejected", "edit": "edited"}


@dataclass(frozen=True)
class Columns:
    """Widths of a table's columns in cells; 0: left out."""

    number: int
    prompt: int
    teacher: int
    length: int
    state: int

    @classmethod
    def fitting(cls, width: int) -> Columns:
        number, length = 9, 8
        state = 19 if width >= 60 else 10
        teacher = 16 if width >= 90 else 0
        return cls(number, max(8, width - number - length - state - teacher), teacher, length, state)


def head(columns: Columns) -> Content:
    """The names of the columns."""
    names = (
        ("number".rjust(columns.number - 2) + "  ", columns.number),
        ("prompt", columns.prompt),
        ("teacher", columns.teacher),
        ("chars".rjust(columns.length - 2) + "  ", columns.length),
        ("state", columns.state),
    )
    return Content.assemble(("".join(name[:width].ljust(width) for name, width in names), MUTED))


def row(entry: Entry | None, number: int, columns: Columns, *, marked: bool) -> Content:
    """A row of the table, without the cursor."""
    mark = ("◆ ", "bold $accent") if marked else "  "
    shown = f"{number:,}".rjust(columns.number - 2)
    if entry is None:
        return Content.assemble(mark, (shown, MUTED))
    glyph, style = _GLYPHS.get(entry.state, ("?", MUTED))
    state = f"{glyph} {entry.reason.replace('_', ' ')}" if _tells_reason(entry) else f"{glyph} {entry.state}"
    return Content("").join(
        [
            Content.assemble((shown, MUTED), mark),
            _cell(one_line(entry.prompt) or "(no prompt)", columns.prompt),
            _cell(one_line(entry.teacher), columns.teacher, MUTED),
            Content.assemble((f"{entry.length:,}".rjust(columns.length - 2) + "  ", MUTED)),
            _cell(one_line(state), columns.state, style, gap=0),
        ]
    )


def one_line(text: str) -> str:
    """A text on one line, harmless."""
    return printable(" ".join(text.split()))


def title(entry: Entry) -> Content:
    """What stands over a page."""
    glyph, style = _GLYPHS.get(entry.state, ("?", MUTED))
    return Content.assemble(f"{entry.number:,} ", (f"{glyph} {entry.state}", style))


def page(shown: Page) -> Content:
    """A sample or an attempt as readable text, its parts apart."""
    parts: list[Content] = []
    if shown.fault:
        parts.append(Content.assemble(("Why it is no sample  ", "bold $warning"), body(shown.fault)))
    for decision in shown.history:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(decision.at))
        said = f": {one_line(decision.reason)}" if decision.reason else ""
        what = _ACTIONS.get(decision.action, decision.action)
        parts.append(Content.assemble((f"{what} by hand", "bold"), (f"  {when}{said}", MUTED)))
    parts.append(_section("Prompt", shown.prompt))
    if shown.parts is None:
        parts.append(_section("Text as the teacher wrote it", shown.raw or "(nothing)"))
    else:
        found = shown.parts
        parts += [_section("Thesis", found.thesis), _section("Antithesis", found.antithesis)]
        parts += [_section("Synthesis", found.synthesis), _section("Answer", found.answer)]
        parts += [
            _items("Contradictions", found.contradictions),
            _items("Research proposals", found.research_proposals),
        ]
    parts.append(_facts(shown.facts))
    return Content("\n\n").join(part for part in parts if part)


def body(text: str) -> str:
    """A text of a model, harmless and of bounded length."""
    if len(text) <= MAX_SHOWN:
        return printable(text)
    return f"{printable(text[:MAX_SHOWN])}… ({len(text) - MAX_SHOWN:,} characters more in the file)"


def _tells_reason(entry: Entry) -> bool:
    return entry.state in ("rejected", "failed") and bool(entry.reason)


def _cell(text: str, width: int, style: str = "", *, gap: int = 1) -> Content:
    if not width:
        return Content("")
    room = width - gap
    content = Content.assemble((text, style)).truncate(room, ellipsis=True)
    return content.pad_right(width - content.cell_length)


def _section(name: str, text: str) -> Content:
    return Content.assemble((name, "bold $primary"), "\n", body(text))


def _items(name: str, items: tuple[str, ...]) -> Content:
    if not items:
        return Content("")
    return Content.assemble((name, "bold $primary"), *(f"\n· {body(item)}" for item in items))


def _facts(facts: dict[str, object]) -> Content:
    known = {name: value for name, value in facts.items() if value not in ("", None)}
    if not known:
        return Content("")
    lines = (f"\n{one_line(name)[:18]:<18}  {one_line(_value(name, value))[:200]}" for name, value in known.items())
    return Content.assemble(("How it was made", "bold $primary"), *((line, MUTED) for line in lines))


def _value(name: str, value: object) -> str:
    if name in ("created", "at") and isinstance(value, int | float) and 0 < value < 1e11:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    return str(value)
