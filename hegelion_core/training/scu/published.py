"""The published law of the Shannon Control Unit, to the letter, for comparison. Pure.

The published trainers' law: an exponential average of S, a deadband, a leaky integral, and λ multiplied by
``exp(Kp·e + I)``. The penalty is part of the differentiated loss, so that Adam rescales it with the data's gradient.
``docs/scu.md`` says why this does not control.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgspec.structs import replace

from hegelion_core.training.scu.controller import ControllerState, Forces, clip
from hegelion_core.training.scu.measures import Measured, Prior

FRESH = 0.1
"""α: weight of a new measurement in the average."""
DEADBAND = 0.002
"""Absolute error within which λ stays."""
LEAK = 0.995
"""What an update leaves of the integral."""
INTEGRAL_LIMIT = 0.2
BOUNDS = (1e-4, 10.0)


@dataclass(frozen=True)
class PublishedLaw:
    """What stays the same for a whole training."""

    prior: Prior
    target_s: float
    kp: float
    ki: float
    lambda_init: float

    @property
    def lambda_bounds(self) -> tuple[float, float]:
        """The least and the greatest λ."""
        return BOUNDS

    def initial_state(self) -> ControllerState:
        """Before the first step."""
        return ControllerState(lam=self.lambda_init)

    def forces(self, state: ControllerState, learning_rate: float) -> Forces:
        """The term of the loss: its gradient is ``λ (w - w_ref) / (σ²N)``, whatever the learning rate."""
        return Forces(penalty=state.lam * self.prior.stiffness)

    def observe(self, state: ControllerState, measured: Measured, learning_rate: float) -> ControllerState:
        """Remember S of this step; only an update averages it."""
        return replace(state, s=measured.s)

    def update(self, state: ControllerState) -> ControllerState:
        """``λ ← λ · exp(Kp·e + I)`` with the absolute error ``e = Ŝ - S*``."""
        if self.lambda_init == 0 or state.s is None:
            return state
        s_hat = state.s if state.s_hat is None else FRESH * state.s + (1 - FRESH) * state.s_hat
        error, integral = s_hat - self.target_s, LEAK * state.integral
        if abs(error) <= DEADBAND:
            return replace(state, s_hat=s_hat, integral=integral)
        low, high = BOUNDS
        pushed_out = (state.lam >= high and error > 0) or (state.lam <= low and error < 0)
        if not pushed_out:
            integral = clip(integral + self.ki * error, -INTEGRAL_LIMIT, INTEGRAL_LIMIT)
        lam = clip(state.lam * math.exp(self.kp * error + integral), low, high)
        return replace(state, s_hat=s_hat, integral=integral, lam=lam)
