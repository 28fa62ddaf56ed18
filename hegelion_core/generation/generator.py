"""Generation: instances ask the teacher until the sample file holds what is wanted.

The core runs one ``Generator``. An instance is a log, a number, and as many slots as the teacher takes calls at once;
a slot takes a prompt, asks, and hands the answer to the sample contract.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import TextIO

import msgspec

from hegelion_core import events, workspace
from hegelion_core.dialectic.contract import make_sample
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.prompts import STUDENT_SYSTEM
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import EventLog
from hegelion_core.generation.claims import Claims
from hegelion_core.generation.prompts import Prompt
from hegelion_core.generation.store import Rejected, SampleStore
from hegelion_core.settings import GenerationSettings
from hegelion_core.teachers.teacher import REQUEST, Answer, Call, FaultKind, Teacher, TeacherFault, TeacherInfo
from hegelion_core.workspace import RunFolder, Workspace

BACKOFF = 2.0
"""Seconds before the second attempt after a failure; doubles with each, with up to half of jitter on top."""
MAX_BACKOFF = 120.0
BREAKER = 10
"""Failures in a row, over all instances, after which generation stops and says why."""
MAX_TOOL_USES = 3
"""Prompts that made the teacher reach for a tool before generation stops."""

_FATAL: dict[FaultKind, ExitCode] = {
    "not_logged_in": ExitCode.NOT_READY,
    "terminated": ExitCode.FAILED,
    "balance": ExitCode.FAILED,
    "quota": ExitCode.COME_BACK_LATER,
}


class Generator:
    """Runs the instances of one generation; ``scale`` changes their number while it runs."""

    def __init__(
        self,
        *,
        run: RunFolder,
        place: Workspace,
        settings: GenerationSettings,
        teacher: Teacher,
        store: SampleStore,
        claims: Claims,
        log: EventLog,
        prompts: list[Prompt],
    ) -> None:
        self._run = run
        self._place = place
        self._settings = settings
        self._teacher = teacher
        self._store = store
        self._claims = claims
        self._log = log
        self._prompts = {prompt.id: prompt for prompt in prompts}
        set_aside = log.state.set_aside
        self._pending = deque(p for p in prompts if p.id not in store.done and p.id not in set_aside)
        self._attempts = dict(log.state.attempts)
        self._reasons: dict[str, list[str]] = {}
        self._corrections: dict[str, str] = {}
        self._info = TeacherInfo(name="", version="")
        self._wanted = settings.instances
        self._in_flight = 0
        self._failures_in_a_row = 0
        self._tool_uses = 0
        self._changed = asyncio.Condition()
        self._slots = asyncio.TaskGroup()
        self._running: Counter[int] = Counter()
        """Slots that run, by instance."""

    async def run(self) -> None:
        """Generate until the file holds ``limit`` samples.

        Raises:
            UserError: the teacher ended it (with its exit code), or the prompts ran out.
            OSError: a file could not be written; an answer that was not kept yet is salvaged at the next start.
        """
        try:
            self._info = await self._teacher.start()
        except TeacherFault as fault:
            raise _as_user_error(fault) from None
        self._log.publish(
            events.TeacherReady(teacher=self._info.name, version=self._info.version, detail=self._info.detail)
        )
        self._salvage()
        try:
            async with asyncio.TaskGroup() as self._slots:
                self.scale(self._wanted)
        except* (UserError, OSError) as group:
            # The first fault ends all slots; others of the same moment tell the same.
            raise _first(group) from None
        if self._missing() > 0:
            raise UserError(
                f"The prompts ran out: {self._store.accepted} of {self._settings.limit} samples are accepted, "
                f"{len(self._log.state.set_aside)} prompts were set aside.",
                "Give more prompts (--dataset, --prompt-file) or a smaller --limit, and run the same command again.",
            )

    def scale(self, instances: int) -> None:
        """Run this many instances from now on; one that is too many ends after its calls."""
        self._wanted = instances
        self._log.publish(events.InstancesScaled(count=instances))
        for number in range(1, instances + 1):
            for _ in range(self._teacher.calls_per_instance - self._running[number]):
                self._running[number] += 1
                self._slots.create_task(self._work(number))

    def _missing(self) -> int:
        return self._settings.limit - self._store.accepted

    async def _work(self, instance: int) -> None:
        """One slot: take a prompt, ask, hand in, again."""
        with self._instance_log(instance) as write:
            while instance <= self._wanted and (prompt := await self._take()) is not None:
                try:
                    delay = await self._ask(instance, prompt, write)
                finally:
                    await self._give_back(prompt)
                if delay:
                    await asyncio.sleep(delay)
        self._running[instance] -= 1

    async def _take(self) -> Prompt | None:
        """The next prompt that nobody does, claimed; waits while no more are missing than are in flight."""
        async with self._changed:
            while True:
                self._store.refresh()
                if self._missing() <= 0:
                    return None
                if self._in_flight < self._missing():
                    if (prompt := self._next()) is not None:
                        self._in_flight += 1
                        return prompt
                    if not self._in_flight:
                        return None
                await self._changed.wait()

    def _next(self) -> Prompt | None:
        for _ in range(len(self._pending)):
            prompt = self._pending.popleft()
            if prompt.id in self._store.done:
                continue
            if self._claims.take(prompt.id):
                return prompt
            self._pending.append(prompt)
        return None

    async def _give_back(self, prompt: Prompt) -> None:
        self._claims.release(prompt.id)
        if prompt.id not in self._store.done and prompt.id not in self._log.state.set_aside:
            # A re-ask that names the fault comes at once; what failed waits for its turn.
            (self._pending.appendleft if prompt.id in self._corrections else self._pending.append)(prompt)
        async with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    async def _ask(self, instance: int, prompt: Prompt, write: Callable[[str], None]) -> float:
        """One call for ``prompt``; returns the seconds that this slot should wait afterwards."""
        call = Call(
            call_id=f"{prompt.id}-{uuid.uuid4().hex[:8]}",
            prompt_id=prompt.id,
            query=prompt.text,
            instance=instance,
            attempt=self._attempts.get(prompt.id, 0) + 1,
            correction=self._corrections.pop(prompt.id, None),
        )
        folder = self._run.calls / call.call_id
        folder.mkdir(parents=True)
        workspace.replace(folder / REQUEST, msgspec.json.encode(call))
        self._log.publish(events.SampleRequested(instance=instance, prompt_id=prompt.id, attempt=call.attempt))
        if self._teacher.calls_per_instance > 1:
            write = _labelled(write, prompt.id)
        write(f"asks: {prompt.text}")
        try:
            answer = await self._teacher.ask(call, folder, write)
        except TeacherFault as fault:
            delay = self._failed(call, fault, write)
        else:
            self._failures_in_a_row = 0
            self._answered(call, answer, write)
            delay = 0.0
        shutil.rmtree(folder)
        return delay

    def _answered(self, call: Call, answer: Answer, write: Callable[[str], None], *, salvaged: bool = False) -> None:
        """Hand an answer to the contract and keep it, accepted or not, durably."""
        prompt = self._prompts[call.prompt_id]
        try:
            sample = make_sample(
                call.query,
                answer,
                prompt_id=call.prompt_id,
                system=STUDENT_SYSTEM,
                metadata=self._provenance(prompt, call),
            )
        except SampleFault as fault:
            self._rejected(call, answer, fault.reason, fault.detail, write)
            return
        outcome = self._store.append(sample, self._settings.limit)
        if outcome != "accepted":
            self._rejected(call, answer, "surplus", f"The sample is good, but not needed any more ({outcome}).", write)
            return
        self._log.publish(
            events.SampleAccepted(
                instance=call.instance,
                prompt_id=call.prompt_id,
                sample_id=sample.id,
                accepted=self._store.accepted,
                seconds=answer.seconds,
                tokens=answer.completion_tokens,
                salvaged=salvaged,
            )
        )
        write(f"accepted: {self._store.accepted} of {self._settings.limit}")

    def _rejected(self, call: Call, answer: Answer, reason: str, detail: str, write: Callable[[str], None]) -> None:
        self._keep_rejected(call, reason, detail, answer.text)
        self._log.publish(
            events.SampleRejected(instance=call.instance, prompt_id=call.prompt_id, reason=reason, detail=detail)
        )
        write(f"rejected: {detail}")
        if reason != "surplus":
            self._corrections[call.prompt_id] = detail
            self._count_attempt(call, reason)

    def _failed(self, call: Call, fault: TeacherFault, write: Callable[[str], None]) -> float:
        """Account for a call without an answer; returns the seconds to wait.

        Raises:
            UserError: this fault ends the generation.
        """
        retry_in = fault.retry_after if fault.retry_after is not None else _backoff(call.attempt)
        self._log.publish(
            events.RequestFailed(
                instance=call.instance,
                prompt_id=call.prompt_id,
                kind=fault.kind,
                message=fault.message,
                retry_in=retry_in,
            )
        )
        write(f"failed ({fault.kind}): {fault.message}")
        if fault.kind in _FATAL:
            raise _as_user_error(fault)
        if fault.kind in ("filtered", "tool_use"):
            self._keep_rejected(call, fault.kind, fault.message, "")
            self._count_attempt(call, fault.kind, last=True)
            self._tool_uses += fault.kind == "tool_use"
            if self._tool_uses >= MAX_TOOL_USES:
                raise UserError(
                    f"The teacher tried to use a tool on {self._tool_uses} prompts; generation was stopped.",
                    "Look at the rejected file, and check the teacher's version and settings before you go on.",
                )
            return 0.0
        self._count_attempt(call, fault.kind)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= BREAKER:
            raise UserError(
                f"{BREAKER} calls failed in a row; the last one ({fault.kind}): {fault.message}",
                fault.hint or "Mend the cause and run the same command again; what was accepted is kept.",
            )
        return retry_in

    def _count_attempt(self, call: Call, reason: str, *, last: bool = False) -> None:
        self._attempts[call.prompt_id] = call.attempt
        reasons = self._reasons.setdefault(call.prompt_id, [])
        reasons.append(reason)
        if last or call.attempt >= self._settings.max_attempts:
            self._log.publish(events.PromptSetAside(prompt_id=call.prompt_id, reasons=tuple(reasons)))

    def _keep_rejected(self, call: Call, reason: str, detail: str, text: str) -> None:
        self._store.reject(
            Rejected(
                at=time.time(),
                prompt_id=call.prompt_id,
                query=call.query,
                reason=reason,
                detail=detail,
                attempt=call.attempt,
                text=text,
                teacher=self._info.name,
            )
        )

    def _provenance(self, prompt: Prompt, call: Call) -> dict[str, object]:
        return {
            "prompt_id": prompt.id,
            "source": prompt.source,
            "row": prompt.row,
            "teacher": self._info.name,
            "teacher_version": self._info.version,
            "teacher_model": self._info.model,
            "attempts": call.attempt,
            "created": time.time(),
        }

    def _salvage(self) -> None:
        """Take up the answers that were written whole while no core was there to read them; drop the other calls."""
        if not self._run.calls.exists():
            return
        for folder in sorted(self._run.calls.iterdir()):
            answer = self._teacher.read_answer(folder)
            with contextlib.suppress(OSError, msgspec.DecodeError):
                call = msgspec.json.decode((folder / REQUEST).read_bytes(), type=Call)
                if answer is not None and call.prompt_id in self._prompts:
                    with self._instance_log(call.instance) as write:
                        write("found an answer that was written whole before the core ended")
                        self._answered(call, answer, write, salvaged=True)
            shutil.rmtree(folder)
        self._pending = deque(
            p for p in self._pending if p.id not in self._store.done and p.id not in self._log.state.set_aside
        )

    @contextlib.contextmanager
    def _instance_log(self, instance: int) -> Iterator[Callable[[str], None]]:
        self._place.logs.mkdir(parents=True, exist_ok=True)
        with open(self._place.generator_log(instance), "a", encoding="utf-8", buffering=1) as file:
            yield lambda text: _write_line(file, text)


def _write_line(file: TextIO, text: str) -> None:
    file.write(f"{time.strftime('%H:%M:%S')} {' '.join(text.split())}\n")


def _labelled(write: Callable[[str], None], prompt_id: str) -> Callable[[str], None]:
    """Where calls share a log, each line says whose it is."""
    return lambda text: write(f"[{prompt_id[2:6]}] {text}")


def _first(group: BaseExceptionGroup[UserError | OSError]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _backoff(attempt: int) -> float:
    pause = min(MAX_BACKOFF, BACKOFF * 2.0 ** (attempt - 1))
    return pause * random.uniform(1.0, 1.5)  # noqa: S311 - jitter


def _as_user_error(fault: TeacherFault) -> UserError:
    return UserError(fault.message, fault.hint, _FATAL.get(fault.kind, ExitCode.NOT_READY))
