"""The fold: what a face shows follows from the events alone."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core import events as e
from hegelion_core.fold import apply, fold
from hegelion_core.run_state import MAX_POINTS, RunState, samples_per_minute, seconds_left


def opened(at: float, target: int = 500) -> e.RunOpened:
    return e.RunOpened(
        at=at, run_id="r", folder="f", target=target, teacher="local", student="s", source="bundled", core_pid=7
    )


def accepted(at: float, number: int, prompt: str = "p-1") -> e.SampleAccepted:
    return e.SampleAccepted(
        at=at, instance=1, prompt_id=prompt, sample_id=f"s-{number}", accepted=number, seconds=1.0, tokens=10
    )


def test_the_rate_ignores_the_time_between_two_openings() -> None:
    """300 of 500 after a resume: the clock stood still while no core ran, though it could not say goodbye."""
    events: list[e.Event] = [opened(0), e.StageStarted(at=0, stage="generate")]
    events += [accepted(60.0 * n, n) for n in range(1, 301)]
    before = fold(events)
    assert samples_per_minute(before, 18_000) == pytest.approx(1.0)
    assert seconds_left(before, 18_000) == pytest.approx(200 * 60)

    late = 18_000 + 86_400
    after = fold([opened(late), e.StageStarted(at=late, stage="generate")], before)
    assert samples_per_minute(after, late) == pytest.approx(1.0)
    assert seconds_left(after, late) == pytest.approx(200 * 60)


def test_the_first_sample_already_gives_a_rate() -> None:
    state = fold([opened(0, target=3), e.StageStarted(at=0, stage="generate"), accepted(30, 1)])
    assert samples_per_minute(state, 30) == pytest.approx(2.0)
    assert seconds_left(state, 30) == pytest.approx(60)


def test_nothing_is_left_at_the_target() -> None:
    state = fold([opened(0, target=1), e.StageStarted(at=0, stage="generate"), accepted(30, 1)])
    assert seconds_left(state, 99) == 0


def test_a_stage_that_ran_when_the_core_died_is_stopped() -> None:
    state = fold([opened(0), e.StageStarted(at=5, stage="train"), opened(100)])
    assert state.stages["train"].status == "stopped"
    assert state.stages["train"].ended == 5
    assert state.openings == 2


def test_a_finished_stage_keeps_its_key_through_later_runs() -> None:
    finished = e.StageFinished(at=2, stage="convert", key="k", outputs={"a": "b"}, summary="3 rows")
    state = fold([opened(0), finished, opened(9), e.WorkRequested(at=10, stages=("convert",))])
    assert state.stages["convert"].status == "pending"
    assert state.stages["convert"].key == "k"
    assert state.stages["convert"].outputs == {"a": "b"}


def test_in_flight_follows_requests_and_answers() -> None:
    state = fold(
        [
            opened(0),
            e.InstancesScaled(at=0, count=2),
            e.SampleRequested(at=1, instance=1, prompt_id="p-1"),
            e.SampleRequested(at=1, instance=2, prompt_id="p-2"),
        ]
    )
    assert state.in_flight == 2
    state = fold(
        [
            accepted(2, 1),
            e.SampleRejected(at=3, instance=2, prompt_id="p-2", reason="refusal"),
        ],
        state,
    )
    assert state.in_flight == 0
    assert state.acceptance == 0.5
    assert state.rejected_by_reason == {"refusal": 1}
    assert state.attempts == {"p-2": 1}
    state = apply(state, e.PromptSetAside(at=4, prompt_id="p-2", reasons=("refusal",)))
    assert state.attempts == {}
    assert state.set_aside == {"p-2": ("refusal",)}


def step(number: int) -> e.StepReported:
    return e.StepReported(
        at=number, step=number, iters=10, loss=1, data_bpt=1, param_bpt=0, s=0, lambda_before=1, lambda_after=1
    )


def plan(start: int) -> e.TrainingPlanned:
    return e.TrainingPlanned(
        iters=10,
        rows=3,
        validation_rows=1,
        tokens_per_epoch=100,
        trainable=8,
        target_s=0.01,
        device="cpu",
        start_step=start,
    )


def test_steps_after_the_checkpoint_are_forgotten_when_training_goes_on_from_it() -> None:
    state = fold([opened(0), plan(0), *(step(n) for n in range(1, 8)), plan(4)])
    assert [point.step for point in state.steps] == [1, 2, 3, 4]


def test_the_points_of_a_long_training_are_bounded_and_end_with_the_newest() -> None:
    state = fold([opened(0), plan(0), *(step(n) for n in range(1, MAX_POINTS + 1000))])
    assert len(state.steps) <= MAX_POINTS
    assert state.steps[-1].step == MAX_POINTS + 999
    assert [p.step for p in state.steps] == sorted({p.step for p in state.steps})


@given(
    st.lists(st.sampled_from([accepted(5, 1), opened(6), step(3), plan(1), e.StageStarted(at=7, stage="generate")])),
    st.integers(0, 20),
)
def test_folding_in_two_parts_is_folding_at_once(events: list[e.Event], cut: int) -> None:
    assert fold(events[cut:], fold(events[:cut])) == fold(events)


def test_a_state_survives_being_written() -> None:
    state = fold([opened(0), plan(0), step(1), accepted(3, 1), e.CheckFailed(at=4, name="disk", detail="full")])
    assert msgspec.json.decode(msgspec.json.encode(state), type=RunState) == state


# Waits, pace, tokens


def test_a_wait_for_a_quota_stops_the_clock_and_joins_the_time_left() -> None:
    events: list[e.Event] = [opened(0), e.StageStarted(at=0, stage="generate")]
    events += [accepted(60.0 * n, n) for n in range(1, 101)]
    paused = fold([*events, e.GenerationPaused(at=6000, reason="quota", until=16_800, kind="quota")])
    assert samples_per_minute(paused, 12_000) == pytest.approx(1.0)
    assert seconds_left(paused, 12_000) == pytest.approx(4_800 + 400 * 60)
    going = fold([e.GenerationResumed(at=16_800)], paused)
    assert (going.paused, going.paused_until, going.paused_kind) == ("", None, "")
    assert samples_per_minute(going, 16_800) == pytest.approx(1.0)
    after = fold([accepted(16_860, 101)], going)
    assert samples_per_minute(after, 16_860) == pytest.approx(1.0)


def test_a_short_wait_is_part_of_the_rate() -> None:
    events: list[e.Event] = [opened(0), e.StageStarted(at=0, stage="generate"), accepted(60, 1)]
    state = fold([*events, e.GenerationPaused(at=60, reason="rate", until=120, kind="rate")])
    assert samples_per_minute(state, 120) == pytest.approx(0.5)


def test_the_rate_is_that_of_the_last_minutes() -> None:
    """An hour of one a minute, then ten minutes of six a minute."""
    events: list[e.Event] = [opened(0), e.StageStarted(at=0, stage="generate")]
    events += [accepted(60.0 * n, n) for n in range(1, 61)]
    events += [accepted(3600 + 10.0 * n, 60 + n) for n in range(1, 61)]
    assert samples_per_minute(fold(events), 4200) == pytest.approx(6.0, rel=0.1)


def test_what_the_service_is_to_blame_for_is_no_attempt() -> None:
    failed = e.RequestFailed(at=1, instance=1, prompt_id="p-1", kind="rate", message="slow", counted=False)
    state = fold([opened(0), failed, msgspec.structs.replace(failed, kind="timeout", counted=True)])
    assert state.attempts == {"p-1": 1}
    assert state.failed_by_kind == {"rate": 1, "timeout": 1}


def test_tokens_are_counted_accepted_or_not() -> None:
    rejected = e.SampleRejected(at=1, instance=1, prompt_id="p-1", reason="refusal", tokens=5, prompt_tokens=7)
    good = msgspec.structs.replace(accepted(2, 1), prompt_tokens=3)
    state = fold([opened(0), rejected, good])
    assert (state.tokens, state.prompt_tokens) == (15, 10)


def test_a_prompt_file_tells_the_target_and_a_later_opening_keeps_it() -> None:
    prepared = e.PromptsPrepared(at=1, count=40, source="my.txt", target=42, arguable=30, left_out={"duplicate": 2})
    state = fold([opened(0, target=0), prepared, opened(9, target=0)])
    assert (state.target, state.prompts, state.arguable) == (42, 40, 30)


def test_pace_and_pause_end_with_the_generation() -> None:
    state = fold(
        [
            opened(0),
            e.StageStarted(at=0, stage="generate"),
            e.PaceChanged(at=1, allowed=2, maximum=8),
            e.GenerationPaused(at=2, reason="r", until=99, kind="rate", advice="a"),
        ]
    )
    assert (state.pace, state.paused_advice) == (2, "a")
    ended = fold([e.StageStopped(at=3, stage="generate")], state)
    assert (ended.pace, ended.paused, ended.paused_advice) == (None, "", "")
