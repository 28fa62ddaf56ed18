"""Council and judge as part of a generation: what is kept, what is rejected, what a kill loses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.dialectic.sample import Sample
from hegelion_core.dialectic.steps import user_text
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import pacing
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.dialogue import main_call
from hegelion_core.generation.sample_rows import read_row
from hegelion_core.teachers.teacher import Answer, Call, TeacherFault
from tests.fakes.good_answers import good_reply
from tests.unit.generation.test_generator import Bench, ScriptedTeacher

Replies = Callable[[Call], Answer | TeacherFault]


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.0)


def good(call: Call) -> Answer:
    text = good_reply(user_text(call.query, call.correction, call.step))
    return Answer(text=text, prompt_tokens=10, completion_tokens=5)


def council(tmp_path: Path, teacher: ScriptedTeacher, *, limit: int = 2, instances: int = 1) -> Bench:
    """A generation with a council and a judge."""
    return Bench(tmp_path, teacher, council="council", judge=True, limit=limit, instances=instances)


def first(bench: Bench) -> Sample:
    """The first sample of the file."""
    return read_row(bench.store.path.read_bytes().splitlines()[0])


def role(call: Call) -> str:
    return call.step.role if call.step else "whole"


def scores(*given: str) -> Replies:
    """Good replies, but the judge gives these scores, one after the other."""
    left = iter(given)
    return lambda call: (
        Answer(text=f"SCORE: {next(left)}\nIMPROVEMENTS: Say more.") if role(call) == "judge" else good(call)
    )


async def test_a_sample_of_a_council_holds_all_critiques_and_its_score(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    bench = council(tmp_path, teacher)
    await bench.generator.run()
    assert [role(call) for call in teacher.calls] == [
        *("thesis", "critic", "critic", "critic", "synthesis", "judge") * 2
    ]
    assert teacher.most_in_flight == 1  # as many as instances
    sample = first(bench)
    trace = sample.hegelion_trace
    assert trace.mode == "dialogue"
    assert all(f"{name}: " in trace.antithesis for name in ("Logician", "Empiricist", "Ethicist"))
    assert trace.contradictions
    assert trace.metadata["judge_score"] == 7
    assert trace.metadata["recipe"] == "dialogue-1"
    assert trace.metadata["completion_tokens"] == 30
    assert list(bench.run.calls.iterdir()) == []
    assert bench.log.state.requests == 12


async def test_critics_are_asked_at_once_where_the_pace_allows_it(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    await council(tmp_path, teacher, instances=3, limit=1).generator.run()
    assert teacher.most_in_flight == 3


async def test_both_recipes_are_proved_where_both_are_used(tmp_path: Path) -> None:
    plain, many, both = ScriptedTeacher(good), ScriptedTeacher(good), ScriptedTeacher(good)
    await Bench(tmp_path / "plain", plain).generator.run()
    await council(tmp_path / "many", many).generator.run()
    await Bench(tmp_path / "both", both, judge=True, limit=2).generator.run()
    assert (plain.proofs, many.proofs, both.proofs) == (1, 1, 2)


async def test_a_judge_alone_costs_one_call_more(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    bench = Bench(tmp_path, teacher, judge=True, limit=2, instances=1)
    await bench.generator.run()
    assert [role(call) for call in teacher.calls] == ["whole", "judge"] * 2
    sample = first(bench)
    assert sample.hegelion_trace.mode == "single"
    assert sample.hegelion_trace.metadata["judge_score"] == 7


async def test_a_sample_under_the_least_score_is_rejected_with_its_text_and_asked_again(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(scores("4", "6"))
    bench = Bench(tmp_path, teacher, min_score=6, limit=1, instances=1)
    await bench.generator.run()
    (rejected,) = bench.rejected()
    assert rejected["reason"] == "low_score"
    assert rejected["detail"] == "A judge gave it 4 of 10, not 6. Say more."
    assert "**SYNTHESIS**" in rejected["text"]
    assert rejected["detail"] in [call.correction for call in teacher.calls]
    assert bench.store.accepted == 1


async def test_what_could_not_be_judged_does_not_reach_a_least_score(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(scores("high", "very high", "8"))
    bench = Bench(tmp_path, teacher, min_score=6, limit=1, instances=1)
    await bench.generator.run()
    assert bench.reasons() == ["no_score"]
    assert teacher.calls[3].correction is None  # the fault was the judge's


async def test_what_does_not_meet_the_contract_is_not_judged(tmp_path: Path) -> None:
    first = itertools.count()
    teacher = ScriptedTeacher(lambda call: Answer(text="No.") if not next(first) else good(call))
    bench = Bench(tmp_path, teacher, judge=True, limit=1, instances=1)
    await bench.generator.run()
    assert [role(call) for call in teacher.calls] == ["whole", "whole", "judge"]
    assert bench.reasons() == ["no_thought_block"]


async def test_a_rate_limit_in_the_middle_ends_no_dialogue(tmp_path: Path) -> None:
    limited = iter([True])
    teacher = ScriptedTeacher(
        lambda call: (
            TeacherFault("rate", "slower", retry_after=0.0)
            if role(call) == "synthesis" and next(limited, False)
            else good(call)
        )
    )
    bench = council(tmp_path, teacher, limit=1)
    await bench.generator.run()
    assert [role(call) for call in teacher.calls].count("thesis") == 1
    assert [role(call) for call in teacher.calls].count("synthesis") == 2
    assert not bench.rejected()


async def test_a_step_is_tried_again_before_it_is_given_up(tmp_path: Path) -> None:
    """Others are answered at the same time, so the service is not to blame."""
    left = iter(range(2))
    late: list[Call] = []

    def script(call: Call) -> Answer | TeacherFault:
        if call.step and call.step.critic == "Ethicist" and next(left, None) is not None:
            late.append(call)
            return TeacherFault("transient", "down")
        return good(call)

    bench = council(tmp_path, ScriptedTeacher(script), limit=1, instances=3)
    await bench.generator.run()
    metadata = first(bench).hegelion_trace.metadata
    assert len(late) == 2
    assert "critics_failed" not in metadata


@pytest.mark.parametrize(("kind", "code"), [("not_logged_in", ExitCode.NOT_READY), ("quota", ExitCode.COME_BACK_LATER)])
async def test_an_end_for_all_ends_a_council_too(tmp_path: Path, kind: str, code: ExitCode) -> None:
    teacher = ScriptedTeacher(
        lambda call: (
            TeacherFault("quota" if kind == "quota" else "not_logged_in", "no")
            if role(call) == "critic"
            else good(call)
        )
    )
    with pytest.raises(UserError) as caught:
        await council(tmp_path, teacher).generator.run()
    assert caught.value.exit_code == code


async def test_a_dialogue_whose_last_reply_was_whole_when_the_core_died_is_salvaged(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    whole = council(tmp_path / "first", teacher)
    await whole.generator.run()
    calls = teacher.calls[:6]
    bench = council(tmp_path / "second", late := ScriptedTeacher(good))
    late.read_answer = lambda folder: _written(folder)  # type: ignore[method-assign]
    folders = CallFolders(bench.run.calls, str)
    for call in calls:
        (folders.make(call) / "out").write_text(good(call).text)
    await bench.generator.run()
    accepted = [event for event in bench.events() if isinstance(event, e.SampleAccepted)]
    assert [event.salvaged for event in accepted] == [True, False]
    assert len(late.calls) == 6
    sample, original = first(bench), first(whole)
    assert sample.output == original.output
    assert sample.hegelion_trace.metadata["judge_score"] == 7
    assert sample.hegelion_trace.metadata["call"] == main_call(calls[0].call_id)


async def test_a_dialogue_that_was_interrupted_in_the_middle_is_held_again(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    await council(tmp_path / "first", teacher).generator.run()
    bench = council(tmp_path / "second", late := ScriptedTeacher(good))
    late.read_answer = lambda folder: _written(folder)  # type: ignore[method-assign]
    folders = CallFolders(bench.run.calls, str)
    for call in teacher.calls[:4]:
        (folders.make(call) / "out").write_text(good(call).text)
    await bench.generator.run()
    assert len(late.calls) == 12
    assert bench.store.accepted == 2


def _written(folder: Path) -> Answer | None:
    out = folder / "out"
    return Answer(text=out.read_text()) if out.exists() else None
