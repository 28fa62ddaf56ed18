"""Generation: instances ask the teacher until the sample file holds what is wanted.

The core runs one ``Generator``. An instance is a log, a number, and as many slots as the teacher takes calls at once;
a slot takes a prompt, asks, and hands the answer in. All of them share one ledger, one pace and one breaker.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import shutil
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path

from msgspec.structs import replace

from hegelion_core import events
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import EventLog
from hegelion_core.generation.attempts import Attempt, Attempts, StepFailure
from hegelion_core.generation.breaker import Breaker, Failure
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.claims import Claims
from hegelion_core.generation.dialogue import finished, main_call, plan_of
from hegelion_core.generation.fatal import FATAL, as_user_error
from hegelion_core.generation.gate import Gate
from hegelion_core.generation.instance_log import InstanceLogs, Write, labelled, shortened
from hegelion_core.generation.intake import Intake
from hegelion_core.generation.ledger import Ledger
from hegelion_core.generation.pacing import Pace
from hegelion_core.generation.prompts import Prompt
from hegelion_core.generation.quota import QuotaPatience
from hegelion_core.generation.store import SampleStore
from hegelion_core.redaction import Redactor
from hegelion_core.settings import GenerationSettings
from hegelion_core.teachers.teacher import Call, Teacher, TeacherFault, TeacherInfo
from hegelion_core.workspace import RunFolder, Workspace

MAX_TOOL_USES = 3
"""Prompts of a run that made the teacher reach for a tool before generation stops."""
LOOK_ELSEWHERE = 1.0
"""Seconds between looks at what other processes on the same output do; nothing tells of it."""
STEP_RETRIES = 2
"""Times that a step of a dialogue is asked again, whoever is to blame: it would take all steps before it along."""
TOLD_WAIT = 3.0
"""Seconds of a wait from which on it is told; shorter ones are part of any life."""

LONG_WAIT = 1800.0
"""Seconds: a provider that wants to be left alone for longer is waited for as for a quota, and no longer."""

_WHILE_WAITING = {
    "quota": "The plan's quota is used up",
    "rate": "The provider limits how often it may be asked",
    "transient": "The provider or the network is not available",
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
        target: int,
        provenance: dict[str, object] | None = None,
        key_variable: str = "",
    ) -> None:
        """Use ``run``.

        Args:
            target: how many accepted samples the file shall hold.
            provenance: joins each sample's metadata.
            key_variable: holds a credential, whatever it is called.
            run, place, settings, teacher, store, claims, log, prompts: what is worked with.
        """
        self._teacher = teacher
        self._redact = Redactor(os.environ, (key_variable,))
        self._folders = CallFolders(run.calls, self._redact)
        self._logs = InstanceLogs(place.generator_log, self._redact)
        self._store = store
        self._log = log
        self._target = target
        self._provenance = provenance or {}
        self._ledger = Ledger(
            prompts,
            store,
            claims,
            attempts=log.state.attempts,
            set_aside=log.state.set_aside,
            max_attempts=settings.max_attempts,
        )
        self._plan = plan_of(settings)
        self._min_score = settings.min_score
        self._active = set(range(1, settings.instances + 1))
        self._pace = Pace(self._most_calls, lambda: random.uniform(1.0, 1.5))  # noqa: S311 - no secret
        self._told_pace = self._pace.allowed
        self._attempts = Attempts(
            teacher,
            self._folders,
            log,
            self._pace,
            Gate(self._pace),
            self._plan,
            self._asked_again,
            self._tell_resumed,
        )
        self._quota = QuotaPatience(settings.quota_wait)
        self._breaker = Breaker(time.monotonic())
        self._failed_at: dict[str, float] = {}
        self._tool_uses = log.state.failed_by_kind.get("tool_use", 0)
        self._paused_until = 0.0
        self._changed = asyncio.Condition()
        self._slots = asyncio.TaskGroup()
        self._open = False
        self._running: defaultdict[int, set[asyncio.Task[None]]] = defaultdict(set)
        """Slots that run, by instance."""
        self._dismissed: set[asyncio.Task[None]] = set()
        """Slots whose instance a person stopped."""

    async def run(self) -> None:
        """Generate until the file holds ``target`` samples.

        Raises:
            UserError: the teacher ended it (with its exit code), or the prompts ran out.
            OSError: a file could not be written; an answer that was not kept yet is salvaged at the next start.
        """
        self.scale(len(self._active))
        self.tidy()
        try:
            info = await self._teacher.start()
        except TeacherFault as fault:
            raise as_user_error(fault.redacted(self._redact)) from None
        self._log.publish(events.TeacherReady(teacher=info.name, version=info.version, detail=info.detail))
        self._intake = self._make_intake(info)
        if self._missing() > 0:
            await self._prove()
        try:
            async with asyncio.TaskGroup() as self._slots:
                self._open = True
                self._fill()
        except* (UserError, OSError) as group:
            # The first fault ends all slots; others of the same moment tell the same.
            raise _first(group) from None
        finally:
            self._open = False
            self._folders.close()
        if self._missing() > 0:
            raise UserError(
                f"The prompts ran out: {self._store.accepted} of {self._target} samples are accepted, "
                f"{self._ledger.set_aside} prompts set aside{self._why_set_aside()}.",
                "Give more prompts (--dataset, --prompt-file) or a smaller --limit, and run the same command again.",
            )

    def _why_set_aside(self) -> str:
        """The last reason of each prompt that was given up, counted."""
        reasons = Counter(reasons[-1] for reasons in self._log.state.set_aside.values() if reasons)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
        return f" ({told}; see {self._store.rejected_path.name})" if told else ""

    def tidy(self) -> None:
        """Take up what a killed core left, and put away the rest."""
        state = self._log.state
        self._intake = self._make_intake(TeacherInfo(name=state.teacher_program, version=state.teacher_version))
        self._salvage()
        self._teacher.tidy()

    def scale(self, instances: int) -> None:
        """Run this many instances from now on; one that is too many ends after its calls."""
        kept = sorted(self._active)[:instances]
        free = (number for number in itertools.count(1) if number not in self._active)
        self._set_active({*kept, *itertools.islice(free, instances - len(kept))})
        if self._open:
            self._fill()

    def stop_instance(self, number: int) -> int:
        """Stop one instance now: its calls end, and others ask their prompts. How many instances are left.

        Raises:
            UserError: it is not at work, or the only one that is.
        """
        if number not in self._active or not self._open:
            raise UserError(f"Generator {number} is not at work.", "Nothing was stopped.", ExitCode.NOT_READY)
        if len(self._active) == 1:
            raise UserError(f"Generator {number} is the only one at work.", "Stop the run.", ExitCode.NOT_READY)
        self._set_active(self._active - {number})
        slots = self._running.pop(number)
        self._dismissed |= slots
        for slot in slots:
            slot.cancel()
        return len(self._active)

    def _set_active(self, numbers: set[int]) -> None:
        self._active = numbers
        self._pace.scale(self._most_calls)
        self._log.publish(events.InstancesScaled(count=len(numbers), numbers=tuple(sorted(numbers))))
        self._tell_pace()

    def look_again(self) -> None:
        """The sample file counts otherwise now, as a person decided: what is missing may be more, or less."""
        if self._open:
            self._fill()

    def _fill(self) -> None:
        """Start the slots that are missing, and wake those that are too many."""
        for number in sorted(self._active):
            running = self._running[number]
            while len(running) < self._teacher.calls_per_instance:
                running.add(slot := self._slots.create_task(self._work(number)))
                slot.add_done_callback(running.discard)  # also if it is stopped before it began
        self._slots.create_task(self._wake())

    @property
    def _most_calls(self) -> int:
        return len(self._active) * self._teacher.calls_per_instance

    def _missing(self) -> int:
        return self._target - self._store.accepted

    def _make_intake(self, info: TeacherInfo) -> Intake:
        return Intake(
            store=self._store,
            ledger=self._ledger,
            log=self._log,
            teacher=info,
            target=self._target,
            provenance=self._provenance,
            min_score=self._min_score,
        )

    # The slots

    async def _work(self, instance: int) -> None:
        """One slot: take a prompt, ask, hand in, again."""
        with self._logs.open(instance) as write:
            while (prompt := await self._take(instance)) is not None:
                try:
                    await self._ask(instance, prompt, write)
                finally:
                    self._ledger.give_back(prompt)
                    await self._wake()
        if slot := asyncio.current_task():
            self._running[instance].discard(slot)  # at once: whoever is added meanwhile takes its place

    async def _take(self, instance: int) -> Prompt | None:
        """The next prompt that nobody does, claimed; waits for its turn, for the pace, and for others."""
        async with self._changed:
            while instance in self._active and self._missing() > 0:
                wait = self._pace.wait(self._ledger.in_flight, time.monotonic())
                if self._ledger.in_flight >= self._missing():
                    wait = None  # what is in flight may suffice
                elif wait == 0:
                    if (prompt := self._ledger.take(self._target)) is not None:
                        self._tell_resumed()
                        return prompt
                    if self._missing() <= 0 or not (self._ledger.in_flight or self._ledger.elsewhere):
                        return None
                    wait = LOOK_ELSEWHERE if self._ledger.elsewhere else None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
        return None

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _ask(self, instance: int, prompt: Prompt, write: Write) -> None:
        """One attempt at ``prompt``: a call, or a dialogue of several.

        Raises:
            UserError: it ended in a way that ends the generation.
        """
        call = Call(
            call_id=f"{prompt.id}-{uuid.uuid4().hex[:8]}",
            prompt_id=prompt.id,
            query=prompt.text,
            instance=instance,
            attempt=self._ledger.attempt(prompt.id),
            correction=self._ledger.correction(prompt.id),
        )
        if self._teacher.calls_per_instance > 1:
            write = labelled(write, prompt.id)
        write(f"asks: {shortened(prompt.text)}")
        began = time.monotonic()
        fault: TeacherFault | None = None
        failure: Failure | None = None
        with self._attempts.begin(call, write) as attempt:
            try:
                answer = await attempt.answer()
            except asyncio.CancelledError:
                if asyncio.current_task() in self._dismissed:
                    self._stopped(attempt, write)
                raise  # what a stop of the whole run leaves is taken up at the next start
            except TeacherFault as raw:
                fault = raw.redacted(self._redact)
                counts = self._counts(prompt.id, fault, began)
                self._intake.failed(call, fault, attempt.said, write, counts=counts)
            else:
                failure = self._intake.answered(call, answer, write)
        if fault is not None:
            self._fault(fault, began)
        else:
            self._conclude(failure)

    def _stopped(self, attempt: Attempt, write: Write) -> None:
        """A person stopped the instance. What it had said whole is taken; the rest is asked anew."""
        if (answer := attempt.written()) is None:
            self._intake.stopped(attempt.call, attempt.said, write)
        else:
            self._intake.answered(attempt.call, answer, write)
        attempt.forget()

    def _asked_again(self, failure: StepFailure, write: Write) -> bool:
        """Whether a step of a dialogue is asked again: what the service is to blame for ends no dialogue.

        Raises:
            UserError: this fault ends the generation.
        """
        fault = failure.fault.redacted(self._redact)
        if fault.kind not in _WHILE_WAITING:
            return False
        if failure.before >= STEP_RETRIES and self._counts(failure.call.prompt_id, fault, failure.began):
            return False
        write(f"failed ({fault.kind}): {fault.message}; it is asked again")
        self._fault(fault, failure.began)
        return True

    # What an end means for all

    def _counts(self, prompt_id: str, fault: TeacherFault, began: float) -> bool:
        """Whether a failure counts against its prompt: what the service is to blame for does not.

        A transient failure is the service's, unless others were answered since this prompt failed before.
        """
        if fault.kind == "transient":
            return self._pace.answered_since(self._failed_at.setdefault(prompt_id, began))
        return fault.kind not in (*FATAL, "quota", "rate")

    def _fault(self, fault: TeacherFault, began: float) -> None:
        """Draw the conclusions from a call without an answer.

        Raises:
            UserError: this fault ends the generation.
        """
        if fault.kind in FATAL:
            raise as_user_error(fault)
        now = time.monotonic()
        if fault.kind == "quota" or (fault.retry_after or 0.0) > LONG_WAIT:
            self._pause_for_quota(fault, now)
            return
        match fault.kind:
            case "rate":
                self._pace.rate_limited(began, now, fault.retry_after)
            case "transient":
                self._pace.out_of_service(began, now, fault.retry_after)
            case "tool_use":
                self._count_tool_use()
        if fault.kind in _WHILE_WAITING:
            self._tell_wait(fault, now)
        self._conclude(Failure(fault.kind, fault.message, fault.hint))

    def _conclude(self, failure: Failure | None) -> None:
        """Account for an end, good or bad.

        Raises:
            UserError: nearly everything fails.
        """
        now = time.monotonic()
        if failure is None:
            self._breaker.good(now)
        else:
            self._breaker.bad(failure)
        self._tell_pace()
        if (reason := self._breaker.trips(now)) is not None:
            advice = reason.hint or "Mend the cause."
            raise UserError(reason.message, f"{advice} The same command goes on; what was accepted is kept.")

    def _pause_for_quota(self, fault: TeacherFault, now: float) -> None:
        wait = self._quota.grant(fault.retry_after, now)
        if wait is None:
            raise UserError(fault.message, fault.hint, ExitCode.COME_BACK_LATER)
        self._pace.pause(now, wait)
        self._tell_wait(fault, now)

    def _count_tool_use(self) -> None:
        self._tool_uses += 1
        if self._tool_uses >= MAX_TOOL_USES:
            raise UserError(
                f"The teacher tried to use a tool on {self._tool_uses} prompts of this run; generation was stopped.",
                "Look at the rejected file, and check the teacher's version and settings before you go on.",
            )

    async def _prove(self) -> None:
        """Have the teacher show that it obeys no orders in a prompt, before it sees any.

        Raises:
            UserError: it obeyed, or it could not be found out.
        """
        with self._logs.open(1) as write:
            for step in {bool(self._plan.critics), self._plan.calls > 1}:
                await self._prove_once(write, step=step)

    async def _prove_once(self, write: Write, *, step: bool) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._teacher.prove(write, step=step)
            except TeacherFault as raw:
                fault = raw.redacted(self._redact)
                if fault.kind == "tool_use":
                    raise UserError(fault.message, fault.hint) from None
                write(f"failed ({fault.kind}): {fault.message}")
                self._fault(fault, began)
            else:
                self._pace.answered(time.monotonic())
                return
            await asyncio.sleep(max(0.0, self._pace.until - time.monotonic()))
            self._tell_resumed()

    # What is told

    def _tell_pace(self) -> None:
        if self._told_pace != self._pace.allowed:
            self._told_pace = self._pace.allowed
            self._log.publish(events.PaceChanged(allowed=self._pace.allowed, maximum=self._pace.maximum))

    def _tell_wait(self, fault: TeacherFault, now: float) -> None:
        wait = self._pace.until - now
        until = time.time() + wait
        if wait < TOLD_WAIT or until < self._paused_until + 1:
            return
        self._paused_until = until
        reason = f"{_WHILE_WAITING[fault.kind]} ({fault.message.rstrip('.')})"
        self._log.publish(events.GenerationPaused(reason=reason, until=until, kind=fault.kind, advice=fault.hint))

    def _tell_resumed(self) -> None:
        if self._paused_until:
            self._paused_until = 0.0
            self._log.publish(events.GenerationResumed())

    # Answers that an earlier core left

    def _salvage(self) -> None:
        """Take up the answers that were written whole while no core was there to read them; drop the other calls."""
        self._store.mend()
        for folder, call in reversed(list(self._folders.left())):  # a dialogue's last step first: it holds the most
            # The core may have died between keeping an answer and removing its folder.
            if call and self._ledger.prompt(call.prompt_id) and not self._store.knows_call(main_call(call.call_id)):
                self._salvage_call(call, folder)
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.close()
        self._ledger.forget_done()

    def _salvage_call(self, call: Call, folder: Path) -> None:
        main = main_call(call.call_id)
        with self._logs.open(call.instance) as write:
            try:
                answer = self._teacher.read_answer(folder)
                if answer is not None and call.step is not None:
                    judged = self._teacher.read_answer(folder.with_name(main))
                    answer = finished(call, answer, judged)
            except TeacherFault as fault:
                self._tool_uses += fault.kind == "tool_use"
                self._intake.failed(call, fault, self._folders.said(folder), write, counts=True)
                return
            if answer is None:
                self._intake.cut_off(call, self._folders.said(folder))
            else:
                write("found an answer that was written whole before the core ended")
                self._intake.answered(replace(call, call_id=main), answer, write, salvaged=True)


def _first(group: BaseExceptionGroup[UserError | OSError]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
