"""``hegelion-console report``: a run as one HTML page with pictures, which opens without a network."""

from __future__ import annotations

from pathlib import Path

import click

from hegelion_core.commands.options import CONTEXT, DEMO, WORKSPACE
from hegelion_core.commands.streams import write_result
from hegelion_core.commands.text import printable
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.regular import open_regular, refuse_to_replace
from hegelion_core.runs import find
from hegelion_core.workspace import RunFolder, Workspace


@click.command(context_settings=CONTEXT)
@click.argument("run", required=False)
@click.option("--output", type=click.Path(path_type=Path), help="File to write [report.html in the run's folder].")
@click.option("--force", is_flag=True, help="Replace a file that is no report of ours.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output.")
@WORKSPACE
@DEMO
@click.pass_context
def report(
    context: click.Context,
    /,
    run: str | None,
    *,
    output: Path | None,
    force: bool,
    as_json: bool,
    workspace: Path,
    demo: bool,
) -> None:
    """Write a run as one HTML page: progress, loss, S and lambda, reasons, before and after, samples, settings.

    RUN is the run's id or its beginning; without it, the run that was at work last. A run may be at work meanwhile, or
    have ended anyhow. The page loads nothing from elsewhere. It holds prompts, samples and settings, but no logs.

    \b
    Examples:
      hegelion-console report
      hegelion-console report 20261125-180302 --output report.html
    """
    place = Workspace(workspace.resolve(), demo)
    folder = find(place, run)
    target = output or folder.report
    if output is not None:
        _refuse(output, force=force)
    from hegelion_core.report.write import write

    try:
        write(place, folder, target)
    except OSError as error:
        raise explain(error) from None
    _print(folder, target, as_json=as_json)
    context.exit(ExitCode.DONE)


def _refuse(target: Path, *, force: bool) -> None:
    """Raise if the page may not be written there; asked before the work.

    Raises:
        UserError: it is a folder, in no folder, or a file that is no report of ours (without ``force``).
    """
    from hegelion_core.report.page import MARK

    if target.is_dir():
        raise UserError(f"{target}: is a folder.", "Name the page's file, such as report.html in it.", ExitCode.USAGE)
    if not target.parent.is_dir():
        raise UserError(f"{target.parent}: there is no such folder.", "Make it first.", ExitCode.USAGE)
    refuse_to_replace(target)
    if not target.exists() or force:
        return
    try:
        with open_regular(target) as file:
            ours = MARK.encode() in file.read(1 << 12)
    except OSError as error:
        raise explain(error) from None
    if not ours:
        hint = "Give another file, or say --force."
        raise UserError(f"{target}: is no report of ours, so it is not replaced.", hint, ExitCode.USAGE)


def _print(folder: RunFolder, target: Path, *, as_json: bool) -> None:
    size = target.stat().st_size
    if as_json:
        import msgspec

        result = {"run": folder.id, "report": str(target.resolve()), "bytes": size}
        write_result(msgspec.json.encode(result).decode() + "\n")
        return
    from hegelion_core.commands.words import nearby

    write_result(printable(f"Report of {folder.id}: {nearby(str(target.resolve()))} ({size / 1e3:.0f} kB).") + "\n")
