"""The Shannon Control Unit as the training loop sees it: a law that moves λ so that S stays at its target. Pure.

A law looks at every step (``observe``), says how the next one is to be regularised (``forces``), and moves λ every few
steps (``update``). All that it remembers is a ``ControllerState``, which checkpoints hold; a law itself never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from hegelion_core.training.scu.measures import Measured


class ControllerState(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint has to hold. Each law uses the fields that it needs."""

    lam: float
    """λ; 0 is plain LoRA, and stays 0."""
    integral: float = 0.0
    s_hat: float | None = None
    """Average of S; none before the first measurement."""
    s: float | None = None
    """The last step's S (published law)."""
    bits: float = 0.0
    """Discounted sum of the batches' bits (decoupled law)."""
    tokens: float = 0.0
    """Discounted sum of their supervised tokens (decoupled law)."""
    distance: float = 0.0
    """``√ParamBPT`` after the last step (decoupled law)."""
    added: float = 0.0
    """Discounted sum of what the optimizer added to the distance in each step (decoupled law)."""
    betas: float = 0.0
    """Discounted sum of the steps' β; with it the drive is ``added / betas`` (decoupled law)."""
    beta: float = 0.0
    """Of the last step (decoupled law)."""


@dataclass(frozen=True)
class Forces:
    """How a step is regularised; both 0 is plain LoRA."""

    pull: float = 0.0
    """Strength βλ of the proximal step to the reference, after the optimizer's."""
    penalty: float = 0.0
    """λ / (σ²N): ``penalty / 2 · Σ(w - w_ref)²`` is part of the loss that is differentiated."""


class Law(Protocol):
    """A control law."""

    @property
    def lambda_bounds(self) -> tuple[float, float]:
        """The least and the greatest λ."""
        ...

    def initial_state(self) -> ControllerState:
        """Before the first step."""
        ...

    def forces(self, state: ControllerState, learning_rate: float) -> Forces:
        """For a step with this learning rate."""
        ...

    def observe(self, state: ControllerState, measured: Measured, learning_rate: float) -> ControllerState:
        """Take in a step that was done with ``forces(state, learning_rate)``; λ stays."""
        ...

    def update(self, state: ControllerState) -> ControllerState:
        """Move λ; after ``observe``, every ``scu_update_freq`` steps."""
        ...


def clip(value: float, low: float, high: float) -> float:
    """The nearest value within the bounds."""
    return min(max(value, low), high)
