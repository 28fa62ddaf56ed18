"""One optimizer step on the device: AdamW on the loss, then the pull towards the reference.

The loss is the cross-entropy alone, unless the published law adds its penalty to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.utils import value_and_grad
from mlx.optimizers.optimizers import AdamW, clip_grad_norm
from mlx.utils import tree_flatten

from hegelion_core.training.lora import Weights, lora_weights, set_lora_weights
from hegelion_core.training.loss import Arrays, LossFunction

Tensors = tuple[mx.array, mx.array, mx.array, mx.array]
"""``Arrays`` as mlx transforms them."""
MAX_GRAD_NORM = 1.0
WARMUP_STEPS = 5
"""Steps over which the learning rate rises: Adam's first estimates rest on few gradients."""


def learning_rate(step: int, peak: float) -> float:
    """Of a step, counted from 1: a short linear rise, then constant."""
    return peak * min(1.0, step / WARMUP_STEPS)


@dataclass(frozen=True)
class StepResult:
    """What a step measured."""

    loss: float
    """Mean over the batch's supervised tokens before the step, in nats."""
    grad_norm: float
    """Before clipping."""
    sum_sq: float
    """Σ(w - w_ref)² after the step and the pull."""


class Stepper:
    """The trainable weights, the optimizer and the reference they are pulled to."""

    def __init__(self, model: Module, loss: LossFunction, *, compiled: bool, to_zero: bool = False) -> None:
        """Take a model whose trainable weights are the LoRA matrices; as they are now, they are the reference.

        Args:
            loss: of this model.
            to_zero: the reference is zero instead.
            compiled: fuse the step with ``mx.compile``: worth it on Metal and CUDA, not on a processor.
        """
        self.model = model
        # Arrays of their own: a compiled step replaces the model's in place while it is traced.
        self.reference = {
            name: mx.zeros_like(tensor) if to_zero else tensor + 0 for name, tensor in lora_weights(model).items()
        }
        mx.eval(self.reference)
        # No weight decay: it would pull the weights to zero, beside and against the controlled pull.
        self._optimizer = AdamW(learning_rate=0.0, weight_decay=0.0, bias_correction=True)
        self._optimizer.init(self.reference)
        self._value_and_grad = self._differentiate(loss)
        state = [model.state, self._optimizer.state, self.reference, mx.random.state]
        run: Callable[[Tensors, mx.array, mx.array], tuple[mx.array, mx.array, mx.array]] = self._step
        self._run = mx.compile(run, inputs=state, outputs=state) if compiled else run

    def step(self, arrays: Arrays, *, lr: float, pull: float, penalty: float = 0.0) -> StepResult:
        """Do one step; ``pull`` is βλ of the proximal step, ``penalty`` λ/(σ²N) of the published law's term."""
        self._optimizer.learning_rate = mx.array(lr)
        loss, grad_norm, sum_sq = self._run(arrays.as_tuple(), mx.array(pull), mx.array(penalty))
        mx.eval(loss, grad_norm, sum_sq, lora_weights(self.model), self._optimizer.state)
        return StepResult(*(cast(float, value.item()) for value in (loss, grad_norm, sum_sq)))

    def weights(self) -> Weights:
        """The LoRA weights."""
        return lora_weights(self.model)

    def optimizer_state(self) -> Weights:
        """The optimizer's state, flattened."""
        return dict(tree_flatten(self._optimizer.state))

    def restore(self, weights: Weights, reference: Weights, optimizer: Weights) -> None:
        """Go back to where a checkpoint was."""
        set_lora_weights(self.model, weights)
        self.reference.update(reference)
        state = self._optimizer.state
        for name, array in optimizer.items():
            owner, _, leaf = name.rpartition(".")
            (state[owner] if owner else state)[leaf] = array

    def _differentiate(self, loss: LossFunction) -> Callable[[Tensors], tuple[mx.array, dict[str, object]]]:
        def mean(tensors: Tensors) -> mx.array:
            arrays = Arrays(*tensors)
            return loss(arrays, trained=True) / arrays.weights.sum()

        return cast(Callable[[Tensors], tuple[mx.array, dict[str, object]]], value_and_grad(self.model, mean))

    def _step(self, tensors: Tensors, pull: mx.array, penalty: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        loss, gradients = self._value_and_grad(tensors)
        penalised = self._penalised(dict(tree_flatten(gradients)), penalty)
        clipped, grad_norm = clip_grad_norm(penalised, MAX_GRAD_NORM)  # type: ignore[no-untyped-call]
        stepped = self._optimizer.apply_gradients(clipped, lora_weights(self.model))
        distances = {name: (stepped[name] - start) / (1 + pull) for name, start in self.reference.items()}
        # At pull 0 (plain LoRA) the weights must be the optimizer's own, bit for bit.
        pulled = {
            name: mx.where(pull > 0, start + distances[name], stepped[name]) for name, start in self.reference.items()
        }
        set_lora_weights(self.model, pulled)
        return loss, grad_norm, mx.stack([mx.square(distance).sum() for distance in distances.values()]).sum()

    def _penalised(self, gradients: Weights, penalty: mx.array) -> Weights:
        """With the gradient of ``penalty / 2 · Σ(w - w_ref)²``; without one (plain LoRA), as they are, bit for bit."""
        weights = lora_weights(self.model)
        return {
            name: mx.where(penalty > 0, gradient + penalty * (weights[name] - self.reference[name]), gradient)
            for name, gradient in gradients.items()
        }
