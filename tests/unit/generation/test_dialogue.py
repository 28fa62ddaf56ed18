"""A dialogue's steps, with a scripted teacher behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from hegelion_core.dialectic import council
from hegelion_core.dialectic.parsing import ParsedOutput
from hegelion_core.dialectic.steps import Step, user_text
from hegelion_core.generation.dialogue import Dialogue, Outcome, Plan, finished, main_call, plan_of, plan_to_ask
from hegelion_core.settings import GenerationSettings
from hegelion_core.teachers.teacher import Answer, Call, FaultKind, TeacherFault
from tests.fakes.good_answers import good_reply

CALL = Call(call_id="p-1", prompt_id="p", query="Should cities ban cars?", instance=1)
COUNCIL = plan_to_ask("council", judge=True)
Reply = str | TeacherFault
Script = Callable[[Call], Reply]


def good(call: Call) -> str:
    return good_reply(user_text(call.query, call.correction, call.step))


def step_of(call: Call) -> Step:
    assert call.step is not None
    return call.step


class Teacher:
    """Answers by a function of the call; critics wait for each other, which only works if they are asked at once."""

    def __init__(self, script: Script = good, critics: int = 0) -> None:
        self.script = script
        self.calls: list[Call] = []
        self._together = asyncio.Barrier(critics) if critics else None

    async def __call__(self, call: Call) -> Answer:
        self.calls.append(call)
        if self._together and step_of(call).role == "critic":
            await self._together.wait()
        reply = self.script(call)
        if isinstance(reply, TeacherFault):
            raise reply
        return Answer(text=reply, prompt_tokens=10, completion_tokens=5, metadata={"model": "m"})

    @property
    def roles(self) -> list[str]:
        return [step_of(call).role for call in self.calls]


def fail(who: str, kind: FaultKind = "timeout", otherwise: Script = good) -> Script:
    """A script in which one critic or role gives no answer."""

    def script(call: Call) -> Reply:
        step = step_of(call)
        return TeacherFault(kind, "late") if who in (step.critic, step.role) else otherwise(call)

    return script


async def hold(
    teacher: Teacher, plan: Plan = COUNCIL, judges: Callable[[ParsedOutput], bool] = lambda _: True
) -> Outcome:
    async with asyncio.timeout(30):
        return await Dialogue(CALL, plan, teacher).hold(judges=judges)


async def test_thesis_critics_at_once_synthesis_judge() -> None:
    teacher = Teacher(critics=3)
    outcome = await hold(teacher)
    assert teacher.roles == ["thesis", "critic", "critic", "critic", "synthesis", "judge"]
    assert len(teacher.calls) == COUNCIL.calls == outcome.calls
    assert len({call.call_id for call in teacher.calls}) == 6
    assert {main_call(call.call_id) for call in teacher.calls} == {"p-1"}
    assert [critique.critic for critique in outcome.parts.critiques] == ["Logician", "Empiricist", "Ethicist"]
    assert outcome.judgement is not None
    assert outcome.judgement.score == 7
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (60, 30)
    assert set(outcome.times) == {"thesis", "antithesis", "synthesis", "judge"}
    assert outcome.parsed.contradictions
    judged = step_of(teacher.calls[-1])
    assert judged.answer == outcome.parts.answer
    assert outcome.as_answer.metadata["judge_score"] == 7


async def test_without_a_council_one_critic_speaks() -> None:
    teacher = Teacher()
    outcome = await hold(teacher, plan_to_ask(None, judge=False))
    assert teacher.roles == ["thesis", "critic", "synthesis"]
    assert outcome.judgement is None
    assert not outcome.judge_failure


async def test_a_critic_that_fails_is_told_and_the_rest_goes_on() -> None:
    outcome = await hold(Teacher(fail("Empiricist")))
    assert outcome.failures == {"Empiricist": "timeout: late"}
    assert "Logician:" in outcome.parts.antithesis
    assert "Empiricist" not in outcome.parts.antithesis
    assert outcome.as_answer.metadata["critics_failed"] == "Empiricist"


async def test_without_any_critic_there_is_no_dialogue() -> None:
    with pytest.raises(TeacherFault, match="No critic could be had"):
        await hold(Teacher(fail("critic")))


@pytest.mark.parametrize("kind", ["quota", "not_logged_in", "terminated", "balance", "rate", "tool_use"])
@pytest.mark.parametrize("who", ["thesis", "Logician", "synthesis", "judge"])
async def test_what_concerns_all_ends_the_dialogue(who: str, kind: FaultKind) -> None:
    with pytest.raises(TeacherFault) as caught:
        await hold(Teacher(fail(who, kind)))
    assert caught.value.kind == kind


async def test_a_judge_that_answers_nonsense_is_asked_once_more_and_then_there_is_no_score() -> None:
    teacher = Teacher(lambda call: "Great work, all of you!" if step_of(call).role == "judge" else good(call))
    outcome = await hold(teacher)
    assert teacher.roles.count("judge") == 2
    assert "SCORE:" in (teacher.calls[-1].correction or "")
    assert outcome.judgement is None
    assert "no reply that can be used" in outcome.judge_failure
    assert outcome.parts.answer


async def test_a_judge_that_fails_is_told() -> None:
    outcome = await hold(Teacher(fail("judge")))
    assert (outcome.judgement, outcome.judge_failure) == (None, "late")


async def test_what_is_not_worth_it_is_not_judged() -> None:
    teacher = Teacher()
    assert (await hold(teacher, judges=lambda _: False)).judgement is None
    assert "judge" not in teacher.roles


async def test_an_empty_part_is_asked_once_more_with_its_fault_named() -> None:
    teacher = Teacher()
    teacher.script = lambda call: "THESIS:" if len(teacher.calls) == 1 else good(call)
    outcome = await hold(teacher)
    assert outcome.parts.thesis
    assert teacher.calls[1].correction == "There is no thesis."
    teacher.script = lambda call: "THESIS:"
    with pytest.raises(TeacherFault, match="The thesis gave no reply that can be used"):
        await hold(teacher)


async def test_a_synthesis_without_an_answer_is_kept_as_it_is() -> None:
    teacher = Teacher(lambda call: "SYNTHESIS: Both hold." if step_of(call).role == "synthesis" else good(call))
    outcome = await hold(teacher)
    assert (outcome.parts.synthesis, outcome.parts.answer) == ("Both hold.", "")
    assert teacher.roles.count("synthesis") == 2


async def test_a_part_that_stays_cut_is_kept_and_said() -> None:
    asked: list[str] = []

    async def ask(call: Call) -> Answer:
        asked.append(step_of(call).role)
        return Answer(text=good(call), truncated=step_of(call).role in ("thesis", "judge"))

    outcome = await Dialogue(CALL, COUNCIL, ask).hold()
    assert asked.count("thesis") == 2
    assert asked.count("judge") == 1  # what follows a score may be cut
    assert outcome.parts.thesis
    assert outcome.as_answer.truncated


async def test_a_correction_goes_to_thesis_and_synthesis() -> None:
    teacher = Teacher()
    await Dialogue(replace(CALL, correction="it is thin"), COUNCIL, teacher).hold()
    assert {step_of(call).role for call in teacher.calls if call.correction == "it is thin"} == {"thesis", "synthesis"}


async def test_the_last_step_alone_makes_the_whole_answer_again() -> None:
    teacher = Teacher()
    outcome = await hold(teacher)
    judge = teacher.calls[-1]
    salvaged = finished(judge, Answer(text=good(judge)), None)
    assert salvaged is not None
    assert salvaged.text == outcome.as_answer.text
    assert salvaged.metadata["judge_score"] == 7
    synthesis = teacher.calls[-2]
    unjudged = finished(synthesis, Answer(text=good(synthesis)), None)
    assert unjudged is not None
    assert unjudged.text == outcome.as_answer.text
    assert "judge_score" not in unjudged.metadata
    assert finished(teacher.calls[0], Answer(text="THESIS: It is so."), None) is None


def test_the_cost_is_told_beforehand() -> None:
    plan = plan_of(GenerationSettings(council="comprehensive", min_score=6))
    assert plan.calls == 7
    assert plan.cost(500) == "A council of 4 critics and a judge: 7 calls a sample, at least 3,500 for 500 samples."
    assert plan_of(GenerationSettings(judge=True)).cost(None) == "A judge: 2 calls a sample."
    assert plan_of(GenerationSettings()).cost(500) == ""
    assert council.COUNCILS.keys() == set(council.PRESETS)
