"""What the chart can show: the curves of a training as series for a screen. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hegelion_core.curves import Curve, Curves, Name, Points

Role = Literal["main", "raw", "second", "target", "earlier"]
SMOOTHING: tuple[float, ...] = (0.0, 0.9, 0.98)
"""Factors of the moving average that one can turn to; 0: none."""


@dataclass(frozen=True)
class Series:
    """Points ``(step, value)`` under one name."""

    label: str
    role: Role
    points: Points
    last: float | None = None
    """The newest value, which the legend tells."""


@dataclass(frozen=True)
class Metric:
    """A page of the chart."""

    name: str
    unit: str
    curve: Name
    label: str
    factor: float = 1.0
    """What values are multiplied with."""
    noisy: bool = True
    """Whether smoothing helps; what the controller sets or a sum holds is smooth by itself."""

    def told(self, value: float) -> str:
        """A value of the curve in a person's digits, without the unit."""
        return f"{self.factor * value:.4g}"


METRICS: tuple[Metric, ...] = (
    Metric("loss", "nats per token", "loss", "training"),
    Metric("S", "%", "s", "S", factor=100.0),
    Metric("λ", "", "lambda_after", "λ", noisy=False),
    Metric("DataBPT", "bits per token", "data_bpt", "DataBPT"),
    Metric("ParamBPT", "bits per token", "param_bpt", "ParamBPT", noisy=False),
)


@dataclass(frozen=True)
class Earlier:
    """Another run's curves, to compare with."""

    run_id: str
    curves: Curves


def bounds(curves: Curves) -> tuple[float, float]:
    """The first and the last step there is; 0 without any."""
    there = [curve.steps for curve in (*curves.by_name.values(), curves.validation) if len(curve)]
    return (min(steps[0] for steps in there), max(steps[-1] for steps in there)) if there else (0.0, 0.0)


def series(
    metric: Metric,
    curves: Curves,
    *,
    window: tuple[float, float],
    columns: int,
    smoothing: float = 0.0,
    target: float | None = None,
    earlier: Earlier | None = None,
) -> list[Series]:
    """What there is to draw of ``metric``, from back to front.

    Args:
        metric: the page.
        curves: those of the run.
        window: the first and the last step that are shown.
        columns: columns of the chart, at least 1.
        smoothing: factor of the moving average; above 0 the raw curve stays behind it.
        target: of S, a share from 0 to 1.
        earlier: a run to compare with.
    """
    found: list[Series] = []
    smoothing = smoothing if metric.noisy else 0.0

    def add(label: str, role: Role, curve: Curve) -> None:
        if len(curve):
            thinned = curve.thinned(*curve.span(*window), columns)
            points = [(step, metric.factor * value) for step, value in thinned]
            found.append(Series(label, role, points, metric.factor * curve.values[-1]))

    if earlier is not None:
        smoothed = earlier.curves.smoothed(metric.curve, smoothing)
        add(earlier.run_id, "earlier", smoothed if smoothing else earlier.curves.by_name[metric.curve])
    if metric.curve == "s" and target is not None:
        found.append(Series("target", "target", [(step, 100 * target) for step in window], 100 * target))
    if smoothing:
        add(metric.label, "raw", curves.by_name[metric.curve])
        add("smoothed", "main", curves.smoothed(metric.curve, smoothing))
    else:
        add(metric.label, "main", curves.by_name[metric.curve])
    if metric.curve == "loss":
        add("validation", "second", curves.validation)
    return found


def logarithmic(found: Sequence[Series]) -> list[Series]:
    """The same with decimal logarithms of the values; what is not above 0 has none and is left out."""
    return [
        Series(one.label, one.role, [(step, math.log10(y)) for step, y in one.points if y > 0], one.last)
        for one in found
    ]


def limits(found: Sequence[Series], window: tuple[float, float]) -> tuple[float, float] | None:
    """The range of the values within the window, with a little air; ``None`` without a point."""
    first, last = window
    values = [y for one in found for step, y in one.points if first <= step <= last and math.isfinite(y)]
    if not values:
        return None
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - air, high + air


def reading(metric: Metric, curves: Curves, smoothing: float, step: float) -> str:
    """The values of a run at the step nearest to ``step``; empty without any."""
    nearest = curves.by_name[metric.curve].nearest(step)
    if nearest is None:
        return ""
    parts = [f"step {nearest[0]:,.0f}: {metric.told(nearest[1])}{f' {metric.unit}' if metric.unit else ''}"]
    if metric.noisy and smoothing:
        smoothed = curves.smoothed(metric.curve, smoothing).nearest(nearest[0])
        parts += [f"smoothed {metric.told(smoothed[1])}"] if smoothed else []
    if metric.curve == "loss" and (held_out := curves.validation.nearest(nearest[0])) is not None:
        parts.append(f"validation at {held_out[0]:,.0f}: {metric.told(held_out[1])}")
    return ", ".join(parts)
