"""``hegelion-console checkpoint``: have the training that runs save a checkpoint now, whoever started it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from hegelion_core.client import Client
from hegelion_core.commands.options import CONTEXT, DEMO, WORKSPACE
from hegelion_core.commands.streams import write_result
from hegelion_core.commands.text import printable
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.events import ChildExited
from hegelion_core.workspace import RunFolder, Workspace

LOOK_EVERY = 0.1
"""Seconds between looks whether the checkpoint is there."""


@click.command(context_settings=CONTEXT)
@WORKSPACE
@DEMO
def checkpoint(workspace: Path, demo: bool) -> None:
    """Have the training that runs save a checkpoint after its next step, and wait for it.

    It does the same as making the file artifacts/runs/RUN/save.

    \b
    Example:
      hegelion-console checkpoint
    """
    saved = asyncio.run(_checkpoint(Workspace(workspace.resolve(), demo)))
    write_result(printable(f"Saved {saved}.") + "\n")


async def _checkpoint(place: Workspace) -> Path:
    client = await Client.connect(place)
    try:
        if client is None or "train" not in client.state.children:
            raise UserError(
                f"No training runs in {place.artifacts}.", "Look where it stands with --status.", ExitCode.NOT_READY
            )
        run = RunFolder(Path(client.pointer.run))
        run.save_request.touch()
        ended = asyncio.ensure_future(_training_ended(client))
        while run.save_request.exists():
            if ended.done():
                run.save_request.unlink(missing_ok=True)
                raise UserError("The training ended before it saved.", "Look where it stands with --status.")
            await asyncio.sleep(LOOK_EVERY)
        ended.cancel()
        return (run.checkpoints / "latest").resolve()
    except OSError as error:
        raise explain(error) from None
    finally:
        if client is not None:
            await client.close()


async def _training_ended(client: Client) -> None:
    """Return when the trainer has ended, or its core."""
    async for event in client.events():
        if isinstance(event, ChildExited) and event.name == "train":
            return
