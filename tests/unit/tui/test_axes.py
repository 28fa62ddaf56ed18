from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.ticks import linear_ticks, log_ticks
from hegelion_tui.axes import LEAST_SPAN, LIVE_SPAN, View

FACTORS = st.floats(0.1, 10)
VIEWS = st.builds(View, st.sampled_from(["whole run", "live"]), st.floats(LEAST_SPAN, 500))


def test_the_whole_run_and_the_last_steps_follow_while_a_frozen_window_stands() -> None:
    whole, live, frozen = View(), View("live", 50), View("frozen", 50, end=80)
    assert [whole.window(1, last) for last in (100, 200)] == [(1, 100), (1, 200)]
    assert [live.window(1, last) for last in (100, 200)] == [(50, 100), (150, 200)]
    assert [frozen.window(1, last) for last in (100, 200)] == [(30, 80), (30, 80)]


def test_modes_go_round_and_freezing_keeps_what_is_shown() -> None:
    live = View().next_mode(1, 1000)
    assert live == View("live", LIVE_SPAN)
    frozen = live.next_mode(1, 1000)
    assert frozen.window(1, 1500) == live.window(1, 1000)
    assert frozen.next_mode(1, 1500).mode == "whole run"


def test_zooming_into_the_whole_run_shows_its_last_steps_and_goes_on_following() -> None:
    view = View().zoomed(0.5, 0, 1000)
    assert view.mode == "live"
    assert view.window(0, 1000) == (500, 1000)
    assert view.window(0, 1100) == (600, 1100)
    assert view.zoomed(0.5, 0, 1000).zoomed(4, 0, 1000).mode == "whole run"


def test_zooming_a_frozen_window_keeps_the_step_under_the_pointer_in_place() -> None:
    view = View("frozen", 400, end=600).zoomed(0.5, 0, 1000, at=300)
    assert view.window(0, 1000) == (250, 450)


def test_panning_freezes_and_coming_back_to_the_end_follows_again() -> None:
    back = View("live", 100).panned(-0.5, 0, 1000)
    assert (back.mode, back.window(0, 1000)) == ("frozen", (850, 950))
    assert back.panned(0.5, 0, 1000) == View("live", 100, back.end)
    assert View().panned(-0.5, 0, 1000) == View(), "all of it is shown already"
    assert View("live", 100).panned(0.5, 0, 1000) == View("live", 100)
    assert View("frozen", 100, end=150).panned(-10, 0, 1000).window(0, 1000) == (0, 100)


@given(VIEWS, st.lists(st.tuples(st.sampled_from(["zoom", "pan", "mode"]), FACTORS), max_size=12), st.integers(1, 5000))
def test_a_window_is_never_empty_nor_outside(view: View, deeds: list[tuple[str, float]], last: int) -> None:
    for deed, factor in deeds:
        match deed:
            case "zoom":
                view = view.zoomed(factor, 0, last)
            case "pan":
                view = view.panned(factor - 5, 0, last)
            case _:
                view = view.next_mode(0, last)
        begin, end = view.window(0, last)
        assert begin < end <= last
        assert view.mode == "frozen" or end == last
        assert begin >= 0 or last < LEAST_SPAN
        assert view.words().startswith(view.mode)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 20))
def test_marks_are_few_distinct_and_within(low: float, span: float, most: int) -> None:
    high = low + span
    ticks = linear_ticks(low, high, most)
    slack = 1e-6 * span + 1e-12 * abs(low)
    assert len(ticks) <= most + 1
    assert all(low - slack <= tick.at <= high + slack for tick in ticks)
    if span > 0.1 * max(abs(low), abs(high)):  # nearer values need more digits than there is room for
        assert len({tick.label for tick in ticks}) == len(ticks)


def test_marks_say_round_values() -> None:
    assert [tick.label for tick in linear_ticks(0.93, 2.11, 6)] == ["1.0", "1.2", "1.4", "1.6", "1.8", "2.0"]
    assert [tick.label for tick in linear_ticks(0, 50_000, 5)] == [
        "0",
        "10,000",
        "20,000",
        "30,000",
        "40,000",
        "50,000",
    ]
    assert [tick.label for tick in linear_ticks(3, 4.2, 5, least_interval=1)] == ["3", "4"]
    assert [tick.label for tick in linear_ticks(1e-6, 4e-6, 4)] == ["0.000001", "0.000002", "0.000003", "0.000004"]
    assert linear_ticks(1.0, 1.0, 5) == linear_ticks(0.0, math.inf, 5) == []


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0.09, 1100, 9, ["0.1", "1", "10", "100", "1,000"]),
        (0.9, 90, 12, ["1", "2", "5", "10", "20", "50"]),
        (1.1, 4.2, 6, ["2", "3", "4"]),
        (1e-9, 1e9, 7, ["1e-09", "0.000001", "0.001", "1", "1,000", "1e+06", "1e+09"]),
    ],
)
def test_logarithmic_marks(low: float, high: float, most: int, labels: list[str]) -> None:
    ticks = log_ticks(math.log10(low), math.log10(high), most)
    assert [tick.label for tick in ticks] == labels
    assert [10**tick.at for tick in ticks] == pytest.approx([float(label.replace(",", "")) for label in labels])
