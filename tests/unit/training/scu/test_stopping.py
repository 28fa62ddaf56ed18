"""When a training may end by itself."""

from __future__ import annotations

import msgspec
import pytest

from hegelion_core.training.scu.controller import ControllerState
from hegelion_core.training.scu.stopping import (
    UPDATES,
    VALIDATIONS,
    StoppingState,
    after_update,
    after_validation,
    reason_to_stop,
)

BOUNDS = (1e-4, 1e4)


def history(s_hats: list[float], losses: list[float], lam: float = 3.0) -> StoppingState:
    state = StoppingState()
    for s_hat in s_hats:
        state = after_update(state, ControllerState(lam=lam, s_hat=s_hat), 0.02, BOUNDS)
    for loss in losses:
        state = after_validation(state, loss)
    return state


SETTLED, FLAT = [0.0201] * UPDATES, [2.0, 1.5] + [1.5] * VALIDATIONS


def test_settled_and_flat_is_the_end_and_says_so() -> None:
    reason = reason_to_stop(history(SETTLED, FLAT))
    assert reason is not None
    assert f"for {UPDATES} updates" in reason
    assert "1.500 nats" in reason


@pytest.mark.parametrize(
    "state",
    [
        StoppingState(),
        history(SETTLED[1:], FLAT),
        history([*SETTLED, 0.025], FLAT),
        history([*SETTLED, 0.017], FLAT),
        history([0.0] * 20, FLAT),
        history(SETTLED, FLAT, lam=BOUNDS[0]),
        history(SETTLED, FLAT, lam=BOUNDS[1]),
        history(SETTLED, FLAT[:-1]),
        history(SETTLED, [*FLAT, 1.4]),
        history(SETTLED, [2.0 - 0.002 * n for n in range(50)]),
    ],
    ids=["new", "few", "above", "below", "nothing", "least", "greatest", "few validations", "falls", "creeps down"],
)
def test_otherwise_it_goes_on(state: StoppingState) -> None:
    assert reason_to_stop(state) is None


def test_a_rising_loss_is_no_progress() -> None:
    assert reason_to_stop(history(SETTLED, [1.5, 1.6, 1.7, 1.8])) is not None


def test_a_resumed_training_decides_the_same() -> None:
    state = history(SETTLED, FLAT[:-1])
    restored = msgspec.json.decode(msgspec.json.encode(state), type=StoppingState)
    assert reason_to_stop(after_validation(restored, 1.5)) == reason_to_stop(after_validation(state, 1.5)) is not None
