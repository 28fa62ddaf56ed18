"""What S a training can reach at all, told before its first step. Pure.

**Floor.** With reference zero, S starts at what the initial weights cost, ``Σw₀² / (2σ²N ln 2)`` bits, and λ can only
lower that by undoing LoRA's initialisation. With the initial weights as the reference it starts at 0.

**Ceiling.** Adam moves a weight by about its learning rate at most: ``|m̂| / √v̂ ≤ 1`` where the gradient is steady. So
after some steps, with M weights,

    Σ(w - w₀)² ≤ M · (Σ lr)²          every gradient keeps its sign
    Σ(w - w₀)² ≈ M · Σ lr²            gradients are nothing but noise: a random walk

The second holds because the momentum only spreads a gradient over later steps: a weight's displacement is
``Σ lr · g / √v``, and ``g / √v`` has a root mean square of 1. Trainings lie between the two; ``expected`` takes their
geometric mean, ``M · Σ lr · √(Σ lr²)``. ``docs/scu.md`` shows how far that is from what was measured. With the bits of
the data as they are at the start, each gives an S.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from hegelion_core.training.scu.measures import Prior, param_bpt, share


@dataclass(frozen=True)
class Start:
    """A training before its first step."""

    prior: Prior
    target_s: float
    trainable: int
    """M: number of LoRA weights."""
    initial_sum_sq: float
    """Σ(w₀ - w_ref)²: 0 unless the reference is zero."""
    data_bpt: float
    """Of the first batch."""


@dataclass(frozen=True)
class Reach:
    """The values of S that a training can have, without a pull."""

    floor: float
    """At the start."""
    expected: float
    """In the end, for gradients as they usually are."""
    ceiling: float
    """In the end, if every gradient kept its sign."""
    target_step: int | None
    """About when S* is reached; none if it is below the floor, or not expected."""


def reach(start: Start, rates: Iterable[float]) -> Reach:
    """What a training reaches with these learning rates, one a step."""

    def s_at(moved: float) -> float:
        """S after the weights moved so far, √Σ(w - w₀)²; at worst straight away from the reference."""
        distance = math.sqrt(start.initial_sum_sq) + moved
        return share(start.data_bpt, param_bpt(distance**2, start.prior))

    floor = expected = ceiling = s_at(0)
    summed = squares = 0.0
    target_step = None
    for step, rate in enumerate(rates, start=1):
        summed, squares = summed + rate, squares + rate**2
        expected = s_at(math.sqrt(start.trainable * summed * math.sqrt(squares)))
        ceiling = s_at(math.sqrt(start.trainable) * summed)
        if target_step is None and floor < start.target_s <= expected:
            target_step = step
    return Reach(floor, expected, ceiling, target_step)


def uncontrolled_statement(reached: Reach, lam: float) -> str:
    """One line for people, where λ never moves."""
    kind = (
        "λ is 0, so this is plain LoRA" if lam == 0 else f"λ stays {lam:g}, since no update comes before the last step"
    )
    return (
        f"SCU: {kind}; S is measured, not held. It is {reached.floor:.2%} at the start and may get to about "
        f"{reached.expected:.2%} without a pull, {reached.ceiling:.2%} at most."
    )


def statement(
    start: Start, reached: Reach, *, update_every: int, bounds: tuple[float, float], published: bool = False
) -> str:
    """One line for people: floor, what is reachable, what SCU will do.

    Args:
        start: the training before its first step.
        reached: what ``reach`` made of it.
        update_every: steps between updates of λ.
        bounds: of λ.
        published: whether the published law moves λ.
    """
    target, (low, high) = f"{start.target_s:.2%}", bounds
    known = (
        f"SCU: S is {reached.floor:.2%} at the start ({start.data_bpt:.2f} bits of data a token, "
        f"N = {start.prior.tokens_per_epoch:,}); without a pull it may get to about {reached.expected:.2%}, "
        f"{reached.ceiling:.2%} at most. "
    )
    if start.target_s <= reached.floor:
        return known + (
            f"The target of {target} lies below that start: λ can only rise to its bound, {high:g}. Nothing will be "
            "controlled. Raise --target_s or --prior_sigma, or let S count from the initial weights."
        )
    if start.target_s > reached.ceiling:
        return known + (
            f"The target of {target} is out of reach: λ falls towards its least, {low:g}, and this is plain LoRA but "
            "for that. Lower --target_s or --prior_sigma, or train longer."
        )
    if reached.target_step is None:
        return known + (
            f"The target of {target} may not be reached; until it is, λ falls towards its least, {low:g}: this is "
            "plain LoRA but for that."
        )
    if reached.target_step < 2 * update_every:
        return known + (
            f"The target of {target} is only some {reached.target_step} steps away from the start, which is little for "
            f"an update of λ every {update_every} steps: S will swing around it, and hardly anything can be learned."
        )
    then = "the published law hardly moves λ near its target, and S will not be held" if published else "λ holds S"
    return known + (f"The target of {target} should be reached about step {reached.target_step}; from there on {then}.")
