"""What part of a training a chart shows, and the marks along its axes. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

Mode = Literal["whole run", "live", "frozen"]
MODES: tuple[Mode, ...] = ("whole run", "live", "frozen")
LEAST_SPAN = 10.0
"""Steps that are shown at the least."""
NEARLY_ALL = 0.95
"""The share of a run from which on a zoom shows all of it."""
LIVE_SPAN = 200.0
"""Steps that live mode shows before anyone zooms."""


@dataclass(frozen=True)
class View:
    """A window on the steps. The whole run and the last steps follow the training; a frozen window stands still.

    Every method takes ``first`` and ``last``, the steps that there are.
    """

    mode: Mode = "whole run"
    span: float = LIVE_SPAN
    """Steps in the window, where it is not the whole run."""
    end: float = 0.0
    """The last step of a frozen window."""

    def window(self, first: float, last: float) -> tuple[float, float]:
        """The first and the last step that are shown."""
        match self.mode:
            case "whole run":
                return first, last
            case "live":
                return max(first, last - self.span), last
            case "frozen":
                return self.end - self.span, self.end

    def next_mode(self, first: float, last: float) -> View:
        """The mode after this one. What is frozen is what was shown."""
        mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]
        if mode != "frozen":
            return replace(self, mode=mode, span=LIVE_SPAN)
        begin, end = self.window(first, last)
        return View("frozen", max(LEAST_SPAN, end - begin), end)

    def zoomed(self, factor: float, first: float, last: float, at: float | None = None) -> View:
        """``factor`` times as many steps. A view that follows goes on following; a frozen one keeps ``at`` in place.

        Args:
            factor: below 1 to see fewer steps, above 1 to see more.
            first: the first step there is.
            last: the last step there is.
            at: a step of the window, by default its middle.
        """
        begin, end = self.window(first, last)
        span = max(LEAST_SPAN, (end - begin) * factor)
        if span >= NEARLY_ALL * (last - first):
            return replace(self, mode="whole run")
        if self.mode != "frozen":
            return replace(self, mode="live", span=span)
        at = (begin + end) / 2 if at is None else at
        share = (end - at) / (end - begin)
        return replace(self, span=span, end=min(max(at + share * span, first + span), last))

    def panned(self, share: float, first: float, last: float) -> View:
        """Moved by a ``share`` of its span, below 0 to earlier steps; at the end it follows again."""
        begin, end = self.window(first, last)
        span = end - begin
        end = max(min(end + share * span, last), min(first + span, last))
        if end >= last:
            return self if self.mode != "frozen" else replace(self, mode="live", span=span)
        return View("frozen", span, end)

    def words(self) -> str:
        """The mode, as a title says it."""
        if self.mode == "whole run":
            return self.mode
        return f"{self.mode}, {'last ' if self.mode == 'live' else ''}{self.span:,.0f} steps"


@dataclass(frozen=True)
class Tick:
    """A mark: where it is on the axis, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A range of values above its first, and what marks it for so many marks at the most."""

    low: float
    high: float
    ticks: Callable[[int], list[Tick]]


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
