"""A question outside of any run: a teacher for as long as it takes, a dialogue, an entry for an agent log.

It needs no core and disturbs none that is at work. What its calls write lies in ``artifacts/asks/<process id>/``, which
goes away with it; that of one that was killed is put away by the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from hegelion_core import __version__, own_folder, workspace
from hegelion_core.dialectic import contract, steps
from hegelion_core.dialectic.agent_log import AgentEntry, contradictions, research_proposals
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.steps import Step
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.dialogue import Dialogue, Listener, Outcome, Plan
from hegelion_core.generation.fatal import FATAL, as_user_error
from hegelion_core.generation.gate import Gate
from hegelion_core.generation.instance_log import InstanceLogs, Write, prefixed
from hegelion_core.generation.pacing import Pace
from hegelion_core.redaction import Redactor
from hegelion_core.settings import Settings
from hegelion_core.supervisor import Supervisor, end_orphans
from hegelion_core.teachers.choose import make_teacher
from hegelion_core.teachers.teacher import Answer, Call, Teacher, TeacherFault, TeacherInfo
from hegelion_core.workspace import RunFolder, Workspace

ATTEMPTS = 4
"""Times that one call is made while the service is to blame for its failures."""
LONGEST_WAIT = 120.0
"""Seconds; a provider that wants to be left alone for longer is not waited for while a person waits."""
LOOK_EVERY = 0.25
"""Seconds between two looks at a reply that grows."""
_WAITS = ("rate", "transient")


class Face(Listener, Protocol):
    """Whoever shows how it goes."""

    def ready(self, info: TeacherInfo) -> None:
        """The teacher is there."""

    def heard(self, who: str, text: str) -> None:
        """A line of a teacher's that is not finished yet, or of its program; ``who``: the step, or empty."""

    watches: bool
    """Whether ``grows`` is wanted."""

    def grows(self, step: Step, reply: str) -> None:
        """What there is of a reply, again and again while it is being written."""


@dataclass(frozen=True)
class Asker:
    """Asks questions of one teacher, which runs."""

    teacher: Teacher
    info: TeacherInfo
    folders: CallFolders
    write: Write
    face: Face
    redact: Redactor

    async def ask(self, query: str, plan: Plan) -> AgentEntry:
        """Argue a question through.

        Raises:
            UserError: it could not be had; the exit code says what kind of end that is.
        """
        call = Call(call_id=f"ask-{uuid.uuid4().hex[:8]}", prompt_id=prompt_id(query), query=query, instance=1)
        pace = Pace(max(1, len(plan.critics)), lambda: random.uniform(1.0, 1.5))  # noqa: S311 - no secret
        try:
            outcome = await Dialogue(call, plan, partial(self._call, pace, Gate(pace)), self.face).hold()
        except TeacherFault as fault:
            raise _ended(fault.redacted(self.redact)) from None
        return self._entry(query, outcome)

    async def _call(self, pace: Pace, gate: Gate, call: Call) -> Answer:
        """One call, made again after a wait where the service is to blame.

        Raises:
            TeacherFault: there is no answer.
        """
        who = (call.step.critic or call.step.role) if call.step else ""
        write = prefixed(self.write, f"{who}: ")

        def log(text: str) -> None:
            write(text)
            self.face.heard(who, self.redact(text))

        for left in reversed(range(ATTEMPTS)):
            async with gate.passed():
                began = time.monotonic()
                folder = self.folders.make(call)
                try:
                    async with self._watched(call, folder):
                        answer = await self.teacher.ask(call, folder, log)
                except TeacherFault as fault:
                    log(f"failed ({fault.kind}): {fault.message}")
                    if not left or fault.kind not in _WAITS or (fault.retry_after or 0.0) > LONGEST_WAIT:
                        raise
                    slow = pace.rate_limited if fault.kind == "rate" else pace.out_of_service
                    slow(began, time.monotonic(), fault.retry_after)
                    log(f"asks again in {max(0.0, pace.until - time.monotonic()):.0f} s: {fault.message}")
                else:
                    pace.answered(time.monotonic())
                    return answer
                finally:
                    self.folders.remove(folder)
        raise AssertionError

    @contextlib.asynccontextmanager
    async def _watched(self, call: Call, folder: Path) -> AsyncIterator[None]:
        """Show what grows in a call's folder meanwhile, if someone wants to see it."""
        step = call.step
        if step is None or not self.face.watches:
            yield
            return

        async def watch() -> None:
            while True:
                await asyncio.sleep(LOOK_EVERY)
                if reply := self.teacher.read_growing(folder):
                    self.face.grows(step, self.redact(reply))

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()

    def _entry(self, query: str, outcome: Outcome) -> AgentEntry:
        parsed = outcome.parsed
        return AgentEntry(
            query=query,
            thesis=parsed.thesis,
            antithesis=parsed.antithesis,
            synthesis=parsed.synthesis,
            answer=parsed.answer,
            contradictions=contradictions(parsed.contradictions),
            research_proposals=research_proposals(parsed.research_proposals),
            critiques=outcome.parts.critiques,
            judge=outcome.judgement,
            metadata=self._metadata(query, outcome),
        )

    def _metadata(self, query: str, outcome: Outcome) -> dict[str, object]:
        """How it was made; the names with ``_time_ms`` and ``backend_`` are Hegelion's."""
        info, model = self.info, outcome.metadata.get("model")
        known = {
            "teacher": info.name,
            "teacher_version": info.version,
            "backend_provider": info.name,
            "backend_model": str(model or info.model or info.version),
            "recipe": steps.RECIPE,
            "version": __version__,
            "created": time.time(),
            **{f"{name}_time_ms": round(seconds * 1000) for name, seconds in outcome.times.items()},
            "total_time_ms": round(outcome.seconds * 1000),
            "calls": outcome.calls,
            "prompt_tokens": outcome.prompt_tokens,
            "completion_tokens": outcome.completion_tokens,
            "critics_failed": outcome.failures or None,
            "judge_failed": outcome.judge_failure or None,
            "contract": _contract(query, outcome),
        }
        return {name: value for name, value in known.items() if value is not None}


@contextlib.asynccontextmanager
async def asker(place: Workspace, settings: Settings, face: Face) -> AsyncIterator[Asker]:
    """A teacher, started and proved; it ends with the context, and so does every process of it.

    Raises:
        UserError: it is not ready, and what to do.
        UserError: something lies where questions work that no question leaves.
    """
    redact = Redactor(os.environ, (settings.teacher.key_variable,))
    asks = place.artifacts / "asks"
    own_folder.check(RunFolder(asks))
    run = RunFolder(asks / str(os.getpid()))
    workspace.make_folder(run.spool)
    supervisor = Supervisor(run.mark)
    teacher = make_teacher(settings.generation.teacher, supervisor, run=run, place=place, settings=settings)
    logs = InstanceLogs(lambda _: place.logs / "ask.log", redact)
    try:
        await _put_away(asks, place, settings, supervisor, face)
        with logs.open(1) as write:
            info = await _start(teacher, write, face, redact)
            yield Asker(teacher, info, CallFolders(run.calls, redact), write, face, redact)
    finally:
        await teacher.close()
        await supervisor.close()
        shutil.rmtree(run.path, ignore_errors=True)


async def _start(teacher: Teacher, write: Write, face: Face, redact: Redactor) -> TeacherInfo:
    def log(text: str) -> None:
        write(text)
        face.heard("", redact(text))

    try:
        info = await teacher.start()
        face.ready(info)
        await teacher.prove(log, step=True)
    except TeacherFault as raw:
        fault = raw.redacted(redact)
        raise _ended(fault) if fault.kind in ("quota", "rate", "transient") else as_user_error(fault) from None
    return info


async def _put_away(asks: Path, place: Workspace, settings: Settings, supervisor: Supervisor, face: Face) -> None:
    """End and remove what questions left that were killed."""
    for folder in asks.glob("*"):  # noqa: ASYNC240 - a few names
        if not folder.name.isdecimal() or workspace.alive(int(folder.name)):
            continue
        run = RunFolder(folder)
        await end_orphans(run.mark, lambda text: face.heard("", text))
        make_teacher(settings.generation.teacher, supervisor, run=run, place=place, settings=settings).tidy()
        shutil.rmtree(folder, ignore_errors=True)


def _ended(fault: TeacherFault) -> UserError:
    """The end of a question that got no answer."""
    if fault.kind in FATAL:
        return as_user_error(fault)
    later = fault.kind in ("quota", "rate")
    return UserError(fault.message, fault.hint, ExitCode.COME_BACK_LATER if later else ExitCode.FAILED)


def _contract(query: str, outcome: Outcome) -> str:
    """What the sample contract says of it: ``met``, or the reason why it would be no sample."""
    try:
        contract.check(outcome.parsed, query=query, truncated=outcome.truncated)
    except SampleFault as fault:
        return fault.reason
    return "met"
