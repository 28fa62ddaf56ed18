"""The checklist in words for the screen. Pure. Colours are names of the theme; no meaning is in a colour alone."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from hegelion_core.commands.text import printable
from hegelion_core.doctor.finding import MARKS, Finding, Level, Section

MUTED = "dim"
NAME_WIDTH = 22
"""Cells for a check's name."""
_STYLES: dict[Level, str] = {"ok": "$success", "note": MUTED, "warning": "bold $warning", "failed": "bold $error"}
_WORDS: dict[Level, str] = {
    "ok": "all is well",
    "note": "worth knowing",
    "warning": "worth a look",
    "failed": "to be mended",
}


def head(sections: Sequence[Section], *, looking: bool) -> Content:
    """One line: how many checks, and how they stand."""
    findings = [one for section in sections for one in section.findings]
    levels: tuple[Level, ...] = ("failed", "warning")
    parts = [
        Content.assemble((f"{count} {_WORDS[level]}", _STYLES[level]))
        for level in levels
        if (count := sum(one.level == level for one in findings))
    ]
    if findings and not parts and not looking:
        parts = [Content.assemble(("nothing to be mended", "$success"))]
    return Content.assemble(
        ("checklist ", "bold $primary"),
        f"{len(findings)} checks   " if findings else "",
        Content("  ").join(parts),
        ("   looking …", "$accent") if looking else "",
    )


def row(finding: Finding, fix: str) -> Content:
    """A line of the list: mark, name, the key (``fix``) if it can be mended from here, and what was found."""
    fixable = finding.remedy is not None and finding.level != "note"
    return Content.assemble(
        (f"{MARKS[finding.level]} ", _STYLES[finding.level]),
        (printable(finding.name)[:NAME_WIDTH].ljust(NAME_WIDTH), "bold" if finding.level == "failed" else ""),
        (f"{fix} mends it  ", "$accent") if fixable else "",
        printable(finding.found).replace("\n", " "),
    )


def detail(finding: Finding, said: Sequence[str], fix: str) -> Content:
    """All about one finding; ``said`` are the last lines of what is being done about it."""
    lines = [
        Content.assemble(
            (f"{MARKS[finding.level]} {printable(finding.name)}", _STYLES[finding.level]),
            (f"  {_WORDS[finding.level]}", MUTED),
        ),
        Content(printable(finding.found)),
    ]
    if finding.mend:
        lines.append(Content.assemble(("What to do  ", "bold"), printable(finding.mend)))
    if finding.remedy is not None:
        lines.append(Content.assemble((f"{fix}  ", "bold $accent"), printable(finding.remedy.what)))
    lines += [Content.assemble((printable(line), MUTED)) for line in said]
    return Content("\n").join(lines)
