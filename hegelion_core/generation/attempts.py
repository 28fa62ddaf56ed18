"""An attempt at a prompt: one call to the teacher, or a dialogue of several, each with a folder of its own."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hegelion_core import events
from hegelion_core.dialectic.contract import meets
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.event_log import EventLog
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.dialogue import Dialogue, Outcome, Plan, as_parts, judged_whole
from hegelion_core.generation.gate import Gate
from hegelion_core.generation.instance_log import Write, prefixed
from hegelion_core.generation.pacing import Pace
from hegelion_core.teachers.teacher import Answer, Call, Teacher, TeacherFault


@dataclass(frozen=True)
class StepFailure:
    """A step of a dialogue that got no answer."""

    call: Call
    fault: TeacherFault
    began: float
    """Of ``time.monotonic``."""
    before: int
    """How often this step failed before."""


@dataclass(frozen=True)
class Attempts:
    """What all attempts of one generation share."""

    teacher: Teacher
    folders: CallFolders
    log: EventLog
    pace: Pace
    gate: Gate
    """For the calls of dialogues; whole answers wait for their turn before the prompt is taken."""
    plan: Plan
    asked_again: Callable[[StepFailure, Write], bool]
    """Whether a step that failed is asked again. Raises ``UserError`` where all has to end."""
    going_on: Callable[[], None]
    """A step begins: whatever was waited for is over."""

    @contextlib.contextmanager
    def begin(self, call: Call, write: Write) -> Iterator[Attempt]:
        """An attempt. Its folders live until its answer was kept, inside; after a cancellation they stay, and what was
        written whole is salvaged at the next start."""
        attempt = Attempt(self, call, write)
        yield attempt
        attempt.forget()


@dataclass
class Attempt:
    """One attempt."""

    shared: Attempts
    call: Call
    write: Write
    made: list[Path] = field(default_factory=list)
    """The folders of its calls so far."""

    @property
    def said(self) -> str:
        """What its last call wrote."""
        return self.shared.folders.said(self.made[-1]) if self.made else ""

    def written(self) -> Answer | None:
        """The answer, if it was written whole though it was not waited for; a dialogue has none before its end."""
        if self.made and self.shared.plan.calls == 1:
            with contextlib.suppress(TeacherFault):
                return self.shared.teacher.read_answer(self.made[-1])
        return None

    def forget(self) -> None:
        """Remove the folders of its calls."""
        while self.made:
            self.shared.folders.remove(self.made.pop())

    async def answer(self) -> Answer:
        """A whole answer.

        Raises:
            TeacherFault: there is none.
            UserError: it ended in a way that ends the generation.
        """
        plan = self.shared.plan
        if plan.calls == 1:
            self.made.append(folder := self.shared.folders.make(self.call))
            return await self._request(self.call, folder, self.write)
        dialogue = Dialogue(self.call, plan, self._step)
        if plan.critics:
            return (await dialogue.hold(judges=lambda parsed: meets(parsed, self.call.query))).as_answer
        answer = await self._step(self.call)
        try:
            parts = as_parts(answer.text)
        except SampleFault:
            return answer  # the intake says what is wrong with it, without a judge
        return judged_whole(answer, await dialogue.judged(Outcome(parts)))

    async def _request(self, call: Call, folder: Path, write: Write) -> Answer:
        asked = events.SampleRequested(instance=call.instance, prompt_id=call.prompt_id, attempt=call.attempt)
        self.shared.log.publish(asked)
        answer = await self.shared.teacher.ask(call, folder, write)
        self.shared.pace.answered(time.monotonic())
        return answer

    async def _step(self, call: Call) -> Answer:
        """One call of a dialogue, made again while ``asked_again`` says so.

        Raises:
            TeacherFault: there is no answer; its folder is the last one.
            UserError: it ended in a way that ends the generation.
        """
        write = prefixed(self.write, f"{call.step.critic or call.step.role}: ") if call.step else self.write
        for before in itertools.count():
            async with self.shared.gate.passed():
                self.shared.going_on()
                began = time.monotonic()
                self.made.append(folder := self.shared.folders.make(call))
                try:
                    return await self._request(call, folder, write)
                except TeacherFault as fault:
                    self.made.remove(folder)  # critics are asked at once: it need not be the last
                    if not self.shared.asked_again(StepFailure(call, fault, began, before), write):
                        self.made.append(folder)
                        raise
                    self.shared.folders.remove(folder)
        raise AssertionError
