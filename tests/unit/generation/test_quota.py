"""How long a run waits for quotas: in all as long as was granted, and calls that wait together count once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.generation.quota import PROBE, QuotaPatience


def test_without_patience_every_quota_ends_the_run() -> None:
    assert QuotaPatience(0.0).grant(1.0, 0.0) is None
    assert QuotaPatience(0.0).grant(None, 0.0) is None


def test_a_wait_that_is_too_long_is_refused_and_a_shorter_one_granted() -> None:
    patience = QuotaPatience(3600.0)
    assert patience.grant(3 * 86_400.0, 0.0) is None
    assert patience.grant(3000.0, 0.0) == 3000.0
    assert patience.grant(3000.0, 5000.0) is None
    assert patience.grant(600.0, 5000.0) == 600.0
    assert patience.grant(1.0, 9000.0) is None


def test_calls_that_meet_the_same_limit_wait_together() -> None:
    patience = QuotaPatience(1000.0)
    assert patience.grant(900.0, 0.0) == 900.0
    assert patience.grant(890.0, 5.0) == 895.0
    assert patience.grant(900.0, 50.0) == 900.0
    assert patience.grant(60.0, 940.0) == 60.0


def test_a_provider_that_does_not_say_when_is_tried_now_and_then() -> None:
    assert QuotaPatience(10_000.0).grant(None, 7.0) == PROBE


@given(st.floats(0, 1e5), st.lists(st.tuples(st.none() | st.floats(0, 1e5), st.floats(0, 1e4))))
def test_the_budget_is_never_overdrawn(budget: float, asks: list[tuple[float | None, float]]) -> None:
    patience, now, waited_until, waited = QuotaPatience(budget), 0.0, 0.0, 0.0
    for refills_in, later in asks:
        now += later
        if (wait := patience.grant(refills_in, now)) is not None:
            waited += max(0.0, now + wait - max(now, waited_until))
            waited_until = max(waited_until, now + wait)
    assert waited <= budget * (1 + 1e-9) + 1e-6
