"""``hegelion-console doctor``: what is ready, what is wrong, how to mend it; and with ``--fix``, mends what is safe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hegelion_core.commands.options import CONTEXT, DEMO, SET, WORKSPACE, flags_of, setting
from hegelion_core.commands.streams import write, write_result
from hegelion_core.commands.text import printable
from hegelion_core.errors import UserError

if TYPE_CHECKING:
    from hegelion_core.doctor.finding import Remedy, Section

_COLOURS = {"ok": "green", "note": "bright_black", "warning": "yellow", "failed": "red"}
_INDENT = " " * 6


@click.command(context_settings=CONTEXT)
@click.option(
    "--fix", is_flag=True, help="Do what can be done at once: install, fetch, make, tidy up. Deletes no data."
)
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON on standard output.")
@click.option(
    "--patience",
    type=click.FloatRange(0.1, 600),
    default=2.5,
    show_default=True,
    help="Seconds for the teacher's program, the student, the hub and the BLAS to be looked at.",
)
@setting("--teacher", "generation.teacher", "Teacher: kimi-cli, kimi-code, kimi-legacy, openai or local.")
@setting("--student", "training.model", "Student: hub name, local folder or 'bundled'.", "--model")
@setting("--output", "generation.output", "The sample file.")
@WORKSPACE
@DEMO
@SET
@click.pass_context
def doctor(
    context: click.Context,
    /,
    *,
    fix: bool,
    as_json: bool,
    patience: float,
    workspace: Path,
    demo: bool,
    **values: object,
) -> None:
    """Go through the readiness checklist and the known troubles; each finding says how to mend it.

    Exit code 0: nothing has to be mended; 3: something has.

    \b
    Examples:
      hegelion-console doctor
      hegelion-console doctor --fix --demo
      hegelion-console doctor --teacher local --student bundled --json
    """
    from hegelion_core.doctor.case import Case
    from hegelion_core.doctor.examine import examine, exit_code
    from hegelion_core.settings import resolve
    from hegelion_core.workspace import Workspace

    root = workspace.resolve()
    place = Workspace(root, demo)
    settings = resolve(root, flags_of(values), demo=demo).settings
    sections = examine(Case.open(place, settings), patience)
    done: list[dict[str, str]] = []
    if fix:
        done = [_fix(one.name, one.remedy) for section in sections for one in section.findings if one.remedy]
        sections = examine(Case.open(place, settings), patience) if done else sections
    if as_json:
        import msgspec

        write_result(msgspec.json.encode({"sections": _plain(sections), "fixed": done}).decode() + "\n")
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        write_result("".join(f"{line}\n" for line in lines(sections, colour=colour)))
    context.exit(exit_code(sections))


def lines(sections: Iterable[Section], *, colour: bool) -> list[str]:
    """The findings for people."""
    from hegelion_core.doctor.finding import MARKS

    said: list[str] = []
    sections = list(sections)
    for section in sections:
        said += ["", click.style(section.title, bold=True) if colour else section.title]
        width = max((len(one.name) for one in section.findings), default=0)
        for one in section.findings:
            mark = click.style(MARKS[one.level], fg=_COLOURS[one.level]) if colour else MARKS[one.level]
            said.append(f"  {mark} {one.name:<{width}}  {printable(one.found)}")
            if one.mend and one.level != "ok":
                said.append(f"{_INDENT}{printable(one.mend)}")
            if one.remedy is not None:
                said.append(f"{_INDENT}--fix: {printable(one.remedy.what)}")
    findings = [one for section in sections for one in section.findings]
    failed, warned = (sum(one.level == level for one in findings) for level in ("failed", "warning"))
    said += ["", f"{len(findings)} checks: {failed} to be mended, {warned} worth a look."]
    return said[1:]


def _fix(name: str, remedy: Remedy) -> dict[str, str]:
    """Do what can be done about a finding; words go to standard error."""
    write(sys.stderr, f"{name}: {printable(remedy.what)}\n")
    try:
        result, level = remedy.apply(_say), "done"
    except UserError as error:
        result, level = str(error).replace("\n", " "), "failed"
    _say(result)
    return {"name": name, "what": remedy.what, "outcome": level, "result": result}


def _say(line: str) -> None:
    write(sys.stderr, f"{_INDENT}{printable(line)}\n")


def _plain(sections: Iterable[Section]) -> list[dict[str, object]]:
    return [
        {
            "title": section.title,
            "findings": [
                {
                    "name": one.name,
                    "level": one.level,
                    "found": one.found,
                    "mend": one.mend,
                    "fix": one.remedy.what if one.remedy is not None else "",
                }
                for one in section.findings
            ],
        }
        for section in sections
    ]
