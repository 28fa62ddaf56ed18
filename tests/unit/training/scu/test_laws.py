"""The laws, on a plant that behaves as a training does, and against the published formulas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hegelion_core.settings import TrainingSettings
from hegelion_core.training.scu import decoupled, published
from hegelion_core.training.scu.choice import choose_law
from hegelion_core.training.scu.controller import ControllerState, Law
from hegelion_core.training.scu.decoupled import DecoupledLaw
from hegelion_core.training.scu.measures import Measured, Prior, bits, param_bpt, share, sum_of_squares
from hegelion_core.training.scu.published import PublishedLaw

PRIOR = Prior(sigma=0.01, tokens_per_epoch=50_000)
RATE = 2e-4


@dataclass(frozen=True)
class Plant:
    """An optimizer that moves the weights away, slower and slower, on data that is learned, row by noisy row."""

    speed: float
    """Distance, in √bits, that the first steps add each."""
    slowing: float = 100.0
    """Steps after which the speed is half."""
    floor: float = 0.5
    """Share of the speed that is left in the end."""
    learned: float = 0.5
    """Share of the bits that the training takes away."""
    noise: float = 0.05
    """Standard deviation of a batch's bits, relative."""
    jitter: float = 0.1
    """Of the speed, relative, at most."""

    def run(self, law: Law, steps: int, every: int, seed: int = 0) -> list[ControllerState]:
        """The states after each step."""
        random, state, distance = np.random.default_rng(seed), law.initial_state(), 0.0
        states: list[ControllerState] = []
        for step in range(1, steps + 1):
            fading = 1 / (1 + step / self.slowing)
            added = (
                self.speed * (self.floor + (1 - self.floor) * fading) * random.uniform(1 - self.jitter, 1 + self.jitter)
            )
            distance = (distance + added) / (1 + law.forces(state, RATE).pull)
            data = 2.0 * (1 - self.learned * (1 - fading)) * math.exp(self.noise * random.standard_normal())
            state = law.observe(state, Measured(data, distance**2, int(random.integers(20, 400))), RATE)
            if step % every == 0:
                state = law.update(state)
            states.append(state)
        return states


def decoupled_law(
    target: float = 0.02, lambda_init: float = 1.0, prior: Prior = PRIOR, every: int = 10
) -> DecoupledLaw:
    return DecoupledLaw(prior, target, kp=0.8, ki=0.15, lambda_init=lambda_init, update_every=every)


def published_law(target: float = 0.01, lambda_init: float = 1.0) -> PublishedLaw:
    return PublishedLaw(PRIOR, target, kp=0.8, ki=0.15, lambda_init=lambda_init)


LAWS: list[Law] = [decoupled_law(), published_law()]


# Measures


def test_the_measures_are_their_formulas() -> None:
    prior = Prior(sigma=0.1, tokens_per_epoch=50)
    assert bits(math.log(2)) == pytest.approx(1)
    assert param_bpt(3.0, prior) == pytest.approx(3 / (2 * 0.01 * 50 * math.log(2)))
    assert sum_of_squares(param_bpt(3.0, prior), prior) == pytest.approx(3.0)
    assert share(3.0, 1.0) == 0.25
    assert share(0.0, 0.0) == 0


# Ours


@pytest.mark.parametrize(
    ("noise", "jitter", "mean", "most", "touching"),
    [(0.05, 0.1, 0.04, 0.1, 0.0), (0.15, 0.3, 0.1, 0.25, 0.01)],
    ids=["larger batches", "single rows"],
)
@given(
    target=st.floats(1e-3, 0.2),
    every=st.sampled_from([1, 2, 10]),
    steps_to_target=st.floats(10, 40),
    tokens=st.integers(1_000, 1_000_000),
    slowing=st.floats(30, 1000),
    floor=st.floats(0.2, 1),
    learned=st.floats(0, 0.7),
    seed=st.integers(0, 1000),
)
@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_an_attainable_target_is_reached_in_a_fifth_and_held(
    noise: float,
    jitter: float,
    mean: float,
    most: float,
    touching: float,
    target: float,
    every: int,
    steps_to_target: float,
    tokens: int,
    slowing: float,
    floor: float,
    learned: float,
    seed: int,
) -> None:
    """Of 500 steps. ``mean`` and ``most`` (95 %) bound the relative error; the average rests on some 14 batches.

    ``touching`` is the share of steps in which λ may be at a bound. (Of 5,000 draws of single rows the worst had a mean
    of 9.2 % and a 95 % quantile of 22 %, and λ at a bound in 2 of 400 steps.)
    """
    goal = math.sqrt(2.0 * target / (1 - target))
    law = decoupled_law(target, prior=replace(PRIOR, tokens_per_epoch=tokens), every=every)
    plant = Plant(goal / steps_to_target, slowing, floor, learned, noise, jitter)
    late = plant.run(law, 500, every, seed)[100:]
    errors = [abs((state.s_hat or 0) / target - 1) for state in late]
    assert np.mean(errors) < mean
    assert np.quantile(errors, 0.95) < most
    low, high = law.lambda_bounds
    assert sum(not low < state.lam < high for state in late) <= touching * len(late)


def test_the_measurement_is_an_average_over_supervised_tokens() -> None:
    law, state = decoupled_law(), decoupled_law().initial_state()
    for data, tokens in ((1.0, 300), (4.0, 100)):
        state = law.observe(state, Measured(data, 0.5, tokens), RATE)
    kept = 0.5 ** (1 / decoupled.HALF_LIFE)
    mean = (kept * 300 * 1.0 + 100 * 4.0) / (kept * 300 + 100)
    assert state.s_hat == pytest.approx(0.5 / (0.5 + mean))


def test_an_unreachable_target_leaves_the_weights_alone_and_does_not_wind_up() -> None:
    law = decoupled_law(0.5)
    states = Plant(1e-4).run(law, 300, every=2)
    assert states[-1].integral == 0
    assert states[-1].lam < 0.01


def test_at_a_bound_the_integral_does_not_wind_up() -> None:
    law = decoupled_law(0.02)
    low, high = law.lambda_bounds
    near = 2.0 * 0.02 / 0.98
    for lam, r_squared in ((low, near / 1.2), (high, near * 1.2)):
        state = ControllerState(lam=lam, s_hat=0.02, bits=200, tokens=100, distance=math.sqrt(r_squared))
        state = law.observe(state, Measured(2.0, r_squared, 1), RATE)
        assert law.update(state).integral == 0
        off = law.observe(msgspec.structs.replace(state, lam=1.0), Measured(2.0, r_squared, 1), RATE)
        assert law.update(off).integral != 0


def test_more_s_than_wanted_means_more_pull() -> None:
    law = decoupled_law(0.02)

    def lambda_at(s: float) -> float:
        r = math.sqrt(2.0 * s / (1 - s))
        state = ControllerState(lam=5.0, s_hat=s, bits=200, tokens=100, added=0.05, betas=0.01, beta=1e-3, distance=r)
        return law.update(state).lam

    low, right, high = map(lambda_at, (0.01, 0.02, 0.04))
    assert low < right < high
    assert right == pytest.approx(5.0 / math.sqrt(2.0 * 0.02 / 0.98))


def test_the_pull_follows_the_learning_rate() -> None:
    law, state = decoupled_law(), decoupled_law().initial_state()
    assert law.forces(state, 2e-4).pull == pytest.approx(2 * law.forces(state, 1e-4).pull)
    assert law.forces(state, 2e-4).penalty == 0
    # A schedule that ends at 0 must not end the law.
    for rate in (1e-4, 0.0):
        state = law.update(law.observe(state, Measured(2.0, 0.1, 9), rate))
    assert math.isfinite(state.lam)


# The published law


def reference_law(shares: Sequence[float], target: float, kp: float, ki: float) -> list[float]:
    """The four lines of the published update, written down once more, on plain numbers."""
    s_hat, integral, lam, result = None, 0.0, 1.0, []
    for s in shares:
        s_hat = s if s_hat is None else 0.1 * s + 0.9 * s_hat
        e = s_hat - target
        integral *= 0.995
        if abs(e) > 0.002:
            if not ((lam == 10.0 and e > 0) or (lam == 1e-4 and e < 0)):
                integral = max(-0.2, min(0.2, integral + ki * e))
            lam = max(1e-4, min(10.0, lam * math.exp(kp * e + integral)))
        result.append(lam)
    return result


@given(st.lists(st.floats(0, 0.999), min_size=1, max_size=80), st.floats(0.001, 0.9))
def test_the_published_law_is_followed_to_the_letter(shares: list[float], target: float) -> None:
    law = published_law(target)
    state, given_lambdas = law.initial_state(), []
    for s in shares:
        # Steps between updates do not enter the average.
        state = law.observe(law.observe(state, Measured(1.0, 5.0, 9), RATE), Measured(1.0, s / (1 - s), 9), RATE)
        state = law.update(state)
        given_lambdas.append(state.lam)
    assert given_lambdas == pytest.approx(reference_law(shares, target, 0.8, 0.15), rel=1e-9)


def test_the_published_law_acts_on_the_loss_alone() -> None:
    forces = published_law().forces(ControllerState(lam=3.0), RATE)
    assert forces.pull == 0
    assert forces.penalty == pytest.approx(3.0 / (0.01**2 * 50_000))


def test_the_published_law_hardly_moves_in_a_run() -> None:
    """What docs/scu.md says of its gains: a factor of 2 off the target, λ moves by under 1 % an update at first."""
    law, state = published_law(), published_law().initial_state()
    lambdas = []
    for _ in range(10):
        state = law.update(law.observe(state, Measured(0.98, 0.02, 100), RATE))
        lambdas.append(state.lam)
    assert all(1 < after / before < 1.03 for before, after in itertools.pairwise([1.0, *lambdas]))


# Both


@pytest.mark.parametrize("law", [decoupled_law(lambda_init=0.0), published_law(lambda_init=0.0)])
def test_lambda_zero_stays_zero(law: Law) -> None:
    states = Plant(0.2).run(law, 50, every=2)
    assert {state.lam for state in states} == {0.0}
    forces = law.forces(states[-1], RATE)
    assert (forces.pull, forces.penalty) == (0, 0)


@pytest.mark.parametrize("law", LAWS)
def test_lambda_changes_at_updates_only(law: Law) -> None:
    states = Plant(0.05).run(law, 40, every=10)
    changed = [step for step, (a, b) in enumerate(itertools.pairwise(states), start=2) if a.lam != b.lam]
    assert changed == [10, 20, 30, 40]
    assert states[8].lam == 1.0


@pytest.mark.parametrize("law", LAWS)
@given(
    measured=st.lists(st.tuples(st.floats(0, 50), st.floats(0, 1e6), st.integers(1, 5000)), min_size=1, max_size=30),
    rate=st.floats(1e-9, 1),
)
def test_lambda_is_bounded_whatever_is_measured(
    law: Law, measured: list[tuple[float, float, int]], rate: float
) -> None:
    low, high = law.lambda_bounds
    state = law.initial_state()
    for values in measured:
        state = law.update(law.observe(state, Measured(*values), rate))
        assert state.lam == 1.0 or low <= state.lam <= high
        assert math.isfinite(state.integral)


@pytest.mark.parametrize("law", LAWS)
def test_a_state_goes_through_a_checkpoint_unchanged(law: Law) -> None:
    state = Plant(0.05).run(law, 33, every=10)[-1]
    assert msgspec.json.decode(msgspec.json.encode(state), type=ControllerState) == state


def test_the_settings_choose_the_law() -> None:
    assert isinstance(choose_law(TrainingSettings(), PRIOR), DecoupledLaw)
    chosen = choose_law(TrainingSettings(scu_law="published", target_s=0.3), PRIOR)
    assert chosen == PublishedLaw(PRIOR, 0.3, 0.8, 0.15, 1.0)
    assert chosen.lambda_bounds == published.BOUNDS
