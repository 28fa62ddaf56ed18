from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.curves import Curves, StepRow, add_baseline, of_rows, of_state
from hegelion_core.fold import fold
from hegelion_core.run_state import RunState
from hegelion_tui import metrics
from hegelion_tui.metrics import METRICS, Earlier, Metric, Series, limits, logarithmic
from hegelion_tui.wording import training_progress
from tests.tui.fake_operations import opened, step, training

LOSS, SHARE, LAMBDA = METRICS[0], METRICS[1], METRICS[2]


def training_of(steps: int) -> Curves:
    return of_rows(
        StepRow(
            number,
            loss=4.0 / number,
            data_bpt=5.0 / number,
            param_bpt=0.01,
            s=0.02,
            lambda_after=1.0 + number,
            validation=3.0 if number % 10 == 0 else None,
        )
        for number in range(1, steps + 1)
    )


def drawn(metric: Metric, curves: Curves, smoothing: float = 0.0, **more: object) -> dict[str, Series]:
    found = metrics.series(metric, curves, window=metrics.bounds(curves), columns=50, smoothing=smoothing, **more)  # type: ignore[arg-type]
    return {one.label: one for one in found}


@given(st.lists(st.floats(-1e6, 1e6), max_size=300))
def test_limits_hold_every_point(values: list[float]) -> None:
    found = limits([Series("x", "main", [(0.0, y) for y in values])], (0.0, 0.0))
    assert (found is None) == (not values)
    assert found is None or all(found[0] < y < found[1] for y in values)


def test_limits_leave_out_what_is_no_number_and_what_is_not_in_the_window() -> None:
    assert limits([Series("x", "main", [(0.0, float("nan")), (1.0, float("inf")), (9.0, 5.0)])], (0.0, 1.0)) is None


def test_every_metric_of_an_empty_run_is_empty() -> None:
    curves = of_state(RunState())
    assert not curves
    assert metrics.bounds(curves) == (0.0, 0.0)
    assert all(not drawn(metric, curves) for metric in METRICS)


def test_the_standard_trainer_has_no_target_and_a_flat_lambda() -> None:
    plan = replace(training(iters=24)[-1], target_s=0.0)
    plain = [replace(step(n), s=0.5, lambda_before=0.0, lambda_after=0.0) for n in (12, 24)]
    state = fold([*opened(), plan, *plain])
    curves = of_state(state)
    assert list(drawn(SHARE, curves)) == ["S"]
    assert limits([drawn(LAMBDA, curves)["λ"]], metrics.bounds(curves)) == (-1.0, 1.0)
    line = training_progress(state, 0.0, 120)
    assert line is not None
    assert "S 50.00%" in line.plain
    assert "S*" not in line.plain


def test_reported_steps_are_curves_too() -> None:
    curves = of_state(fold([*opened(), *training(), step(12), step(24)]))
    share = drawn(SHARE, curves, target=0.02)
    assert [y for _, y in share["S"].points] == pytest.approx([2.5, 2.0])
    assert share["target"].points == [(12.0, 2.0), (24.0, 2.0)]


def test_the_loss_before_the_first_step_is_added_once() -> None:
    curves, state = training_of(20), fold([*opened(), *training(), e.ValidationReported(step=0, loss=3.5)])
    for _ in range(2):
        add_baseline(curves, state)
    assert list(curves.validation) == [(0.0, 3.5), (10.0, 3.0), (20.0, 3.0)]
    assert metrics.bounds(curves) == (0.0, 20.0)
    nothing = Curves()
    add_baseline(nothing, state)
    assert not len(nothing.validation)


def test_smoothing_keeps_the_raw_curve_behind() -> None:
    found = metrics.series(LOSS, training_of(20), window=(1, 20), columns=50, smoothing=0.9)
    assert [(one.label, one.role) for one in found] == [
        ("training", "raw"),
        ("smoothed", "main"),
        ("validation", "second"),
    ]
    raw, smoothed, held_out = found
    assert raw.last == 0.2
    assert smoothed.last is not None
    assert smoothed.last > 0.2
    assert held_out.points == [(10.0, 3.0), (20.0, 3.0)]
    assert list(drawn(LAMBDA, training_of(20), smoothing=0.9)) == ["λ"], "the controller's λ is smooth by itself"


def test_an_earlier_run_lies_behind_under_its_id() -> None:
    found = metrics.series(
        LOSS, training_of(20), window=(1, 20), columns=50, earlier=Earlier("20251120-a", training_of(30))
    )
    assert (found[0].label, found[0].role) == ("20251120-a", "earlier")
    assert found[0].points[-1][0] == 21.0, "one neighbour beyond the window, so that the line goes on to its edge"


def test_logarithms_leave_out_what_has_none() -> None:
    found = logarithmic([Series("x", "main", [(1.0, 100.0), (2.0, 0.0), (3.0, -1.0)], 100.0)])
    assert found == [Series("x", "main", [(1.0, 2.0)], 100.0)]
    assert math.isclose(10 ** found[0].points[0][1], 100)


def test_a_step_tells_its_values_with_their_unit() -> None:
    curves = training_of(20)
    assert metrics.reading(LOSS, curves, 0.0, 9.7) == "step 10: 0.4 nats per token, validation at 10: 3"
    smoothed = curves.smoothed("loss", 0.9).values[9]
    assert f"step 10: 0.4 nats per token, smoothed {smoothed:.4g}," in metrics.reading(LOSS, curves, 0.9, 10)
    assert metrics.reading(SHARE, curves, 0.0, 5) == "step 5: 2 %"
    assert metrics.reading(LOSS, Curves(), 0.0, 5) == ""
