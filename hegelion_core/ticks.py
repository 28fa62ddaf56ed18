"""Marks at round values along an axis. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A mark: where it is on the axis, and its label."""

    at: float
    label: str


def linear_ticks(low: float, high: float, most: int, least_interval: float = 0.0) -> list[Tick]:
    """At most ``most`` (2 or more) marks at round values from ``low`` to ``high``.

    ``least_interval``: 1 where only whole numbers have a meaning.
    """
    interval = max(_round_up((high - low) / most), least_interval)
    if not interval > 0 or not math.isfinite(interval):
        return []
    decimals = max(0, -math.floor(math.log10(interval) + 1e-9))
    first = math.ceil(low / interval - 1e-9)
    values = [number * interval for number in range(first, math.floor(high / interval + 1e-9) + 1)]
    return [Tick(value, _label(value, decimals)) for value in values]


def log_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Marks of a logarithmic axis: ``low``, ``high`` and ``Tick.at`` are decimal logarithms of what labels say."""
    if high - low < 1.0:  # within a decade round values are nearer to each other than powers
        values = linear_ticks(10.0**low, 10.0**high, most)
        return [Tick(math.log10(tick.at), tick.label) for tick in values if tick.at > 0]
    powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    stride = -(-len(powers) // most)
    marks = [(power, 1) for power in powers[::stride]]
    if 3 * len(powers) <= most:
        marks = [(power, factor) for power in range(powers[0] - 1, powers[-1] + 1) for factor in (1, 2, 5)]
    ticks = [Tick(power + math.log10(factor), _label(factor * 10.0**power, max(0, -power))) for power, factor in marks]
    return [tick for tick in ticks if low <= tick.at <= high]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    if not value > 0 or not math.isfinite(value):
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def _label(value: float, decimals: int) -> str:
    if value == 0:
        return "0"
    plain = f"{value:,.{decimals}f}"
    return plain if len(plain) <= 8 else f"{value:.3g}"
