"""The detached core: ``python -m hegelion_core.commands.core``, started by a face and outliving it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import click

from hegelion_core.again import Kind
from hegelion_core.commands import streams
from hegelion_core.commands.options import CONTEXT, DEMO, RUN_ALL, SET, WORKSPACE, flags_of
from hegelion_core.commands.process import settle
from hegelion_core.core import Core
from hegelion_core.errors import UserError, explain
from hegelion_core.run import reread
from hegelion_core.service import serve_detached
from hegelion_core.settings import Settings, resolve
from hegelion_core.workspace import RunFolder, Workspace


@click.command(context_settings=CONTEXT)
@RUN_ALL
@WORKSPACE
@DEMO
@SET
@click.option("--resume", type=click.Path(path_type=Path), help="Open this run, with the settings that it began with.")
def main(workspace: Path, demo: bool, resume: Path | None, **values: object) -> None:
    """Open the run and serve it until there is neither work nor a face."""
    streams.prepare()
    root = workspace.resolve()
    try:
        settings, kind = _wanted(root, flags_of(values), resume, demo=demo)
        asyncio.run(_serve(Workspace(root, demo), settings, kind))
    except (UserError, OSError) as error:
        told = error if isinstance(error, UserError) else explain(error)
        print(told, file=sys.stderr)  # noqa: T201
        sys.exit(told.exit_code)


def _wanted(root: Path, flags: dict[str, object], resume: Path | None, *, demo: bool) -> tuple[Settings, Kind]:
    if resume is not None:
        return reread(RunFolder(resume))
    return resolve(root, flags, demo=demo).settings, "run-all"


async def _serve(place: Workspace, settings: Settings, kind: Kind) -> None:
    core = await Core.open(place, settings, kind)
    settle()
    serving = asyncio.create_task(serve_detached(core))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    # The terminal that started the console may close; the core is there to outlive it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        await serving
    except asyncio.CancelledError:
        pass
    finally:
        await core.close()


if __name__ == "__main__":
    main()
