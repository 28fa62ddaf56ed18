from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.curves import Curve, Curves, MetricsFile, Smoother, StepRow, bucket_size, earlier_runs, of_rows
from hegelion_core.training.metrics import StepMetrics, append_step, cut_back

VALUES = st.lists(st.floats(-1e6, 1e6), max_size=300)


def metrics_of(step: int, loss: float = 2.0, validation: float | None = None) -> StepMetrics:
    return StepMetrics(
        step=step,
        loss=loss,
        data_bpt=2.9,
        param_bpt=0.01,
        s=0.02,
        s_hat=0.02,
        lam=1.0,
        lambda_after=1.1,
        lr=1e-4,
        grad_norm=1.0,
        tokens=100,
        seconds=0.5,
        validation=validation,
    )


def curve_of(values: list[float]) -> Curve:
    return Curve((float(step), value) for step, value in enumerate(values))


@given(VALUES, st.integers(1, 50), st.data())
def test_thinning_keeps_order_and_extremes(values: list[float], buckets: int, data: st.DataObject) -> None:
    curve = curve_of(values)
    stop = data.draw(st.integers(0, len(values)))
    start = data.draw(st.integers(0, stop))
    kept = curve.thinned(start, stop, buckets)
    assert len(kept) <= 2 * (buckets + 1)
    assert kept == sorted(kept)
    assert set(kept) <= set(list(curve)[start:stop])
    if start < stop:
        shown = values[start:stop]
        assert {min(shown), max(shown)} <= {value for _, value in kept}


@given(VALUES, VALUES, st.integers(1, 50))
def test_thinning_again_after_growth_is_thinning_anew(before: list[float], after: list[float], buckets: int) -> None:
    growing = curve_of(before)
    growing.thinned(0, len(before), buckets)
    for value in after:
        growing.append(float(len(growing)), value)
    whole = curve_of(before + after)
    assert growing.thinned(0, len(growing), buckets) == whole.thinned(0, len(whole), buckets)


@given(st.integers(0, 10**6), st.integers(1, 500))
def test_buckets_hold_all_points_and_not_half_of_them_are_idle(points: int, buckets: int) -> None:
    size = bucket_size(points, buckets)
    assert size * buckets >= points
    assert size == 2 or size * buckets < 1.5 * (points + buckets) + buckets


@given(VALUES, st.floats(0.0, 0.999))
def test_smoothing_stays_within_the_values_and_begins_with_the_first(values: list[float], factor: float) -> None:
    smoothed = Smoother(curve_of(values), factor).update()
    assert len(smoothed) == len(values)
    for index, (_, value) in enumerate(smoothed):
        seen = values[: index + 1]
        slack = 1e-9 * max(map(abs, seen)) + 1e-9
        assert min(seen) - slack <= value <= max(seen) + slack
    if values:
        assert smoothed.values[0] == pytest.approx(values[0])


def test_smoothing_is_the_corrected_moving_average() -> None:
    smoothed = Smoother(curve_of([4.0, 2.0, 0.0]), 0.5).update()
    # m = 2, 2, 1; divided by 1 - 0.5^t = 0.5, 0.75, 0.875.
    assert list(smoothed.values) == pytest.approx([4.0, 2 / 0.75, 1 / 0.875])


def test_smoothing_goes_on_where_it_was() -> None:
    curves, whole = Curves(), of_rows(StepRow(step, loss=1.0 / step) for step in range(1, 9))
    for step in range(1, 9):
        curves.extend(of_rows([StepRow(step, loss=1.0 / step)]))
        curves.smoothed("loss", 0.9)
    assert list(curves.smoothed("loss", 0.9)) == list(whole.smoothed("loss", 0.9))


def test_span_takes_a_neighbour_on_each_side_and_nearest_finds_the_step() -> None:
    curve = Curve((float(step), step / 10) for step in range(0, 100, 10))
    assert curve.span(25, 45) == (2, 6)
    assert curve.span(-5, 500) == (0, 10)
    assert curve.nearest(44) == (40.0, 4.0)
    assert curve.nearest(46) == (50.0, 5.0)
    assert curve.nearest(1e9) == (90.0, 9.0)
    assert Curve().nearest(0) is None


def test_a_file_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    assert file.read() is None
    append_step(path, metrics_of(1, loss=2.5))
    append_step(path, metrics_of(2, loss=2.25, validation=2.75))
    first = file.read()
    assert first is not None
    assert list(first.curves.by_name["loss"]) == [(1.0, 2.5), (2.0, 2.25)]
    assert list(first.curves.by_name["lambda_after"]) == [(1.0, 1.1), (2.0, 1.1)]
    assert list(first.curves.validation) == [(2.0, 2.75)]
    assert file.read() is None
    append_step(path, metrics_of(3))
    second = file.read()
    assert second is not None
    assert not second.anew
    assert list(second.curves.by_name["loss"]) == [(3.0, 2.0)]


def test_a_file_that_was_cut_back_is_read_anew_even_if_it_has_grown_beyond(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    for step in range(1, 6):
        append_step(path, metrics_of(step))
    file.read()
    cut_back(path, 2)
    shorter = file.read()
    assert shorter is not None
    assert shorter.anew
    assert list(shorter.curves.by_name["loss"].steps) == [1.0, 2.0]
    for step in range(3, 6):
        append_step(path, metrics_of(step))
    file.read()
    cut_back(path, 2)
    for step in range(3, 20):
        append_step(path, metrics_of(step, loss=1.25))
    longer = file.read()
    assert longer is not None
    assert longer.anew
    assert list(longer.curves.by_name["loss"])[2:4] == [(3.0, 1.25), (4.0, 1.25)]


def test_a_cut_that_takes_nothing_away_is_not_noticed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    append_step(path, metrics_of(1))
    file.read()
    cut_back(path, 1)
    assert file.read() is None


def test_a_file_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    append_step(path, metrics_of(1))
    file.read()
    path.unlink()
    gone = file.read()
    assert gone is not None
    assert gone.anew
    assert not gone.curves
    assert file.read() is None


def test_damaged_lines_and_lines_of_other_versions_are_borne(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"step":1,"loss":2.5}\n\xff\xfe\n{"step":2,"loss":\n{"step":3,"loss":null,"s":0.5,"new":[1]}\n{"step":3}\n{"step":4'
    )
    file = MetricsFile(path)
    batch = file.read()
    assert batch is not None
    assert list(batch.curves.by_name["loss"]) == [(1.0, 2.5)]
    assert list(batch.curves.by_name["s"]) == [(3.0, 0.5)]
    with open(path, "ab") as growing:
        growing.write(b',"loss":1.5}\n')
    rest = file.read()
    assert rest is not None
    assert list(rest.curves.by_name["loss"]) == [(4.0, 1.5)]


def test_earlier_runs_are_those_with_metrics_the_newest_first(tmp_path: Path) -> None:
    for name, steps in (("20251120-a", 3), ("20251121-b", 5), ("20251122-c", 7), ("20251119-torn", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_bytes(
            b"".join(msgspec.json.encode(metrics_of(step, loss=step / 2)) + b"\n" for step in range(1, steps + 1))
            + b"{"
        )
    (tmp_path / "20251123-d").mkdir()
    found = earlier_runs(tmp_path, besides="20251122-c")
    assert [(run.run_id, run.step, run.loss) for run in found] == [("20251121-b", 5, 2.5), ("20251120-a", 3, 1.5)]
    assert earlier_runs(tmp_path / "nowhere") == []
