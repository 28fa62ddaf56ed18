"""``hegelion-console stop``: stop what runs, cleanly, whoever started it and from wherever it is asked."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import click
import msgspec

from hegelion_core import again
from hegelion_core.client import Client
from hegelion_core.commands.options import CONTEXT, DEMO, WORKSPACE
from hegelion_core.commands.streams import write, write_result
from hegelion_core.commands.text import printable, printable_json
from hegelion_core.commands.words import describe, duration
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.events import RunEnded, Stage, StageStopped
from hegelion_core.presence import is_free
from hegelion_core.wire import read_pointer
from hegelion_core.workspace import Workspace

What = Literal["generate", "train", "all"]
Say = Callable[[str], None]
TELL_EVERY = 5.0
"""Seconds after which it is said again that one waits."""
ANSWER_PATIENCE = 15.0
"""Seconds that a core has to answer: it may be just opening a run, or closing one."""
END_PATIENCE = 3.0
"""Seconds that a core has to go once its work has ended: then the workspace is free for the next command."""


class Stopped(msgspec.Struct, frozen=True):
    """What was stopped, and whether the core has ended."""

    stopped: tuple[Stage, ...] = ()
    core_ended: bool = True


@click.command(context_settings=CONTEXT)
@click.argument("what", type=click.Choice(["generate", "train", "all"]), default="all")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output, words on standard error.")
@WORKSPACE
@DEMO
@click.pass_context
def stop(context: click.Context, /, what: What, *, as_json: bool, workspace: Path, demo: bool) -> None:
    """Stop what runs in this workspace, cleanly, and wait for its end: WHAT is generate, train, or all [all].

    Whoever started it, a console, --run-all or a command in another terminal. Answers that were given are kept,
    training saves a checkpoint; the same command as before goes on. Exit code 0, also if nothing runs.

    The process ids in generator_pid.txt and generator2_pid.txt, where the operations guide has them, can be killed
    (SIGTERM) to the same end.

    \b
    Examples:
      hegelion-console stop
      hegelion-console stop generate
    """
    words = sys.stderr if as_json else sys.stdout

    def say(line: str) -> None:
        write(words, printable(line) + "\n")

    result = asyncio.run(_stop(Workspace(workspace.resolve(), demo), what, say))
    if as_json:
        write_result(printable_json(msgspec.json.encode(result)))
    context.exit(ExitCode.DONE)


async def _stop(place: Workspace, what: What, say: Say) -> Stopped:
    client = await _connect(place)
    if client is None:
        say("Nothing runs.")
        _name_the_other(place, say)
        return Stopped()
    stopped: tuple[Stage, ...] = ()
    try:
        state = client.state
        running = [name for name, stage in state.stages.items() if stage.status == "running"]
        if not state.active:
            say("Nothing runs.")
            _name_the_other(place, say)
        elif what in ("generate", "train") and what not in running:
            does = " and ".join(running) or "the run"
            say(f"{what} does not run, {does} does. To stop that: {again.typed(place, 'stop')}")
            _name_the_other(place, say)
            return Stopped(core_ended=False)
        else:
            stopped = await _stop_work(client, running, say)
        await client.release()
    finally:
        await client.close()
    ended = await _core_ended(place)
    if not ended:
        say(f"Its core (process {client.pointer.pid}) stays for the console that is open.")
    if stopped:
        say(f"Stopped {' and '.join(stopped)}. To go on: {again.command(client.state, place)}")
    return Stopped(stopped, ended)


def _name_the_other(place: Workspace, say: Say) -> None:
    """The demo, where the real job was meant, or the reverse: it is not stopped unasked, but named if it is open."""
    other = Workspace(place.root, demo=not place.demo)
    if not is_free(other):
        say(f"The {'demo' if other.demo else 'real job'} is open. To stop that: {again.typed(other, 'stop')}")


async def _connect(place: Workspace) -> Client | None:
    """The core's client; ``None`` if no core is there.

    Raises:
        UserError: one is there, but does not answer.
    """
    begun = time.monotonic()
    while (client := await Client.connect(place)) is None:
        if is_free(place):
            return None
        if time.monotonic() - begun > ANSWER_PATIENCE:
            pointer = read_pointer(place)
            hint = f"End it: kill {pointer.pid}" if pointer else "Look closer: hegelion-console doctor"
            message = f"A core is at work in {place.artifacts}, but does not answer."
            raise UserError(message, hint, ExitCode.NOT_READY)
        await asyncio.sleep(0.1)
    return client


async def _stop_work(client: Client, running: Sequence[Stage], say: Say) -> tuple[Stage, ...]:
    """Ask for the stop and tell what happens until the run has ended; the stages that were stopped.

    Raises:
        UserError: the core died meanwhile.
    """
    what = " and ".join(running) or "the run"
    say(f"Stopping {what}.")
    telling = asyncio.create_task(_tell(client, say))
    waiting = asyncio.create_task(_tell_that_one_waits(what, say))
    try:
        await client.stop()
        return await telling
    finally:
        telling.cancel()
        waiting.cancel()


async def _tell(client: Client, say: Say) -> tuple[Stage, ...]:
    stopped: list[Stage] = []
    async for event in client.events():
        if text := describe(event, client.state):
            say(text)
        if isinstance(event, StageStopped):
            stopped.append(event.stage)
        if isinstance(event, RunEnded):
            break
    return tuple(stopped)


async def _tell_that_one_waits(what: str, say: Say) -> None:
    begun = time.monotonic()
    while True:
        await asyncio.sleep(TELL_EVERY)
        say(f"Waiting for the end of {what} ({duration(time.monotonic() - begun)}).")


async def _core_ended(place: Workspace) -> bool:
    """Wait until the workspace is free; whether it is."""
    begun = time.monotonic()
    while not is_free(place):
        if time.monotonic() - begun > END_PATIENCE:
            return False
        await asyncio.sleep(0.1)
    return True
