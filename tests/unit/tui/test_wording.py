from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.fold import fold
from hegelion_core.gpu import Gpu
from hegelion_core.pressure import Level, Pressure
from hegelion_core.run_state import InstanceState, RunState, training_seconds_left
from hegelion_tui import wording
from hegelion_tui.keys import key_names
from tests.tui.fake_operations import generating, opened, step, training

GIB = 1 << 30
KEYS = key_names(None)
M1 = Gpu("Apple M1", 29.0, GIB, None)


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(4, 120))
def test_a_bar_has_its_width_and_is_full_only_when_all_is_done(done: int, total: int, width: int) -> None:
    text = wording.bar(done, total, width).plain
    assert len(text) == width
    assert ("─" not in text and "╸" not in text) == (done >= total)


@given(st.integers(20, 200))
def test_lines_keep_to_their_width(width: int) -> None:
    state = fold([*opened(), *generating(), *training(), step(12)])
    reading = Pressure("warning", GIB, 16 * GIB, 12.5, 87.0, 40 * GIB, gpus=(M1,), children={"train": GIB})
    now = 5.0
    lines = [
        wording.header(state, "project", width),
        wording.stages(state, now, width, lines=1),
        wording.sample_progress(state, now, width),
        wording.training_progress(state, now, width),
        wording.pressure(reading, width),
    ]
    assert all(line is not None and line.cell_length <= width for line in lines)


def machine(level: Level = "normal", *, gpus: tuple[Gpu, ...] = (), **children: int) -> Pressure:
    return Pressure(level, GIB, 16 * GIB, 45.0, 100.0, 40 * GIB, gpus, children)


def test_pressure_names_its_level_and_what_each_child_holds() -> None:
    assert wording.pressure(machine("critical", train=2 * GIB, check=GIB // 2), 160).plain == (
        "memory 15.0 of 16.0 GiB   pressure critical   cpu 100%   disk 40.0 GiB free   train 2.0 GiB   check 512.0 MiB"
        "   stalled 45.0%"
    )


def test_at_160_columns_all_is_told_and_at_80_what_matters_most() -> None:
    reading = machine(gpus=(Gpu("NVIDIA", 87.4, 10 * GIB, 24 * GIB),), train=2 * GIB, check=GIB // 2)
    wide, narrow = wording.pressure(reading, 158).plain, wording.pressure(reading, 78).plain
    assert all(part in wide for part in ("gpu 87%, 10.0 of 24.0 GiB", "train 2.0 GiB", "check 512.0 MiB", "stalled"))
    assert narrow == "memory 15.0 of 16.0 GiB  pressure normal  cpu 100%  gpu 87%  disk 40.0 GiB"


def test_many_children_are_summed_up_where_there_is_no_room_for_each() -> None:
    children = {f"a child with a long name {number}": GIB for number in range(8)}
    reading = Pressure("normal", GIB, 16 * GIB, None, 100.0, 40 * GIB, children=children)
    assert wording.pressure(reading, 158).plain.endswith("disk 40.0 GiB free   children 8, 8.0 GiB")


@pytest.mark.parametrize(
    ("gpus", "told"),
    [
        ((M1,), "gpu 29%, 1.0 GiB"),
        ((Gpu("a", 20.0, GIB, 8 * GIB), Gpu("b", 40.0, GIB, 8 * GIB)), "gpu ×2 30%, 2.0 of 16.0 GiB"),
        ((Gpu("slice", None, GIB, 8 * GIB),), "gpu 1.0 of 8.0 GiB"),
    ],
)
def test_gpus(gpus: tuple[Gpu, ...], told: str) -> None:
    assert f"   {told}   " in wording.pressure(machine(gpus=gpus), 158).plain


def test_short_memory_says_who_holds_it_and_what_to_do() -> None:
    at_work = fold([*opened(), *generating(3)])
    assert wording.memory_advice(at_work, machine("warning", kimi=3 * GIB, check=1), KEYS) == (
        "Memory is short",
        "1.0 of 16.0 GiB are left. Work waited for memory 45% of the last 10 s. kimi holds 3.0 GiB. "
        "Press - for fewer instances, or close other programs.",
    )
    title, text = wording.memory_advice(fold([*opened(), *training()]), machine("critical"), KEYS)
    assert title == "Memory is nearly used up"
    assert "--micro-batch-size" in text


def test_time_left_of_training_takes_the_pace_since_it_began() -> None:
    planned = fold([*opened(), *training(iters=100)])
    stage = replace(planned.stages["train"], started=1000.0)
    at_work = replace(planned, stages={**planned.stages, "train": stage})
    assert training_seconds_left(at_work, 1000.0) is None
    resumed = replace(at_work, plan=replace(training(iters=100)[-1], start_step=50))
    reported = fold([replace(step(60), at=1020.0)], resumed)
    assert training_seconds_left(reported, 1020.0) == pytest.approx(80.0)
    assert training_seconds_left(reported, 1030.0) == pytest.approx(70.0)


def test_a_slow_rate_is_told_by_the_hour() -> None:
    state = fold([*opened(), *[replace(event, at=0.0) for event in generating()]])
    state = fold([e.SampleAccepted(at=120.0, instance=1, prompt_id="p", sample_id="s", accepted=1, seconds=120)], state)
    assert "30.0/h" in wording.sample_progress(state, 120.0, 120).plain


def test_an_instance_tells_how_long_it_has_waited() -> None:
    state = InstanceState(in_flight={"a": 100.0, "b": 130.0}, accepted=2, rejected=1, failed=3)
    assert wording.instance(1, state, 175.0).plain == (
        "generator 1 · 2 asked, 1m 15s ago · 2 accepted · 1 rejected · 3 failed"
    )


def test_nothing_of_a_teacher_can_steer_the_terminal() -> None:
    state = replace(RunState(), error="\x1b[2Jboom", hint="\x07", teacher="\x1b]0;x\x07")
    found = wording.banner(state, 0.0, KEYS, gone=False)
    assert found is not None
    assert "\x1b" not in found[1].plain + wording.header(state, "\x1b[2J", 80).plain


def test_a_run_whose_core_has_ended_runs_no_more() -> None:
    state = wording.bereft(fold([*opened(), *generating(), e.SampleRequested(instance=1, prompt_id="p")]))
    assert state.stages["generate"].status == "stopped"
    assert state.in_flight == 0
    assert state.active, "it is still known that work was under way"


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (
            e.EvaluationProgressed(what="adapter answers", done=120, total=150, unit="tokens"),
            "adapter 120 of 150 tokens",
        ),
        (e.EvaluationProgressed(what="base loss", done=1, total=2, unit="batches"), "base 1 of 2 batches"),
        (e.EvaluationProgressed(what="base loss", done=1, total=2), "base loss 1 of 2"),  # of an earlier version
    ],
)
def test_the_evaluation_is_told_whole_in_a_column_of_a_wide_screen(progress: e.EvaluationProgressed, told: str) -> None:
    state = fold([*opened(), e.StageStarted(stage="evaluate"), progress])
    assert told in wording.stages(state, 5.0, 160, lines=2).plain


def test_the_evaluation_is_told_in_the_one_line_of_a_small_screen() -> None:
    progress = e.EvaluationProgressed(what="adapter answers", done=120, total=150, unit="tokens")
    state = fold([*opened(), e.StageStarted(stage="evaluate"), progress])
    assert "evaluate adapter 120 of 150 tokens" in wording.stages(state, 5.0, 78, lines=1).plain
