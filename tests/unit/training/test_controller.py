"""The controller's law, on a plant that behaves as a training does."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.training.controller import (
    LAMBDA_MAX,
    LAMBDA_MIN,
    ControllerSettings,
    ControllerState,
    bits,
    initial_state,
    observe,
    param_bpt,
    pull_strength,
    share,
    update,
)

DATA_BPT = 2.0


def settings(target_s: float = 0.02, lambda_init: float = 1.0, every: int = 2) -> ControllerSettings:
    return ControllerSettings(target_s, kp=0.8, ki=0.15, lambda_init=lambda_init, half_life=max(every, 4))


def train(law: ControllerSettings, *, steps: int, every: int, speed: float, beta: float) -> list[ControllerState]:
    """A plant: the optimizer moves the weights ``speed`` away at each step, slowing down slowly; then they are pulled.

    The states after each step. ParamBPT is the square of the distance.
    """
    state, distance, states = initial_state(law), 0.0, []
    for step in range(1, steps + 1):
        distance = (distance + speed / (1 + step / 200)) / (1 + beta * state.lam)
        state = observe(law, state, share(DATA_BPT, distance**2), beta)
        if step % every == 0:
            state = update(law, state)
        states.append(state)
    return states


@pytest.mark.parametrize("every", [2, 10])
@pytest.mark.parametrize("target", [0.002, 0.02, 0.1])
@pytest.mark.parametrize("beta", [1e-3, 1e-2, 0.2])
def test_s_settles_at_its_target_without_overshoot(every: int, target: float, beta: float) -> None:
    goal = math.sqrt(DATA_BPT * target / (1 - target))
    states = train(settings(target, every=every), steps=200, every=every, speed=goal / 10, beta=beta)
    measured = [state.s_hat or 0.0 for state in states]
    assert max(measured) < 1.4 * target
    assert all(abs(s / target - 1) < 0.1 for s in measured[100:])
    assert all(LAMBDA_MIN < state.lam < LAMBDA_MAX for state in states[20:])


def test_an_unreachable_target_leaves_the_weights_alone_and_does_not_wind_up() -> None:
    states = train(settings(0.5), steps=200, every=2, speed=1e-4, beta=1e-2)
    assert states[-1].integral == 0
    assert states[-1].lam < 1


def test_lambda_zero_stays_zero() -> None:
    states = train(settings(lambda_init=0.0), steps=50, every=2, speed=1.0, beta=0.1)
    assert {state.lam for state in states} == {0.0}
    assert (states[-1].s_hat or 0) > 0.9


def test_lambda_changes_at_updates_only() -> None:
    states = train(settings(), steps=40, every=10, speed=0.05, beta=0.01)
    changed = [step for step, (a, b) in enumerate(itertools.pairwise(states), start=2) if a.lam != b.lam]
    assert changed == [10, 20, 30, 40]
    assert states[8].lam == 1.0


@given(
    st.lists(st.floats(0, 0.999999), min_size=1, max_size=30),
    st.floats(1e-6, 0.999),
    st.floats(0, 1e4),
    st.floats(1e-12, 10),
)
def test_lambda_is_bounded_whatever_is_measured(shares: list[float], target: float, init: float, beta: float) -> None:
    law = settings(target, init, every=1)
    state = initial_state(law)
    for s in shares:
        state = update(law, observe(law, state, s, beta))
        assert math.isfinite(state.reach)
        assert state.lam == 0 if init == 0 else state.lam == init or LAMBDA_MIN <= state.lam <= LAMBDA_MAX


def test_more_s_than_wanted_means_more_pull() -> None:
    law = settings(0.02)
    state = ControllerState(lam=5.0, s_hat=0.02, reach=0.2, log_drive=0.5 * math.log(0.02 / 0.98) + math.log(5))
    assert update(law, state).lam == pytest.approx(5.0)
    low, high = (update(law, observe(law, state, s, 0.01)).lam for s in (0.01, 0.04))
    assert low < 5 < high


def test_the_measures_are_their_formulas() -> None:
    assert bits(math.log(2)) == pytest.approx(1)
    assert param_bpt(3.0, sigma=0.1, tokens_per_epoch=50) == pytest.approx(3 / (2 * 0.01 * 50 * math.log(2)))
    assert share(3.0, 1.0) == 0.25
    assert share(0.0, 0.0) == 0
    assert pull_strength(2e-4, 0.01, 3000) / pull_strength(1e-4, 0.01, 3000) == pytest.approx(2)
