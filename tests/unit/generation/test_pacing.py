"""The pace: halved once a rate limit, grown back slowly, never over its maximum; one wait for all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hegelion_core.generation.pacing import BACKOFF, MAX_BACKOFF, Pace


def test_all_may_go_at_first_and_no_more_than_all() -> None:
    pace = Pace(4)
    assert [pace.wait(in_flight, 0.0) for in_flight in (0, 3, 4, 9)] == [0.0, 0.0, None, None]


def test_a_rate_limit_that_many_calls_meet_at_once_halves_the_pace_once() -> None:
    pace = Pace(16)
    for number in range(16):
        pace.rate_limited(began=number / 100, now=1.0 + number / 100, wait=None)
    assert pace.allowed == 8
    pace.rate_limited(began=10.0, now=11.0, wait=None)
    pace.answered(11.5)
    assert pace.allowed == 4


def test_it_grows_back_by_one_a_round_and_not_at_once() -> None:
    pace = Pace(8)
    pace.rate_limited(0.0, 1.0, None)
    assert pace.allowed == 4
    for _ in range(4):
        pace.answered(2.0)
    assert pace.allowed == 4
    pace.answered(2.0)
    assert pace.allowed == 5
    for _ in range(200):
        pace.answered(3.0)
    assert pace.allowed == 8


def test_what_the_provider_asks_for_holds_for_all() -> None:
    pace = Pace(4)
    pace.rate_limited(0.0, 10.0, wait=1152.0)
    assert pace.wait(0, 10.0) == 1152.0
    assert pace.wait(0, 1000.0) == 162.0
    pace.rate_limited(0.0, 11.0, wait=2.0)
    assert pace.wait(0, 11.0) == 1151.0


def test_a_lonely_failure_of_the_service_stops_nobody() -> None:
    pace = Pace(4)
    pace.answered(5.0)
    pace.out_of_service(began=1.0, now=6.0)
    assert pace.wait(0, 6.0) == 0
    assert pace.allowed == 4


def test_an_outage_is_probed_by_one_call_at_a_time_with_growing_waits_and_ends_with_an_answer() -> None:
    pace = Pace(4)
    now, waits = 0.0, []
    for _ in range(9):
        pace.out_of_service(began=now, now=now + 1)
        waits.append(pace.until - (now + 1))
        now = pace.until
    assert waits[:3] == [BACKOFF, 2 * BACKOFF, 4 * BACKOFF]
    assert waits[-1] == MAX_BACKOFF
    for _ in range(2000):
        pace.out_of_service(began=now, now=now)
    assert pace.until <= now + MAX_BACKOFF
    assert pace.allowed == 1
    pace.answered(now)
    assert pace.allowed == 4


def test_a_wave_of_failures_counts_once() -> None:
    pace = Pace(64)
    for number in range(64):
        pace.out_of_service(began=number / 1000, now=1.0)
    assert pace.until == 1.0 + BACKOFF


def test_after_a_pause_one_call_finds_out() -> None:
    pace = Pace(4)
    pace.pause(0.0, 3600.0)
    assert pace.wait(0, 3599.0) == 1.0
    assert [pace.wait(in_flight, 3600.0) for in_flight in (0, 1)] == [0.0, None]
    pace.answered(3601.0)
    assert pace.wait(3, 3601.0) == 0


def test_another_maximum_holds_at_once_unless_the_pace_was_slowed_down() -> None:
    pace = Pace(2)
    pace.scale(5)
    assert pace.allowed == 5
    pace.rate_limited(0.0, 1.0, 0.0)
    pace.scale(10)
    assert pace.allowed == 2
    pace.scale(1)
    assert pace.allowed == 1


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.maximum = 8
        self.pace = Pace(8)
        self.now = 0.0

    @rule(seconds=st.floats(0, 1000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def an_answer(self) -> None:
        before = self.pace.allowed
        self.pace.answered(self.now)
        assert self.pace.allowed >= before

    @rule(ago=st.floats(0, 100), wait=st.none() | st.floats(0, 5000))
    def a_rate_limit(self, ago: float, wait: float | None) -> None:
        before = self.pace.allowed
        self.pace.rate_limited(self.now - ago, self.now, wait)
        assert self.pace.allowed <= before
        assert self.pace.until >= self.now + (wait or 0)

    @rule(ago=st.floats(0, 100))
    def an_outage(self, ago: float) -> None:
        self.pace.out_of_service(self.now - ago, self.now)

    @rule(maximum=st.integers(1, 64))
    def scaled(self, maximum: int) -> None:
        self.maximum = maximum
        self.pace.scale(maximum)

    @invariant()
    def at_least_one_call_and_at_most_the_maximum(self) -> None:
        assert 1 <= self.pace.allowed <= self.maximum

    @invariant()
    def never_deaf(self) -> None:
        """With nothing in flight there is always a time at which a call may begin."""
        assert self.pace.wait(0, self.now) is not None


TestAnyOrder = AnyOrder.TestCase


@given(st.lists(st.floats(0, 10), max_size=30))
def test_jitter_only_lengthens_own_waits(times: list[float]) -> None:
    plain, stretched = Pace(4), Pace(4, lambda: 1.5)
    for time in times:
        plain.out_of_service(time, time)
        stretched.out_of_service(time, time)
        assert plain.until <= stretched.until
