"""What a training is said to reach."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.training.scu.measures import Prior, param_bpt, share
from hegelion_core.training.scu.reachability import Reach, Start, reach, statement, uncontrolled_statement

START = Start(Prior(0.01, 50_000), target_s=0.02, trainable=100_000, initial_sum_sq=0.0, data_bpt=2.0)
RATES = [2e-4] * 500


def said(start: Start, rates: list[float] = RATES, every: int = 10) -> str:
    return statement(start, reach(start, rates), update_every=every, bounds=(1e-4, 1e4))


@pytest.mark.parametrize("coherence", [0.0, 0.3, 1.0])
def test_adam_stays_between_the_random_walk_and_the_ceiling(coherence: float) -> None:
    """Adam itself, on 2,000 weights whose gradients are partly steady and partly noise."""
    random, steps, rate = np.random.default_rng(0), 200, 1e-3
    steady = random.standard_normal(2000)
    w, m, v = np.zeros(2000), np.zeros(2000), np.zeros(2000)
    for step in range(1, steps + 1):
        g = coherence * steady + (1 - coherence) * random.standard_normal(2000)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= rate * (m / (1 - 0.9**step)) / np.sqrt(v / (1 - 0.999**step))
    moved, walk, ceiling = float((w**2).sum()), 2000 * steps * rate**2, 2000 * (steps * rate) ** 2
    assert 0.7 * walk < moved <= 1.01 * ceiling
    if coherence == 1:
        assert moved == pytest.approx(ceiling, rel=0.01)
    if coherence == 0:
        assert moved == pytest.approx(walk, rel=0.3)


def test_the_floor_is_what_the_initial_weights_cost() -> None:
    start = replace(START, initial_sum_sq=40.0)
    assert reach(start, RATES).floor == pytest.approx(share(2.0, param_bpt(40.0, START.prior)))
    assert reach(START, RATES).floor == 0


def test_ceiling_and_expectation_are_their_formulas() -> None:
    reached = reach(START, RATES)
    summed, squares = 500 * 2e-4, 500 * 4e-8
    assert reached.ceiling == pytest.approx(share(2.0, param_bpt(100_000 * summed**2, START.prior)))
    middle = 100_000 * summed * math.sqrt(squares)
    assert reached.expected == pytest.approx(share(2.0, param_bpt(middle, START.prior)))


@given(
    sigma=st.floats(1e-4, 1),
    tokens=st.integers(1, 10**8),
    trainable=st.integers(1, 10**8),
    initial=st.floats(0, 1e4),
    rates=st.lists(st.floats(0, 0.1), min_size=1, max_size=50),
    target=st.floats(1e-4, 0.99),
)
def test_floor_expected_and_ceiling_are_in_order(
    sigma: float, tokens: int, trainable: int, initial: float, rates: list[float], target: float
) -> None:
    start = Start(Prior(sigma, tokens), target, trainable, initial, 2.0)
    reached = reach(start, rates)
    assert 0 <= reached.floor <= reached.expected * (1 + 1e-9)
    assert reached.expected <= reached.ceiling * (1 + 1e-9) <= 1 + 1e-9
    if reached.target_step is not None:
        assert reached.floor < target <= reached.expected
        assert reach(start, rates[: reached.target_step]).target_step == reached.target_step
    assert said(start, rates)


def test_the_statement_says_what_will_happen() -> None:
    assert "should be reached about step" in said(START, [2e-5] * 500)
    slow = reach(START, [2e-5] * 500)
    assert "will not be held" in statement(START, slow, update_every=10, bounds=(1e-4, 10), published=True)
    assert "is out of reach" in said(replace(START, target_s=0.99))
    ceiling = reach(START, RATES).ceiling
    assert "may not be reached" in said(replace(START, target_s=0.9 * ceiling))
    assert "below that start" in said(replace(START, initial_sum_sq=100.0))
    assert "S will swing around it" in said(replace(START, target_s=1e-4))
    assert "plain LoRA" in uncontrolled_statement(Reach(0.0, 0.1, 0.2, None), 0.0)
    assert "λ stays 3," in uncontrolled_statement(Reach(0.0, 0.1, 0.2, None), 3.0)
