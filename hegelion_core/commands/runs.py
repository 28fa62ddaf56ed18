"""``hegelion-console runs``: the runs of a workspace, one of them, two beside each other; and removing one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hegelion_core.again import typed
from hegelion_core.commands.options import CONTEXT, DEMO, WORKSPACE, Option, together
from hegelion_core.commands.streams import write_result
from hegelion_core.commands.text import printable, printable_json
from hegelion_core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from hegelion_core.workspace import Workspace

_JSON: Option[Any] = click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
_WHERE: Option[Any] = together(_JSON, WORKSPACE, DEMO)


@click.group(invoke_without_command=True, context_settings=CONTEXT)
@_WHERE
@click.pass_context
def runs(context: click.Context, /, **_: object) -> None:
    """List the runs of this workspace, show or compare them, or remove one; without a command: list.

    A run is named by its id or by the beginning of it, where no other begins so.

    \b
    Examples:
      hegelion-console runs
      hegelion-console runs show 20261125-1803
      hegelion-console runs compare 20261125-1803 20261126-0911
      hegelion-console runs remove 20261125-1803
    """
    if context.invoked_subcommand is None:
        _list(_Asked.of(context))


@runs.command("list", context_settings=CONTEXT)
@_WHERE
@click.pass_context
def list_(context: click.Context, /, **_: object) -> None:
    """List the runs, the one that was at work last first.

    \b
    Examples:
      hegelion-console runs list
      hegelion-console runs list --json
    """
    _list(_Asked.of(context))


@runs.command(context_settings=CONTEXT)
@click.argument("run")
@_WHERE
@click.pass_context
def show(context: click.Context, /, run: str, **_: object) -> None:
    """Show a run: its figures, its stages, its files, and the command that goes on with it.

    \b
    Example:
      hegelion-console runs show 20261125-1803
    """
    from hegelion_core import runs as room
    from hegelion_core.commands import run_words
    from hegelion_core.event_log import replay

    asked = _Asked.of(context)
    folder = room.find(asked.place, run)
    facts = room.facts(asked.place, folder)
    if asked.as_json:
        asked.print_json({"run": facts, "settings": room.settings_of(folder)})
        return
    asked.print_lines(run_words.shown(facts, replay(folder.events), asked.place, room.settings_of(folder)))


@runs.command(context_settings=CONTEXT)
@click.argument("first")
@click.argument("second")
@_WHERE
@click.pass_context
def compare(context: click.Context, /, first: str, second: str, **_: object) -> None:
    """Compare two runs: the settings that differ, and what came of each.

    \b
    Example:
      hegelion-console runs compare 20261125-1803 20261126-0911
    """
    from hegelion_core import runs as room
    from hegelion_core.commands import run_words

    asked = _Asked.of(context)
    found = room.compare(asked.place, room.find(asked.place, first), room.find(asked.place, second))
    if asked.as_json:
        asked.print_json(found)
        return
    asked.print_lines(run_words.compared(found))


@runs.command(context_settings=CONTEXT)
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_WHERE
@click.pass_context
def remove(context: click.Context, /, names: Sequence[str], *, yes: bool, **_: object) -> None:
    """Remove runs: their folders with events, metrics, checkpoints and reports. Asks first.

    Sample files, training rows and adapters lie elsewhere and stay. Earlier results that --new moved into a run's
    folder go with it. A run that is at work is not removed.

    \b
    Examples:
      hegelion-console runs remove 20261125-1803
      hegelion-console runs remove 20261125-1803 20261126-0911 --yes
    """
    from hegelion_core import runs as room
    from hegelion_core.commands import run_words

    asked = _Asked.of(context)
    folders = list({folder.id: folder for folder in (room.find(asked.place, name) for name in names)}.values())
    for folder in folders:
        room.check_removable(asked.place, folder)
    found = [room.facts(asked.place, folder) for folder in folders]
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("Nobody can be asked here, so nothing is removed.", "Say --yes.", ExitCode.USAGE)
        for line in run_words.to_be_removed(found):
            click.echo(printable(line), err=True)
        click.confirm("Remove?", abort=True, err=True)
    for folder in folders:
        room.remove(asked.place, folder)
    if asked.as_json:
        asked.print_json({"removed": [one.id for one in found], "bytes": sum(one.size for one in found)})
        return
    asked.print_lines(run_words.removed(found))


class _Asked:
    """What the options say, be they given before the sub-command or after it."""

    def __init__(self, place: Workspace, *, as_json: bool) -> None:
        self.place, self.as_json = place, as_json

    @classmethod
    def of(cls, context: click.Context) -> _Asked:
        from hegelion_core.workspace import Workspace

        def value(name: str) -> Any:
            here = context.params[name]
            above = context.parent
            given = context.get_parameter_source(name) != ParameterSource.DEFAULT
            return here if given or above is None else above.params.get(name, here)

        return cls(Workspace(Path(value("workspace")).resolve(), bool(value("demo"))), as_json=bool(value("as_json")))

    def print_json(self, result: object) -> None:
        import msgspec

        write_result(printable_json(msgspec.json.encode(result)))

    def print_lines(self, lines: Sequence[str]) -> None:
        write_result("".join(f"{printable(line)}\n" for line in lines))


def _list(asked: _Asked) -> None:
    from hegelion_core import runs as room
    from hegelion_core.commands import run_words

    found = [room.facts(asked.place, run) for run in asked.place.all_runs()]
    if asked.as_json:
        asked.print_json(found)
    elif found:
        asked.print_lines(run_words.listed(found))
    else:
        begin = typed(asked.place, "--run-all")
        asked.print_lines([f"No run in {asked.place.artifacts} yet. Start one: {begin}"])
