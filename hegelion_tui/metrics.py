"""What the chart can show: series of points from a state, thinned to what a screen can tell apart. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from hegelion_core.events import StepReported
from hegelion_core.run_state import RunState

Role = Literal["main", "second", "target"]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """Points ``(step, value)`` under one name."""

    label: str
    role: Role
    points: Points


@dataclass(frozen=True)
class Metric:
    """A page of the chart."""

    name: str
    unit: str
    series: Callable[[RunState], list[Series]]


def _steps(state: RunState, value: Callable[[StepReported], float]) -> Points:
    return [(float(step.step), value(step)) for step in state.steps]


def _loss(state: RunState) -> list[Series]:
    held_out = [(float(value.step), value.loss) for value in state.validations]
    return [Series("training", "main", _steps(state, lambda s: s.loss)), Series("validation", "second", held_out)]


def _share(state: RunState) -> list[Series]:
    points = _steps(state, lambda s: 100 * s.s)
    target = (
        [(x, 100 * state.plan.target_s) for x, _ in (points[:1] + points[-1:])]
        if state.plan and state.plan.target_s
        else []
    )
    return [Series("S", "main", points), Series("target", "target", target)]


METRICS: tuple[Metric, ...] = (
    Metric("loss", "nats per token", _loss),
    Metric("S", "%", _share),
    Metric("λ", "", lambda state: [Series("λ", "main", _steps(state, lambda s: s.lambda_after))]),
    Metric("DataBPT", "bits per token", lambda state: [Series("DataBPT", "main", _steps(state, lambda s: s.data_bpt))]),
    Metric(
        "ParamBPT", "bits per token", lambda state: [Series("ParamBPT", "main", _steps(state, lambda s: s.param_bpt))]
    ),
)


def thin(points: Sequence[tuple[float, float]], columns: int) -> Points:
    """At most two points a column, the lowest and the highest of its span, so that no peak is lost.

    Args:
        points: in the order of x.
        columns: columns of the chart, at least 1.
    """
    if len(points) <= 2 * columns:
        return list(points)
    kept: Points = []
    for column in range(columns):
        bucket = points[column * len(points) // columns : (column + 1) * len(points) // columns]
        low = min(bucket, key=lambda point: point[1])
        high = max(bucket, key=lambda point: point[1])
        kept.extend(sorted({low, high}))
    return kept


def limits(series: Sequence[Series]) -> tuple[float, float] | None:
    """The range of values with a little air; ``None`` without a point."""
    values = [y for one in series for _, y in one.points if y == y and abs(y) != float("inf")]
    if not values:
        return None
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - air, high + air
