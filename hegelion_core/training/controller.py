"""The Shannon Control Unit: how strongly the weights are pulled back to where they began. Pure.

The training's cost, in nats per token, is ``CE + λ · Σ(w - w_ref)² / (2σ²N)``: the data given the weights, and the
weights under a Gaussian prior around their initial values. ``S`` is the share of the second in both (with λ = 1, in
bits). The controller moves λ so that S stays at a target S*.

The pull is a proximal step of its own, after the optimizer's, ``w ← w_ref + (w - w_ref) / (1 + βλ)``, so that Adam
does not rescale it. This makes the plant simple enough to be known. Where the optimizer drives the weights away at a
steady ``drive``, their distance from w_ref is ``drive · reach``, with

    reach ← (reach + β) / (1 + βλ),        reach → 1/λ

and ``S / (1 - S)`` is proportional to its square. Both S and reach are at hand after every step, and so is the drive;
the λ that holds S* is then ``drive / √(S* / (1 - S*))``. That is the feed-forward, right from the first update. A PI
controller on the relative error ``ln(Ŝ/S*)`` trims it, since no drive is really steady.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

LAMBDA_MIN, LAMBDA_MAX = 1e-4, 1e4
KAPPA = 250.0
"""Strength of the pull per unit of λ. The formula's own term would move a weight by ``lr · λ (w - w_ref) / (σ²N)``; but
Adam divides the data's gradient by its root mean square, so that for λ to weigh both as the formula does, the pull has
to be divided by that too. It is some 1/1000 to 1/100 where the gradient's norm is near 1, in 10⁵ to 10⁶ weights."""
ERROR_LIMIT = 1.0
"""Bound of the relative error: S is 0 at the start, and the feed-forward knows better how to get to the target."""
GROWTH = 2.0
"""An S this many times its average is growth, not the difference between rows: the average begins anew there. So it
does not lag behind the first steps, in which S grows with the square of their number."""
INTEGRAL_LIMIT = 1.0
INTEGRATION_ZONE = 0.7
"""The integral takes part only when S is within a factor of 2 of its target, so that it cannot wind up on the way."""


@dataclass(frozen=True)
class ControllerSettings:
    """What stays the same for a whole training."""

    target_s: float
    """S*, between 0 and 1."""
    kp: float
    ki: float
    lambda_init: float
    """λ until the first update; 0 is plain LoRA, and stays 0."""
    half_life: float
    """Steps in which the weight of a measurement in the averages falls by half."""


@dataclass(frozen=True)
class ControllerState:
    """What a checkpoint has to hold."""

    lam: float
    integral: float = 0.0
    s_hat: float | None = None
    """Average of S; none before the first step."""
    reach: float = 0.0
    log_drive: float | None = None
    """Average of the drive's logarithm; none until the weights have moved."""


def initial_state(settings: ControllerSettings) -> ControllerState:
    """The state before the first step."""
    return ControllerState(lam=settings.lambda_init)


def observe(settings: ControllerSettings, state: ControllerState, s: float, beta: float) -> ControllerState:
    """Take in one optimizer step, which was followed by a pull of ``beta * state.lam``; λ stays.

    Args:
        s: share measured after the step, 0 <= s < 1.
        beta: strength of that step's pull per unit of λ, > 0.
    """
    fresh = 1 - 0.5 ** (1 / settings.half_life)
    reach = (state.reach + beta) / (1 + beta * state.lam)
    log_drive = state.log_drive
    if s > 0:
        measured = 0.5 * math.log(s / (1 - s)) - math.log(reach)
        log_drive = _average(log_drive, measured, fresh)
    grown = state.s_hat is not None and s > GROWTH * state.s_hat
    s_hat = s if grown else _average(state.s_hat, s, fresh)
    return replace(state, s_hat=s_hat, reach=reach, log_drive=log_drive)


def update(settings: ControllerSettings, state: ControllerState) -> ControllerState:
    """Move λ; for every ``scu_update_freq``-th step, after ``observe``.

    Our law: ``λ = λ_feed-forward · exp(Kp·e + I)`` with ``e = ln(Ŝ/S*)``, bounded; I sums ``Ki·e`` near the target,
    unless λ is at a bound and e pushes it further out. More λ means smaller S.
    """
    if settings.lambda_init == 0 or state.log_drive is None or not state.s_hat:
        return state
    error = _clip(math.log(state.s_hat / settings.target_s), ERROR_LIMIT)
    feed_forward = state.log_drive - 0.5 * math.log(settings.target_s / (1 - settings.target_s))
    pushed_out = (state.lam >= LAMBDA_MAX and error > 0) or (state.lam <= LAMBDA_MIN and error < 0)
    integral = state.integral
    if abs(error) < INTEGRATION_ZONE and not pushed_out:
        integral = _clip(integral + settings.ki * error, INTEGRAL_LIMIT)
    exponent = feed_forward + settings.kp * error + integral
    lam = math.exp(min(max(exponent, math.log(LAMBDA_MIN)), math.log(LAMBDA_MAX)))
    return replace(state, lam=min(max(lam, LAMBDA_MIN), LAMBDA_MAX), integral=integral)


def pull_strength(learning_rate: float, sigma: float, tokens_per_epoch: int) -> float:
    """β of a step: ``κ · lr / (σ²N)``. Follows the learning rate, so that a smaller step is pulled back less."""
    return KAPPA * learning_rate / (sigma**2 * tokens_per_epoch)


def bits(nats: float) -> float:
    """DataBPT, bits per token, of a cross-entropy in nats per token: ``CE / ln 2``."""
    return nats / math.log(2)


def param_bpt(sum_sq: float, sigma: float, tokens_per_epoch: int) -> float:
    """ParamBPT, bits per token: ``Σ(w - w_ref)² / (2σ²N ln 2)``.

    Args:
        sum_sq: Σ(w - w_ref)² over the LoRA weights.
        sigma: standard deviation of the prior on each weight.
        tokens_per_epoch: N, supervised tokens of one epoch.
    """
    return sum_sq / (2 * sigma**2 * tokens_per_epoch * math.log(2))


def share(data_bpt: float, param_bpt: float) -> float:
    """S: ``ParamBPT / (DataBPT + ParamBPT)``, 0 to 1; 0 where both are 0."""
    total = data_bpt + param_bpt
    return param_bpt / total if total > 0 else 0.0


def _average(old: float | None, new: float, fresh: float) -> float:
    return new if old is None else old + fresh * (new - old)


def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
