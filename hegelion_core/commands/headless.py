"""The headless face: a core in this process, its events in words or as JSON lines, an exit code at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from hegelion_core.again import Kind, kind_of
from hegelion_core.commands.process import settle
from hegelion_core.commands.streams import write
from hegelion_core.commands.text import printable
from hegelion_core.commands.words import describe, still, summary
from hegelion_core.completion import Completion
from hegelion_core.core import Core
from hegelion_core.errors import ExitCode
from hegelion_core.evaluation.summary import Evaluation, example
from hegelion_core.event_log import replay
from hegelion_core.events import AnyEvent, RunEnded, Stage, StageFailed, encode
from hegelion_core.generation.dialogue import plan_of
from hegelion_core.library import open_core
from hegelion_core.regular import read_regular
from hegelion_core.run import find_run
from hegelion_core.run_state import RunState
from hegelion_core.settings import ResolvedSettings
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import Workspace

QUIET = 60.0
"""Seconds after which it is said that work goes on."""


class Output:
    """Standard output and standard error of a headless command. A reader that went away does not end the run."""

    def __init__(self, *, as_json: bool, events: bool = True) -> None:
        """``as_json``: words go to standard error, and events to standard output, unless that has another use."""
        self._as_json = as_json and events
        self._words = sys.stderr if as_json else sys.stdout
        self.told_at = time.monotonic()
        """When people were told something last."""

    def words(self, text: str) -> None:
        """A line for people."""
        self.told_at = time.monotonic()
        write(self._words, printable(text) + "\n")

    def event(self, event: AnyEvent, state: RunState) -> None:
        """An event, for whoever reads."""
        if self._as_json:
            write(sys.stdout, encode(event).decode())
        if isinstance(event, StageFailed):
            write(sys.stderr, printable(f"error: {event.stage}: {event.message}\n{event.hint}").rstrip() + "\n")
        elif text := describe(event, state):
            for line in text.splitlines():
                self.words(f"{time.strftime('%H:%M:%S', time.localtime(event.at))} {line}")


def run(
    place: Workspace,
    resolved: ResolvedSettings,
    kind: Kind,
    stages: Sequence[Stage],
    *,
    as_json: bool = False,
    new: bool = False,
    dry_run: bool = False,
    result: Callable[[RunState], None] | None = None,
) -> ExitCode:
    """Run ``stages`` to their end in this process, or say what would be done.

    With ``result``, standard output is for what that writes of a run that went well, in place of events and an example.
    """
    if dry_run:
        return _preview(place, resolved, kind, stages)
    code, state = asyncio.run(_run(place, resolved, kind, stages, as_json=as_json, new=new, events=result is None))
    if result is not None and code == ExitCode.DONE:
        result(state)
    return code


async def _run(
    place: Workspace,
    resolved: ResolvedSettings,
    kind: Kind,
    stages: Sequence[Stage],
    *,
    as_json: bool,
    new: bool,
    events: bool,
) -> tuple[ExitCode, RunState]:
    output = Output(as_json=as_json, events=events)
    async with open_core(place, resolved.settings, kind, new=new) as core:
        settle()
        output.words(describe(core.opening, core.state))
        stop = _on_signals(core, output)
        happening = core.events()
        await core.start(stages)
        telling = asyncio.create_task(_tell_that_it_is_at_work(core, output))
        async for event in happening:
            output.event(event, core.state)
            if isinstance(event, RunEnded):
                break
        telling.cancel()
        code = await core.wait()
        await stop.finished()
        _summarise(place, resolved, core.state, code, output)
        return code, core.state


async def _tell_that_it_is_at_work(core: Core, output: Output) -> None:
    while True:
        await asyncio.sleep(max(0.0, output.told_at + QUIET - time.monotonic()))
        if time.monotonic() - output.told_at >= QUIET:
            output.told_at = time.monotonic()
            if text := still(core.state):
                output.words(f"{time.strftime('%H:%M:%S')} {text}")


class _Stop:
    """The first signal stops cleanly; a second Ctrl+C ends at once, and the guard ends the children."""

    def __init__(self, core: Core, output: Output) -> None:
        self._core = core
        self._output = output
        self._task: asyncio.Task[None] | None = None

    def __call__(self, number: signal.Signals) -> None:
        if self._task is None:
            self._output.words(f"Stopping ({number.name}); what is done is kept. Ctrl+C again ends at once.")
            self._task = asyncio.get_running_loop().create_task(self._core.stop())
        elif number == signal.SIGINT:
            os._exit(ExitCode.INTERRUPTED)

    async def finished(self) -> None:
        if self._task is not None:
            await self._task


def _on_signals(core: Core, output: Output) -> _Stop:
    stop = _Stop(core, output)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    return stop


def _summarise(place: Workspace, resolved: ResolvedSettings, state: RunState, code: ExitCode, output: Output) -> None:
    settings = resolved.settings
    if not state.sample_path:
        return
    for line in summary(
        state,
        rows=place.resolve(settings.conversion.output),
        adapter=place.resolve(settings.training.adapter_path),
        base=Path.cwd(),
    ):
        output.words(line)
    if code == ExitCode.DONE and state.evaluation is not None and kind_of(state.run_id) != "evaluate":
        for line in _example(Path(state.evaluation.path)):
            output.words(f"    {line}")
    if code == ExitCode.DONE:
        output.words("Done.")
    elif code == ExitCode.INTERRUPTED:
        output.words("Stopped. Run the same command again to go on where it was.")


def _example(path: Path) -> list[str]:
    """One prompt with both answers; the file may have been moved since."""
    try:
        return example(msgspec.json.decode(read_regular(path), type=Evaluation))
    except (OSError, *UNREADABLE):
        return []


def _generation_cost(completion: Completion, resolved: ResolvedSettings) -> str:
    """What a council and a judge cost, where there are any."""
    store = completion.samples()
    wanted = completion.wanted(store)
    return plan_of(resolved.settings.generation).cost(None if wanted is None else wanted - store.accepted)


def _preview(place: Workspace, resolved: ResolvedSettings, kind: Kind, stages: Sequence[Stage]) -> ExitCode:
    """Say what would be done; makes and changes nothing."""
    output = Output(as_json=False)
    folder = find_run(place, resolved.settings, kind)
    state = replay(folder.events) if folder is not None else RunState()
    output.words(f"run: {folder.id} (would be resumed)" if folder is not None else "run: would be new")
    completion = Completion(place, folder or place.run("none"), resolved.settings)
    todo = False
    for stage in stages:
        reason = completion.reason(stage, stages, state)
        # What an earlier stage will make anew changes the inputs of the later ones.
        if stage != "check" and (not reason or todo):
            reason, todo = "", True
        output.words(f"{stage}: {'done already, ' + reason if reason else 'to do'}")
        if stage == "generate" and not reason and (cost := _generation_cost(completion, resolved)):
            output.words(f"  {cost}")
    for name, source in resolved.sources.items():
        if source != "default":
            section, _, key = name.partition(".")
            output.words(f"setting {name} = {getattr(getattr(resolved.settings, section), key)} ({source})")
    return ExitCode.DONE
