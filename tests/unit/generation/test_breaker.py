"""The breaker: nearly everything fails, for long enough where it may pass by itself; told by class with an example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.generation.breaker import LEAST, PATIENCE, WINDOW, Breaker, Failure

BROKEN = Failure("protocol", "no such model", "check the name")


def test_a_broken_teacher_is_told_after_a_few_calls_with_counts_and_an_example() -> None:
    breaker = Breaker(0.0)
    for _ in range(LEAST - 1):
        breaker.bad(BROKEN)
        assert breaker.trips(1.0) is None
    breaker.bad(Failure("rejected (refusal)", "it refuses"))
    found = breaker.trips(1.0)
    assert found is not None
    assert found.message == (
        "10 of the last 10 calls failed (9 protocol, 1 rejected (refusal)). An example: no such model"
    )
    assert found.hint == "check the name"


@pytest.mark.parametrize("kind", sorted(PATIENCE))
def test_what_may_pass_by_itself_is_waited_for(kind: str) -> None:
    breaker = Breaker(0.0)
    breaker.good(100.0)
    for _ in range(WINDOW):
        breaker.bad(Failure(kind, "away"))
    assert breaker.trips(100.0 + PATIENCE[kind] - 1) is None
    assert breaker.trips(100.0 + PATIENCE[kind]) is not None


def test_old_ends_are_forgotten() -> None:
    breaker = Breaker(0.0)
    for _ in range(1000):
        breaker.good(0.0)
    for _ in range(WINDOW):
        breaker.bad(BROKEN)
    assert breaker.trips(1.0) is not None


@given(st.lists(st.booleans(), max_size=100))
def test_it_trips_only_if_nearly_everything_fails(ends: list[bool]) -> None:
    breaker = Breaker(0.0)
    for good in ends:
        if good:
            breaker.good(0.0)
        else:
            breaker.bad(BROKEN)
    last = ends[-WINDOW:]
    nearly_everything = len(last) >= LEAST and last.count(False) >= 0.9 * len(last)
    assert (breaker.trips(1.0) is not None) == nearly_everything
