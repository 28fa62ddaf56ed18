"""A dialogue: one question argued through in several calls. Thesis, critics at once, synthesis and answer, judge.

The calls go through whoever calls them (``Ask``), who knows of folders, pace and retries. Each step's request holds
what was said before it, so the last one and its reply are a whole answer (``finished``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from msgspec.structs import replace

from hegelion_core.dialectic import council, steps
from hegelion_core.dialectic.agent_log import Critique, Judgement
from hegelion_core.dialectic.council import Critic, Preset
from hegelion_core.dialectic.judge import read_judgement
from hegelion_core.dialectic.labels import labelled_items
from hegelion_core.dialectic.parsing import ParsedOutput, SampleFault, parse_output, render_output
from hegelion_core.dialectic.steps import Step
from hegelion_core.settings import GenerationSettings
from hegelion_core.teachers.teacher import Answer, Call, FaultKind, TeacherFault

T = TypeVar("T")
Ask = Callable[[Call], Awaitable[Answer]]
"""Makes one call. Raises ``TeacherFault`` where there is none; what the service is to blame for was tried again."""
SCORE, REASONS = "judge_score", "judge_reasons"
"""What the judge said, in an answer's metadata."""

_ENDS_ALL: frozenset[FaultKind] = frozenset({"not_logged_in", "quota", "terminated", "balance", "rate", "tool_use"})
"""Faults of a critic or judge that are not its own: they concern whoever asks next, too."""


@dataclass(frozen=True)
class Plan:
    """Who takes part."""

    critics: tuple[Critic, ...]
    """None: the teacher writes all parts in one reply."""
    judge: bool

    @property
    def calls(self) -> int:
        """How many calls one answer takes, if none has to be repeated."""
        return (len(self.critics) + 2 if self.critics else 1) + self.judge

    @property
    def in_words(self) -> str:
        """``council of 3 critics and a judge``."""
        many = len(self.critics)
        names = [f"council of {many} critic{'s' if many > 1 else ''}"] * bool(many) + ["judge"] * self.judge
        return " and a ".join(names)

    def cost(self, missing: int | None) -> str:
        """What it costs, before it is spent: calls a sample, and in all for ``missing`` samples; empty for one call."""
        if self.calls == 1:
            return ""
        told = f"A {self.in_words}: {self.calls} calls a sample"
        return f"{told}, at least {self.calls * missing:,} for {missing:,} samples." if missing else f"{told}."


def plan_of(settings: GenerationSettings) -> Plan:
    """The plan of a generation; a minimum score needs a judge."""
    critics = () if settings.council == "none" else council.COUNCILS[settings.council]
    return Plan(critics, settings.judge or settings.min_score > 0)


def plan_to_ask(preset: Preset | None, *, judge: bool) -> Plan:
    """The plan of a single question: without a council one critic makes the case against the thesis."""
    return Plan(council.COUNCILS[preset] if preset else (council.CRITIC,), judge)


@dataclass(frozen=True)
class _Kept(Generic[T]):
    """What was read of a reply, and whether a limit cut it."""

    found: T
    truncated: bool


@dataclass(frozen=True)
class Outcome:
    """What a dialogue came to."""

    parts: Step
    """Thesis, critiques, synthesis, answer."""
    judgement: Judgement | None = None
    judge_failure: str = ""
    """Why there is no score, though one was wanted."""
    calls: int = 0
    """Replies that it took."""
    times: Mapping[str, float] = field(default_factory=dict)
    """Seconds of thesis, antithesis (all critics), synthesis and judge."""
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    metadata: dict[str, str | int | float] = field(default_factory=dict)
    """What the teacher says of its answers."""
    truncated: bool = False
    """Whether a limit cut a part, also when it was asked for once more."""

    @property
    def failures(self) -> dict[str, str]:
        """Critics that gave nothing, and why."""
        return {critique.critic: critique.failure for critique in self.parts.critiques if not critique.text}

    @property
    def parsed(self) -> ParsedOutput:
        """The parts as of any answer."""
        antithesis, synthesis = self.parts.antithesis, self.parts.synthesis
        return ParsedOutput(
            self.parts.thesis,
            antithesis,
            synthesis,
            self.parts.answer,
            labelled_items(antithesis, "contradiction", "evidence"),
            labelled_items(synthesis, "proposal", "prediction"),
        )

    @property
    def as_answer(self) -> Answer:
        """In the form of a teacher's answer, for the sample contract."""
        facts: dict[str, str | int | float] = {**self.metadata, "recipe": steps.RECIPE}
        facts["critics"] = ", ".join(each.critic for each in self.parts.critiques if each.text)
        if self.failures:
            facts["critics_failed"] = ", ".join(self.failures)
        return Answer(
            text=render_output(self.parsed),
            mode="dialogue",
            seconds=self.seconds,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            truncated=self.truncated,
            metadata=facts | _judged(self.judgement),
        )


class Listener(Protocol):
    """Whoever wants to know how a dialogue goes."""

    def begins(self, step: Step) -> None:
        """A step is asked."""

    def said(self, step: Step, text: str) -> None:
        """A step was answered; ``text`` as it will be used, of a synthesis with ``ANSWER:`` behind it."""

    def failed(self, step: Step, why: str, *, again: bool) -> None:
        """A step gave nothing that can be used; ``again``: it is asked once more."""


class Silence:
    """A listener for whom nothing has to be told."""

    def begins(self, step: Step) -> None: ...

    def said(self, step: Step, text: str) -> None: ...

    def failed(self, step: Step, why: str, *, again: bool) -> None: ...


class Dialogue:
    """One question on its way through its steps."""

    def __init__(self, call: Call, plan: Plan, ask: Ask, listener: Listener | None = None) -> None:
        """``call`` is the question; the calls of the steps bear its name with a number."""
        self._call = call
        self._plan = plan
        self._ask = ask
        self._listener: Listener = listener or Silence()
        self._asked = 0
        self._answers: list[Answer] = []
        self._began = time.monotonic()
        self._first: dict[str, float] = {}
        self._times: dict[str, float] = {}
        self._truncated = False

    async def hold(self, *, judges: Callable[[ParsedOutput], bool] = lambda _: True) -> Outcome:
        """Go through all steps. ``judges`` says whether what was said is worth a judge's call.

        Raises:
            TeacherFault: thesis or synthesis could not be had, every critic failed, or a fault that concerns all.
        """
        thesis = await self._part(Step(role="thesis"), steps.read_thesis)
        critiques = await self._critiques(thesis)
        step = Step(role="synthesis", thesis=thesis, critiques=critiques)
        synthesis, answer = await self._part(step, steps.read_synthesis, wants_more=lambda found: not found[1])
        outcome = self._outcome(replace(step, synthesis=synthesis, answer=answer))
        return await self.judged(outcome) if self._plan.judge and judges(outcome.parsed) else outcome

    async def judged(self, outcome: Outcome) -> Outcome:
        """The outcome with the judge's word, or why there is none.

        Raises:
            TeacherFault: a fault that concerns all.
        """
        step = replace(outcome.parts, role="judge", critic="")
        judgement, why = None, ""
        try:
            judgement = await self._part(step, lambda text: read_judgement(steps.bare(text)), told=False)
        except TeacherFault as fault:
            if fault.kind in _ENDS_ALL:
                raise
            why = fault.message
        return self._outcome(outcome.parts, judgement, why)

    async def _critiques(self, thesis: str) -> tuple[Critique, ...]:
        """All critics at once; those that fail say why.

        Raises:
            TeacherFault: no critic said anything, or a fault that concerns all.
        """
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._criticise(critic, thesis)) for critic in self._plan.critics]
        except BaseExceptionGroup as found:
            raise _first(found) from None
        critiques = tuple(task.result() for task in asked)
        if not any(critique.text for critique in critiques):
            raise TeacherFault("protocol", f"No critic could be had: {critiques[0].failure}")
        return critiques

    async def _criticise(self, critic: Critic, thesis: str) -> Critique:
        step = Step(role="critic", critic=critic.name, thesis=thesis)
        try:
            text = await self._part(step, lambda reply: steps.read_critique(reply, critic.name))
        except TeacherFault as fault:
            if fault.kind in _ENDS_ALL:
                raise
            return Critique(critic=critic.name, failure=f"{fault.kind}: {fault.message}")
        return Critique(critic=critic.name, text=text)

    async def _part(
        self,
        step: Step,
        read: Callable[[str], T],
        *,
        told: bool = True,
        wants_more: Callable[[T], bool] = lambda _: False,
    ) -> T:
        """Ask for one step. A reply that cannot be used is asked for once more, with its fault named.

        Args:
            step: the step.
            read: takes its part out of a reply.
            told: whether the listener gets the reply's text, or only that it came (a judge's is told otherwise).
            wants_more: what was read can be used, but lacks something that is worth asking once more.

        Raises:
            TeacherFault: no answer, or none that can be used.
        """
        self._listener.begins(step)
        name = "antithesis" if step.role == "critic" else step.role
        began = self._first.setdefault(name, time.monotonic())
        correction = self._call.correction if step.role in ("thesis", "synthesis") else None
        kept: _Kept[T] | None = None
        for again in (True, False):
            try:
                answer = await self._ask(self._next(step, correction))
                self._answers.append(answer)
                self._times[name] = time.monotonic() - began
                found = _Kept(read(answer.text), answer.truncated and step.role != "judge")
                if again and (flaw := _flaw(found, wants_more)):
                    kept = found
                    raise flaw
            except SampleFault as fault:
                self._listener.failed(step, fault.detail, again=again)
                correction = fault.detail
            except TeacherFault as fault:
                self._listener.failed(step, fault.message, again=False)
                raise
            else:
                kept = found
                break
        if kept is None:
            raise TeacherFault(
                "protocol", f"The {step.critic or step.role} gave no reply that can be used. {correction}"
            )
        self._truncated = self._truncated or kept.truncated
        self._listener.said(step, _text(kept.found) if told else "")
        return kept.found

    def _next(self, step: Step, correction: str | None) -> Call:
        self._asked += 1
        return replace(self._call, call_id=f"{self._call.call_id}.{self._asked:02}", step=step, correction=correction)

    def _outcome(self, parts: Step, judgement: Judgement | None = None, judge_failure: str = "") -> Outcome:
        facts: dict[str, str | int | float] = {}
        for answer in self._answers:
            facts |= answer.metadata
        return Outcome(
            parts,
            judgement,
            judge_failure,
            len(self._answers),
            dict(self._times),
            round(time.monotonic() - self._began, 3),
            _sum([answer.prompt_tokens for answer in self._answers]),
            _sum([answer.completion_tokens for answer in self._answers]),
            facts,
            self._truncated,
        )


def main_call(call_id: str) -> str:
    """The call of a dialogue of which this is a step's; any other call's own."""
    return call_id.partition(".")[0]


def finished(call: Call, answer: Answer, judged: Answer | None) -> Answer | None:
    """The whole answer that a step's request and its reply make, for the salvage; ``None`` where more was to come.

    ``judged`` is the answer in one reply about which a judge was asked, if there is one.
    """
    step = call.step
    if step is None:
        return answer
    try:
        if judged is not None:
            return judged_whole(judged, Outcome(step, read_judgement(steps.bare(answer.text))))
        if step.role == "synthesis":
            synthesis, last = steps.read_synthesis(answer.text)
            step = replace(step, synthesis=synthesis, answer=last)
            return Outcome(step, metadata=answer.metadata).as_answer
        if step.role == "judge":
            judgement = read_judgement(steps.bare(answer.text))
            return Outcome(step, judgement, metadata=answer.metadata).as_answer
    except SampleFault:
        return None
    return None


def judged_whole(answer: Answer, outcome: Outcome) -> Answer:
    """An answer in one reply, as the teacher wrote it, with what the judge said of it."""
    facts = {**answer.metadata, **_judged(outcome.judgement)}
    return replace(
        answer,
        prompt_tokens=_sum([answer.prompt_tokens, outcome.prompt_tokens]),
        completion_tokens=_sum([answer.completion_tokens, outcome.completion_tokens]),
        seconds=answer.seconds + outcome.seconds,
        metadata=facts,
    )


def as_parts(text: str) -> Step:
    """The parts of an answer in one reply, for a judge.

    Raises:
        SampleFault: it cannot be read.
    """
    parsed = parse_output(text)
    critique = Critique(critic=council.CRITIC.name, text=parsed.antithesis)
    return Step(
        role="judge", thesis=parsed.thesis, critiques=(critique,), synthesis=parsed.synthesis, answer=parsed.answer
    )


def _flaw(found: _Kept[T], wants_more: Callable[[T], bool]) -> SampleFault | None:
    """Why a reply that can be used is worth asking for once more."""
    if found.truncated:
        return SampleFault("cut_off", "The reply stops before its end; write it shorter and finish every sentence.")
    if wants_more(found.found):
        return SampleFault("incomplete", "A part of the form is missing; keep to it, with each label.")
    return None


def _judged(judgement: Judgement | None) -> dict[str, str | int | float]:
    if judgement is None:
        return {}
    return {SCORE: judgement.score, REASONS: judgement.improvements or judgement.reasons}


def _text(found: object) -> str:
    """What was read, for a listener; a synthesis with its answer as ``steps.read_synthesis`` takes them apart."""
    return "\n\nANSWER: ".join(filter(None, found)) if isinstance(found, tuple) else str(found)


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
