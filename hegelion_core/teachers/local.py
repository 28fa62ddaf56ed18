"""The local teacher: one engine process, in which a small model answers all instances' calls in one batch.

The core's side. It speaks to the engine through files alone: a call's ``request.json`` asks, its ``out`` answers, and
a request that is removed is a call that is cancelled. So an answer that was written whole outlives both processes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hegelion_core import events, workspace
from hegelion_core.dialectic import turns
from hegelion_core.jobs import environment, write_job
from hegelion_core.settings import BUNDLED, Settings
from hegelion_core.spool import follow
from hegelion_core.supervisor import Child, Supervisor
from hegelion_core.teachers.teacher import GROWING, OUT, REQUEST, Answer, Call, TeacherFault, TeacherInfo
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import RunFolder, Workspace

NAME = "local"
ENGINE = "hegelion_core.teachers.local_engine"
MAX_NEW_TOKENS = 300
TEMPERATURE = 0.7
"""What holds unless the settings say otherwise."""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``out``: a turn (``turn`` is set) or the end (``done``)."""

    text: str
    turn: str | None = None
    tokens: int = 0
    done: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated: bool = False


_decoder = msgspec.json.Decoder(_Line)


class LocalTeacher:
    """A small model on this machine, as a ``Teacher``."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        run: RunFolder,
        workspace: Workspace,
        settings: Settings,
        module: str = ENGINE,
    ) -> None:
        """``module`` is the engine's; tests put another one there."""
        self._supervisor = supervisor
        self._run = run
        self._place = workspace
        self._settings = settings
        self._module = module
        self._engine: Child | None = None
        self._info: TeacherInfo | None = None
        self._starting = asyncio.Lock()

    @property
    def calls_per_instance(self) -> int:
        return self._settings.teacher.batch

    async def start(self) -> TeacherInfo:
        """Start the engine, unless it runs, and wait until its model is loaded.

        Raises:
            TeacherFault: it ended before; the fault says why.
        """
        async with self._starting:
            if self._engine is not None and self._engine.running and self._info is not None:
                return self._info
            workspace.make_folder(self._run.calls)
            job = self._write_job()
            child = await self._supervisor.spawn(
                NAME,
                [sys.executable, "-u", "-m", self._module, str(job)],
                cwd=self._place.root,
                env=environment(os.environ, self._settings.teacher.key_variable),
                stdout=self._log_file,
            )
            self._engine = child
            try:
                self._info = await _ready(child, self._run.reports(NAME))
            except BaseException:
                await child.stop()
                raise
            return self._info

    def tidy(self) -> None:
        """Nothing is left: everything lies in the run's folder."""

    async def prove(self, log: Callable[[str], None], *, step: bool = False) -> None:
        """Nothing is to show: the engine writes text and has no tools."""

    async def ask(self, call: Call, folder: Path, log: Callable[[str], None]) -> Answer:
        """Have the engine answer; starts it again if it has died since.

        Raises:
            TeacherFault: the engine could not start, or died over this call (``transient``).
        """
        try:
            await self.start()
            if turns.is_shortened(call.query):
                log(f"the prompt has {len(call.query):,} characters: the model is shown its beginning and its end")
            engine = self._engine
            begun = time.monotonic()
            async for lines in follow(folder / OUT, lambda: engine is None or not engine.running):
                for line in map(_parse, lines):
                    if line is not None and line.turn is not None:
                        log(f"{line.turn}: {line.text}")
                if (answer := self.read_answer(folder)) is not None:
                    return replace(answer, seconds=time.monotonic() - begun, metadata=_facts(call))
            raise TeacherFault(
                "transient", "The local teacher's process ended.", f"Its last lines are in {self._log_file}."
            )
        except BaseException:
            (folder / REQUEST).unlink(missing_ok=True)  # the engine drops the call
            raise
        finally:
            (folder / GROWING).unlink(missing_ok=True)  # the folder will be another call's

    def read_answer(self, folder: Path) -> Answer | None:
        """The answer in ``folder``, if its last line is there whole."""
        try:
            *_, last = (folder / OUT).read_text("utf-8", "replace").splitlines()
        except (OSError, ValueError):
            return None
        line = _parse(last)
        return _answer(line) if line is not None and line.done else None

    def read_growing(self, folder: Path) -> str:
        """The words that the engine has written down so far."""
        try:
            return (folder / GROWING).read_text("utf-8", "replace")
        except OSError:
            return ""

    async def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            await self._engine.stop()
            self._engine = None

    @property
    def _log_file(self) -> Path:
        return self._place.logs / "teacher.log"

    def _write_job(self) -> Path:
        teacher, generation = self._settings.teacher, self._settings.generation
        arguments = {
            "calls": str(self._run.calls),
            "model": teacher.model or BUNDLED,
            "max_new_tokens": str(teacher.max_new_tokens or MAX_NEW_TOKENS),
            "temperature": str(TEMPERATURE if teacher.temperature is None else teacher.temperature),
            "seed": str(generation.seed),
            "batch": str(teacher.batch * generation.instances),
        }
        return write_job(NAME, self._place, self._run, self._settings, arguments)


async def _ready(child: Child, reports: Path) -> TeacherInfo:
    """Follow the engine's reports until it is ready."""
    async for lines in follow(reports, lambda: not child.running):
        for event in map(events.decode, lines):
            if isinstance(event, events.TeacherReady):
                return TeacherInfo(name=NAME, version=event.version, model=event.version, detail=event.detail)
            if isinstance(event, events.WorkerFailed):
                raise TeacherFault("protocol", event.message, event.hint)
    code = await child.wait()
    raise TeacherFault(
        "protocol", f"The local teacher's process ended with code {code} before it was ready.", "See logs/teacher.log."
    )


def _facts(call: Call) -> dict[str, str | int | float]:
    """What a sample says of how its answer was made."""
    shown = {"prompt_characters_shown": turns.MAX_QUERY_CHARS} if turns.is_shortened(call.query) else {}
    return {"recipe": turns.RECIPE, **shown}


def _parse(line: str) -> _Line | None:
    """A line of ``out``; None for one that was torn by a kill."""
    try:
        return _decoder.decode(line)
    except UNREADABLE:
        return None


def _answer(line: _Line) -> Answer:
    return Answer(
        text=line.text,
        mode="turns",
        prompt_tokens=line.prompt_tokens,
        completion_tokens=line.completion_tokens,
        truncated=line.truncated,
        metadata={"recipe": turns.RECIPE},
    )
