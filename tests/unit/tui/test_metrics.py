from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hegelion_core.fold import fold
from hegelion_core.run_state import RunState
from hegelion_tui.metrics import METRICS, Series, limits, thin
from hegelion_tui.wording import training_progress
from tests.tui.fake_operations import opened, step, training

VALUES = st.lists(st.floats(-1e6, 1e6), max_size=300)


@given(VALUES, st.integers(1, 50))
def test_thinning_keeps_order_and_extremes(values: list[float], columns: int) -> None:
    points = [(float(x), y) for x, y in enumerate(values)]
    kept = thin(points, columns)
    assert len(kept) <= max(2 * columns, 0)
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    if points:
        assert {min(values), max(values)} <= {y for _, y in kept}


@given(VALUES)
def test_limits_hold_every_point(values: list[float]) -> None:
    found = limits([Series("x", "main", [(0.0, y) for y in values])])
    assert (found is None) == (not values)
    assert found is None or all(found[0] < y < found[1] for y in values)


def test_limits_leave_out_what_is_no_number() -> None:
    assert limits([Series("x", "main", [(0.0, float("nan")), (1.0, float("inf"))])]) is None


def test_every_metric_of_an_empty_run_is_empty() -> None:
    assert all(not series.points for metric in METRICS for series in metric.series(RunState()))


def test_share_is_in_percent_beside_its_target() -> None:
    state = fold([*opened(), *training(), step(12), step(24)])
    share, target = METRICS[1].series(state)
    assert [x for x, _ in share.points] == [x for x, _ in target.points] == [12.0, 24.0]
    assert [y for _, y in share.points] == pytest.approx([2.5, 2.0])
    assert [y for _, y in target.points] == pytest.approx([2.0, 2.0])


def test_the_standard_trainer_has_no_target_and_a_flat_lambda() -> None:
    plan = replace(training(iters=24)[-1], target_s=0.0)
    plain = [replace(step(n), s=0.5, lambda_before=0.0, lambda_after=0.0) for n in (12, 24)]
    state = fold([*opened(), plan, *plain])
    share, target = METRICS[1].series(state)
    assert (len(share.points), target.points) == (2, [])
    (lam,) = METRICS[2].series(state)
    assert limits([lam]) == (-1.0, 1.0)
    line = training_progress(state, 0.0, 120)
    assert line is not None
    assert "S 50.00%" in line.plain
    assert "S*" not in line.plain
