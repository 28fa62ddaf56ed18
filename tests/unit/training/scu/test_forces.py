"""What the laws do to a step: the gradient of the published term, and nothing at all at λ = 0."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn.layers.base import Module
from mlx.nn.utils import value_and_grad
from mlx.optimizers.optimizers import AdamW, clip_grad_norm
from mlx.utils import tree_flatten
from mlx_lm.utils import load

from hegelion_core.settings import TrainingSettings
from hegelion_core.training.batching import TokenRow
from hegelion_core.training.lora import Weights, add_lora, lora_weights, set_lora_weights
from hegelion_core.training.loss import Arrays, LossFunction
from hegelion_core.training.plan import BatchPlan
from hegelion_core.training.scu.choice import choose_law
from hegelion_core.training.scu.controller import ControllerState
from hegelion_core.training.scu.measures import Prior
from hegelion_core.training.step import Stepper
from hegelion_core.training.trunk import Feeder
from tests.fakes.tiny_model import make_tiny_model

PRIOR = Prior(sigma=0.05, tokens_per_epoch=300)
MAX_GRAD_NORM = 1.0


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"))


@pytest.fixture
def model(student: Path) -> Module:
    loaded: Module = load(str(student))[0]
    add_lora(loaded, TrainingSettings(num_layers=1, lora_rank=4))
    return loaded


def micro_batches(loss: LossFunction, size: int) -> list[Arrays]:
    """The same four rows, ``size`` at a time."""
    generator = np.random.default_rng(0)
    rows = [TokenRow(generator.integers(0, 200, length).astype(np.int32), 5) for length in (30, 33, 60, 61)]
    return Feeder(BatchPlan(rows, 4, 0, size), loss).step(1)[1]


def move_away(model: Module) -> None:
    mx.random.seed(5)
    moved = {name: tensor + 0.1 * mx.random.normal(tensor.shape) for name, tensor in lora_weights(model).items()}
    set_lora_weights(model, moved)
    mx.eval(moved)


def squares(weights: Weights, reference: Weights) -> mx.array:
    return mx.stack([mx.square(weights[name] - start).sum() for name, start in reference.items()]).sum()


def total_loss(model: Module, loss: LossFunction, batches: list[Arrays], reference: Weights, lam: float) -> mx.array:
    """The published loss, written down: ``CE + λ · Σ(w - w_ref)² / (2σ²N)``, nats per token."""
    summed = mx.stack([loss(arrays) for arrays in batches]).sum()
    tokens = mx.stack([arrays.weights.sum() for arrays in batches]).sum()
    return summed / tokens + lam * squares(lora_weights(model), reference) / (
        2 * PRIOR.sigma**2 * PRIOR.tokens_per_epoch
    )


@pytest.mark.parametrize("to_zero", [True, False], ids=["zero", "initial"])
@pytest.mark.parametrize("size", [4, 1], ids=["one batch", "accumulated"])
def test_the_published_step_follows_the_gradient_of_its_formula(model: Module, to_zero: bool, size: int) -> None:
    loss, lam = LossFunction(model), 0.7
    law = choose_law(TrainingSettings(scu_law="published"), PRIOR)
    stepper = Stepper(model, loss, max_grad_norm=MAX_GRAD_NORM, to_zero=to_zero)
    move_away(model)
    batches = micro_batches(loss, size)
    reference = dict(stepper.reference)
    wanted = dict(tree_flatten(value_and_grad(model, lambda: total_loss(model, loss, batches, reference, lam))()[1]))
    # A finite difference of the whole, along the gradient itself, says that the formula was differentiated.
    start, length = (
        dict(lora_weights(model)),
        mx.sqrt(squares(wanted, {n: mx.zeros_like(t) for n, t in wanted.items()})),
    )
    ends = []
    for sign in (1, -1):
        set_lora_weights(model, {name: start[name] + sign * 1e-2 * wanted[name] / length for name in wanted})
        ends.append(total_loss(model, loss, batches, reference, lam))
    set_lora_weights(model, start)
    assert ((ends[0] - ends[1]) / 2e-2).item() == pytest.approx(length.item(), rel=1e-2)

    forces = law.forces(ControllerState(lam=lam), 1e-3)
    result = stepper.step(batches, lr=1e-3, pull=forces.pull, penalty=forces.penalty)
    assert result.grad_norm == pytest.approx(length.item(), rel=1e-4)
    # After one step Adam's first moment is a tenth of the clipped gradient.
    scale = 10 * max(1.0, result.grad_norm / MAX_GRAD_NORM)
    state = stepper.optimizer_state()
    for name, tensor in wanted.items():
        difference = mx.abs(scale * state[f"{name}.m"] - tensor).max()
        assert bool((difference <= 1e-4 * mx.abs(tensor).max()).item()), name


@pytest.mark.parametrize("law", ["decoupled", "published"])
@pytest.mark.parametrize("size", [4, 1], ids=["one batch", "accumulated"])
@pytest.mark.parametrize("limit", [MAX_GRAD_NORM, 0.0], ids=["clipped", "not clipped"])
def test_lambda_zero_is_plain_lora_bit_for_bit(model: Module, law: str, size: int, limit: float) -> None:
    """Three steps of the stepper against AdamW alone, each tensor by itself."""
    loss = LossFunction(model)
    start = {name: tensor + 0 for name, tensor in lora_weights(model).items()}
    batches = micro_batches(loss, size)
    chosen = choose_law(TrainingSettings.model_validate({"scu_law": law, "lambda_init": 0.0}), PRIOR)
    stepper, norms = Stepper(model, loss, max_grad_norm=limit, to_zero=law == "published"), []
    for _ in range(3):
        forces = chosen.forces(chosen.initial_state(), 1e-3)
        norms.append(stepper.step(batches, lr=1e-3, pull=forces.pull, penalty=forces.penalty).grad_norm)
    given = dict(lora_weights(model))

    set_lora_weights(model, start)
    optimizer = AdamW(learning_rate=1e-3, weight_decay=0.0, bias_correction=True)
    optimizer.init(start)
    with_gradient = value_and_grad(model, lambda arrays: loss(arrays, trained=True))
    for norm in norms:
        parts = [dict(tree_flatten(with_gradient(arrays)[1])) for arrays in batches]
        tokens = mx.stack([arrays.weights.sum() for arrays in batches]).sum()
        mean = {}
        for name in start:
            summed = parts[0][name]
            for part in parts[1:]:
                summed = summed + part[name]
            mean[name] = summed / tokens
        # The norm is a sum, and rounded as its addends are grouped: to scale alike, both take the same.
        assert norm == pytest.approx(clip_grad_norm(mean, 1.0)[1].item(), rel=1e-6)  # type: ignore[no-untyped-call]
        if limit:
            scale = mx.minimum(limit / (mx.array(norm) + 1e-6), 1.0)
            mean = {name: tensor * scale for name, tensor in mean.items()}
        set_lora_weights(model, optimizer.apply_gradients(mean, lora_weights(model)))
        mx.eval(lora_weights(model), optimizer.state)
    for name, tensor in lora_weights(model).items():
        assert mx.array_equal(tensor, given[name]).item(), name
        assert not mx.array_equal(tensor, start[name]).item(), name
