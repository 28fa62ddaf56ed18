"""Whether a training may end by itself: the controller has settled and validation no longer falls. Pure.

The published trainers take λ at rest for the end, but there λ rests in its deadband or at its bound. Here S must be at
its target, held by a λ within its bounds, and the validation loss must have stopped falling.
"""

from __future__ import annotations

import math

import msgspec
from msgspec.structs import replace

from hegelion_core.training.scu.controller import ControllerState

UPDATES = 5
"""Newest updates of λ that must all be settled."""
TOLERANCE = 0.1
"""Relative error of Ŝ that counts as settled."""
VALIDATIONS = 3
"""Newest validations, none of which may have brought anything."""
GAIN = 0.002
"""Relative fall of the validation loss below its least before that counts as progress."""


class StoppingState(msgspec.Struct, frozen=True, kw_only=True):
    """The short history that decides; part of a checkpoint, so that a resumed training decides the same."""

    settled: int = 0
    """Updates since Ŝ was off its target or λ at a bound."""
    least: float | None = None
    """Validation loss when it last fell by enough."""
    without_gain: int = 0
    """Validations since it fell."""


def after_update(
    state: StoppingState, controller: ControllerState, target_s: float, bounds: tuple[float, float]
) -> StoppingState:
    """Take in an update of λ."""
    low, high = bounds
    near = bool(controller.s_hat) and abs(math.log((controller.s_hat or 1) / target_s)) < math.log(1 + TOLERANCE)
    return replace(state, settled=state.settled + 1 if near and low < controller.lam < high else 0)


def after_validation(state: StoppingState, loss: float) -> StoppingState:
    """Take in a validation loss, nats per token."""
    gained = state.least is None or loss < state.least * (1 - GAIN)
    if gained:
        return replace(state, least=loss, without_gain=0)
    return replace(state, without_gain=state.without_gain + 1)


def reason_to_stop(state: StoppingState) -> str | None:
    """Why the training may end now; none if it should go on."""
    if state.settled < UPDATES or state.without_gain < VALIDATIONS:
        return None
    return (
        f"S has been within {TOLERANCE:.0%} of its target for {state.settled} updates, with λ off its bounds, and the "
        f"last {state.without_gain} validations have brought no less than {state.least:.3f} nats"
    )
