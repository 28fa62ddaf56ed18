"""The charts of a report. Pure."""

from __future__ import annotations

from hegelion_core.curves import Curve, Points
from hegelion_core.report.chart import Mark, Series, figure
from hegelion_core.report.markup import Node
from hegelion_core.report.model import Report

_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
BUCKETS = 320
"""Of a longer curve, the lowest and the highest point of so many parts are drawn."""
_SMOOTH_FROM = 200
"""Steps from which on a curve is smoothed, too."""


def progress(report: Report) -> Node | None:
    """Samples over the time of generation."""
    history = report.history
    end = max((curve.steps[-1] for curve in (history.accepted, history.rejected) if len(curve)), default=0.0)
    if not end > 0:
        return None
    seconds, unit = next(((s, name) for s, name in _UNITS if end >= 3 * s), _UNITS[-1])
    # Counts hold until the end, whenever the last of them was.
    accepted, rejected = (
        [(x / seconds, y) for x, y in (*thinned(curve), (end, curve.values[-1]))] if len(curve) else []
        for curve in (history.accepted, history.rejected)
    )
    target = float(report.state.target)
    return figure(
        "Samples over time",
        [
            Series("wanted", "target", [(0.0, target), (end / seconds, target)] if target else []),
            Series("rejected answers", "second", rejected if any(y for _, y in rejected) else []),
            Series("accepted", "main", accepted),
        ],
        x_title=f"{unit} of generation",
        y_title="samples",
        from_zero=True,
        note="Pauses between openings of the run and waits for a quota are left out.",
    )


def loss(report: Report) -> Node | None:
    """Training and validation loss by step, and the step whose weights were kept."""
    curves, trained = report.curves, report.state.trained
    raw = curves.by_name["loss"]
    smooth = len(raw) >= _SMOOTH_FROM
    kept = [Mark(trained.kept_step, f"kept: step {trained.kept_step}")] if trained and trained.kept_step else []
    # A mean over some 5 % of the steps, whatever their number is.
    smoothed = thinned(curves.smoothed("loss", 1 - 20 / len(raw))) if smooth else []
    return figure(
        "Loss",
        [
            Series("training, each step", "raw" if smooth else "main", thinned(raw)),
            Series("training, smoothed", "main", smoothed),
            Series("validation", "second", thinned(curves.validation), dots=True),
        ],
        x_title="optimizer step",
        y_title="nats per token",
        marks=kept,
    )


def share(report: Report) -> Node | None:
    """S beside its target, in percent."""
    curve = report.curves.by_name["s"]
    points = [(step, 100 * value) for step, value in thinned(curve)]
    target = report.state.plan.target_s if report.state.plan else 0.0
    ends = [(curve.steps[0], 100 * target), (curve.steps[-1], 100 * target)] if target and points else []
    return figure(
        "S, the update's share of the whole cost",
        [Series(f"S* = {target:.2%}", "target", ends), Series("S", "main", points)],
        x_title="optimizer step",
        y_title="percent",
        from_zero=True,
        note="" if target else "Nothing holds S in this training: it is only measured.",
    )


def strength(report: Report) -> Node | None:
    """λ by step; ``None`` where nothing pulls."""
    points = thinned(report.curves.by_name["lambda_after"])
    values = [value for _, value in points]
    if not any(value > 0 for value in values):
        return None
    wide = min(values) > 0 and max(values) > 10 * min(values)
    return figure(
        "λ, the strength of the pull",
        [Series("λ", "main", points)],
        x_title="optimizer step",
        y_title="λ, logarithmic" if wide else "λ",
        logarithmic=wide,
    )


def thinned(curve: Curve) -> Points:
    """The curve in so few points that a page stays small; no peak is lost."""
    return curve.thinned(0, len(curve), BUCKETS)
