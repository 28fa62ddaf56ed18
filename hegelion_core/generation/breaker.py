"""The breaker: ends a generation in which nearly everything fails, and says why. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW = 20
"""Ended calls that are looked at."""
LEAST = 10
"""Ended calls before anything is concluded."""
SHARE = 0.9
"""Share of failures in them that is nearly everything."""
PATIENCE: Mapping[str, float] = {"transient": 600.0, "timeout": 600.0, "rate": 3600.0}
"""Seconds without a good end before anything is concluded from failures that may pass by themselves, by class."""


@dataclass(frozen=True)
class Failure:
    """How a call failed: its class, and an example in words."""

    kind: str
    message: str
    hint: str = ""


class Breaker:
    """Looks at how the last calls ended."""

    def __init__(self, now: float) -> None:
        """``now`` in seconds of a monotonic clock, as everywhere here."""
        self._last: deque[Failure | None] = deque(maxlen=WINDOW)
        self._good_at = now

    def good(self, now: float) -> None:
        """A call gave a sample."""
        self._last.append(None)
        self._good_at = now

    def bad(self, failure: Failure) -> None:
        """A call gave none."""
        self._last.append(failure)

    def trips(self, now: float) -> Failure | None:
        """What to stop with, if nearly everything fails: counts by class and one example."""
        failures = [failure for failure in self._last if failure is not None]
        if len(self._last) < LEAST or len(failures) < SHARE * len(self._last):
            return None
        kinds = Counter(failure.kind for failure in failures)
        (commonest, _), *_ = kinds.most_common(1)
        if now - self._good_at < PATIENCE.get(commonest, 0.0):
            return None
        example = next(failure for failure in reversed(failures) if failure.kind == commonest)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        message = (
            f"{len(failures)} of the last {len(self._last)} calls failed ({counts}). An example: {example.message}"
        )
        return Failure(commonest, message, example.hint)
