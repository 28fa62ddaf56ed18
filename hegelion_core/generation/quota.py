"""How long an unattended run waits for a quota to refill. Pure."""

from __future__ import annotations

PROBE = 900.0
"""Seconds between tries where the provider does not say when the quota refills."""


class QuotaPatience:
    """The time that a run may spend waiting, in all."""

    def __init__(self, budget: float) -> None:
        """``budget`` in seconds."""
        self._left = budget
        self._until = float("-inf")

    def grant(self, refills_in: float | None, now: float) -> float | None:
        """Seconds to wait from ``now``, of a monotonic clock; ``None``: that is more than the run may wait.

        Calls that were in flight together and meet the same limit wait together, and it counts once.
        """
        until = now + (PROBE if refills_in is None else refills_in)
        more = until - max(now, self._until)
        if more <= 0:
            return self._until - now
        if more > self._left:
            return None
        self._left -= more
        self._until = until
        return until - now
