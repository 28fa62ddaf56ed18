"""``hegelion-console checkpoint``: have the training that runs save a checkpoint now, whoever started it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from hegelion_core.commands.options import CONTEXT, DEMO, WORKSPACE
from hegelion_core.commands.streams import write_result
from hegelion_core.commands.text import printable
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.event_log import replay
from hegelion_core.run import core_at_work
from hegelion_core.wire import read_pointer
from hegelion_core.workspace import RunFolder, Workspace

LOOK_EVERY = 0.1
"""Seconds between looks whether the checkpoint is there."""


@click.command(context_settings=CONTEXT)
@WORKSPACE
@DEMO
def checkpoint(workspace: Path, demo: bool) -> None:
    """Have the training that runs save a checkpoint after its next step, and wait for it.

    It does the same as making the file artifacts/runs/RUN/save.
    """
    place = Workspace(workspace.resolve(), demo)
    run = _training(place)
    if run is None:
        raise UserError(
            f"No training runs in {place.artifacts}.", "Look where it stands with --status.", ExitCode.NOT_READY
        )
    try:
        run.save_request.touch()
    except OSError as error:
        raise explain(error) from None
    while run.save_request.exists():
        if _training(place) is None:
            run.save_request.unlink(missing_ok=True)
            raise UserError("The training ended before it saved.", "Look where it stands with --status.")
        time.sleep(LOOK_EVERY)
    saved = (run.checkpoints / "latest").resolve()
    write_result(printable(f"Saved {saved}.") + "\n")


def _training(place: Workspace) -> RunFolder | None:
    """The run whose training is at work now."""
    pointer = read_pointer(place)
    if pointer is None or not core_at_work(place):
        return None
    run = RunFolder(Path(pointer.run))
    return run if "train" in replay(run.events).children else None
