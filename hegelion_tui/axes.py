"""What part of a training a chart shows, and the marks along its axes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from hegelion_core.ticks import Tick

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
class Axis:
    """A range of values above its first, and what marks it for so many marks at the most."""

    low: float
    high: float
    ticks: Callable[[int], list[Tick]]
