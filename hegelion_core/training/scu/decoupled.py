"""Our law: S is held by a pull that Adam does not see, and λ follows from how fast the weights are driven away. Pure.

The pull is a proximal step of its own, after the optimizer's, ``w ← w_ref + (w - w_ref) / (1 + βλ)``, as AdamW
decouples weight decay. This makes the plant simple enough to be known. With ``r = √ParamBPT``, the distance of the
weights from where they began, a step is

    r ← (r + βv) / (1 + βλ)

where ``v``, the *drive*, is what the optimizer adds. r is known exactly after every step, and so is v. S* stands for
the distance ``r* = √(DataBPT · S* / (1 - S*))``. An update takes the λ that brings r there, by this equation, until
about the next update; where r is there already, that is ``v / r*``. The gains keep their places: Kp is the share of the
relative error ``e = ln(Ŝ/S*)`` that is to be gone by then, and an integral with gain Ki trims what the equation, or a
drive that changes, gets wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgspec.structs import replace

from hegelion_core.training.scu.controller import ControllerState, Forces, clip
from hegelion_core.training.scu.measures import Measured, Prior, share

BOUNDS = (1e-4, 1e4)
KAPPA = 250.0
"""Strength of the pull per unit of λ. The formula's own term would move a weight by ``lr · λ (w - w_ref) / (σ²N)``; but
Adam divides the data's gradient by its root mean square, so that for λ to weigh both as the formula does, the pull has
to be divided by that too. It is some 1/1000 to 1/100 where the gradient's norm is near 1, in 10⁵ to 10⁶ weights."""
HALF_LIFE = 10
"""Steps in which the weight of a batch's bits in their average falls by half: rows differ, and batches are small."""
DRIVE_HALF_LIFE = 4
"""The same for the drive, which differs less from batch to batch, and falls quickly in the first steps."""
HORIZON = 4
"""Steps, at least, in which an error is to be gone. With fewer S stays nearer its target, and λ moves more: where rows
differ much and a step sees one, S strayed up to 4, 7 and 12 % from its target with horizons of 2, 4 and 10 steps."""
ERROR_LIMIT = 1.0
"""Bound of the relative error: S is 0 at the start."""
INTEGRAL_LIMIT = 1.0
INTEGRATION_ZONE = 0.3
"""The integral takes part only when S is this near its target (relative), so that it cannot wind up on the way."""


@dataclass(frozen=True)
class DecoupledLaw:
    """What stays the same for a whole training."""

    prior: Prior
    target_s: float
    """S*, between 0 and 1."""
    kp: float
    ki: float
    lambda_init: float
    """λ until the first update; 0 is plain LoRA, and stays 0."""
    update_every: int = 10
    """Steps."""

    @property
    def lambda_bounds(self) -> tuple[float, float]:
        """The least and the greatest λ."""
        return BOUNDS

    def initial_state(self) -> ControllerState:
        """Before the first step."""
        return ControllerState(lam=self.lambda_init)

    def forces(self, state: ControllerState, learning_rate: float) -> Forces:
        """The pull βλ; none on the loss."""
        return Forces(pull=self.strength(learning_rate) * state.lam)

    def strength(self, learning_rate: float) -> float:
        """β of a step: ``κ · lr / (σ²N)``. Follows the learning rate, so that a smaller step is pulled back less."""
        return KAPPA * learning_rate * self.prior.stiffness

    def observe(self, state: ControllerState, measured: Measured, learning_rate: float) -> ControllerState:
        """Average the data's bits over supervised tokens; ParamBPT is no sample, and needs no average."""
        kept, kept_drive = 0.5 ** (1 / HALF_LIFE), 0.5 ** (1 / DRIVE_HALF_LIFE)
        beta = self.strength(learning_rate)
        bits = kept * state.bits + measured.tokens * measured.data_bpt
        tokens = kept * state.tokens + measured.tokens
        distance = math.sqrt(measured.param_bpt)
        added = distance * (1 + beta * state.lam) - state.distance
        return replace(
            state,
            s_hat=share(bits / tokens, measured.param_bpt),
            bits=bits,
            tokens=tokens,
            distance=distance,
            added=kept_drive * state.added + added,
            betas=kept_drive * state.betas + beta,
            beta=beta,
        )

    def update(self, state: ControllerState) -> ControllerState:
        """Take the λ that brings r to its aim, times ``exp(I)``, bounded; more λ means smaller S.

        I sums ``Ki·e``, per horizon, near the target, unless λ is at a bound and e pushes it further out.
        """
        if self.lambda_init == 0 or not state.s_hat or not state.bits or not state.beta:
            return state
        low, high = BOUNDS
        error = clip(math.log(state.s_hat / self.target_s), -ERROR_LIMIT, ERROR_LIMIT)
        pushed_out = (state.lam >= high and error > 0) or (state.lam <= low and error < 0)
        integral = state.integral
        if abs(error) < INTEGRATION_ZONE and not pushed_out:
            share_of_horizon = min(1.0, self.update_every / HORIZON)
            integral = clip(integral + self.ki * error * share_of_horizon, -INTEGRAL_LIMIT, INTEGRAL_LIMIT)
        wanted = math.sqrt(state.bits / state.tokens * self.target_s / (1 - self.target_s))
        aim = wanted * math.exp(0.5 * (1 - self.kp) * error)  # r goes with the root of S
        added = max(state.added / state.betas, 0.0) * state.beta
        pull = pull_towards(aim, state.distance, added, max(self.update_every, HORIZON))
        return replace(state, lam=clip(pull / state.beta * math.exp(integral), low, high), integral=integral)


def pull_towards(aim: float, distance: float, added: float, steps: int) -> float:
    """The p for which ``r ← (r + added) / (1 + p)`` takes r from ``distance`` to ``aim`` in so many steps.

    0 where even without a pull r gets no further than that. With ``q = 1 / (1 + p)``, r ends at
    ``distance · q^n + added · (q + ... + q^n)``, which grows with q: found by bisection.
    """

    def end(q: float) -> float:
        return distance * q**steps + added * q * (1 - q**steps) / (1 - q)

    if distance + added * steps <= aim:
        return 0.0
    below, above = 0.0, 1 - 1e-9
    for _ in range(50):
        middle = (below + above) / 2
        below, above = (middle, above) if end(middle) < aim else (below, middle)
    return 1 / above - 1
