"""How many calls may be in flight, and when the next may begin: one pace for all instances. Pure.

Additive increase, multiplicative decrease, as in TCP (Jacobson 1988): a rate limit halves the pace, each round of
answered calls adds one. A limit that many calls run into at once halves it once: calls that began before the last cut
say nothing about the pace after it. All times are in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable

BACKOFF = 2.0
"""Seconds of the first wait without a time from the provider; doubles with each wave of failures in a row."""
MAX_BACKOFF = 120.0
PROBE_AFTER = 2
"""Waves of failures without an answer after which one call at a time finds out whether the service is back."""
LEAST = 1.0


class Pace:
    """The pace of one generation."""

    def __init__(self, maximum: int, jitter: Callable[[], float] = lambda: 1.0) -> None:
        """``maximum`` is how many calls may ever be in flight; ``jitter`` stretches waits of ours, so that several
        programs on one account do not come back in step."""
        self._maximum = maximum
        self._jitter = jitter
        self._window = float(maximum)
        self._waves = 0
        self._wave_at = float("-inf")
        self._cut_at = float("-inf")
        self._answered_at = float("-inf")
        self.until = float("-inf")
        """No call begins before this time."""

    @property
    def maximum(self) -> int:
        """The most that may ever be in flight, as set."""
        return self._maximum

    @property
    def allowed(self) -> int:
        """Calls that may be in flight now."""
        if self._waves >= PROBE_AFTER:
            return 1
        return min(self._maximum, int(self._window))

    def scale(self, maximum: int) -> None:
        """Set another maximum. A pace that is not slowed down takes it at once."""
        free = self._window >= self._maximum
        self._maximum = maximum
        self._window = float(maximum) if free else min(self._window, float(maximum))

    def wait(self, in_flight: int, now: float) -> float | None:
        """Seconds until one more call may begin: 0 is now, ``None`` not before another has ended."""
        if in_flight >= self.allowed:
            return None
        return max(0.0, self.until - now)

    def answered(self, now: float) -> None:
        """A call was answered: the service works, and takes a little more."""
        self._answered_at = now
        self._waves = 0
        self._window = min(float(self._maximum), self._window + 1.0 / self._window)

    def rate_limited(self, began: float, now: float, wait: float | None) -> None:
        """A call that began at ``began`` met a rate limit; ``wait`` is what the provider asks for."""
        if began >= self._cut_at:
            self._cut_at = now
            self._window = max(LEAST, min(self._window, float(self._maximum)) / 2)
        self._wait_for(began, now, wait)

    def answered_since(self, time: float) -> bool:
        """Whether the service has answered any call since."""
        return self._answered_at >= time

    def out_of_service(self, began: float, now: float, wait: float | None = None) -> None:
        """A call failed for a reason of the service's. All wait, unless others were answered meanwhile."""
        if wait is not None or not self.answered_since(began):
            self._wait_for(began, now, wait)

    def pause(self, now: float, wait: float) -> None:
        """Nothing begins for ``wait`` seconds, as when a quota is used up; then one call finds out."""
        self._waves = max(self._waves, PROBE_AFTER)
        self.until = max(self.until, now + wait)

    def _wait_for(self, began: float, now: float, wait: float | None) -> None:
        if began >= self._wave_at:
            self._waves += 1
            self._wave_at = now
        if wait is None:
            doublings = min(self._waves - 1, 32)  # far beyond the maximum, and far from an overflow
            wait = min(MAX_BACKOFF, BACKOFF * 2.0**doublings) * self._jitter()
        self.until = max(self.until, now + wait)
