"""One optimizer step on the device: gradients of micro-batches, AdamW, then the pull towards the initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.utils import value_and_grad
from mlx.optimizers.optimizers import AdamW
from mlx.utils import tree_flatten

from hegelion_core.settings import TrainingSettings
from hegelion_core.training.distributed.group import Group, Solo
from hegelion_core.training.lora import Weights, lora_weights, set_lora_weights
from hegelion_core.training.loss import Arrays, LossFunction, Spans, Tensors
from hegelion_core.training.vector import Layout, sum_of_squares

Gradient = Callable[[Tensors, Spans], tuple[mx.array, mx.array, mx.array]]
"""Of a micro-batch: summed loss, supervised tokens, and the sum's gradient, (n,)."""
_ALL = "all"
"""Name of the one vector that the optimizer sees."""


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Of a step, counted from 1: a linear rise over the warm-up, then constant or falling.

    A falling rate is at its highest in the first step after the warm-up, and would be 0 in the step after the last:
    no step is wasted on either. The warm-up is there because Adam's first estimates rest on few gradients.
    """
    if step <= settings.warmup:
        return settings.lr * step / settings.warmup
    passed = (step - 1 - settings.warmup) / max(1, settings.iters - settings.warmup)
    match settings.lr_schedule:
        case "linear":
            return settings.lr * max(0.0, 1 - passed)
        case "cosine":
            return settings.lr * (1 + math.cos(math.pi * min(1.0, passed))) / 2
        case "constant":
            return settings.lr


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

    def __init__(
        self,
        model: Module,
        loss: LossFunction,
        *,
        compiled: bool = False,
        max_grad_norm: float = 0.0,
        to_zero: bool = False,
        group: Group | None = None,
    ) -> None:
        """Take a model whose trainable weights are the LoRA matrices; as they are now, they are the reference.

        Args:
            loss: of this model.
            group: the processes that share a step's rows; none: this one has them all.
            compiled: fuse the step with ``mx.compile``: worth it on Metal and CUDA, not on a processor.
            max_grad_norm: gradients of a larger norm are scaled down to it; 0: never.
            to_zero: the reference is zero instead.
        """
        self.model, self._max_grad_norm, self._group = model, max_grad_norm, group or Solo()
        weights = lora_weights(model)
        self._layout = Layout(weights)
        self._reference = {_ALL: self._layout.zeros() if to_zero else self._layout.join(weights)}
        mx.eval(self._reference)
        # No weight decay: it would pull the weights to zero, beside and against the controlled pull.
        self._optimizer = AdamW(learning_rate=0.0, weight_decay=0.0, bias_correction=True)
        self._optimizer.init(self._reference)
        gradient, update = self._differentiate(loss), self._update
        if compiled:
            state = [model.state, self._optimizer.state, self._reference]
            update = mx.compile(update, inputs=state, outputs=state)
        if compiled and not loss.packed:  # packed, each step has its own spans, and would be traced anew
            gradient = mx.compile(gradient, inputs=[model.state, mx.random.state], outputs=[mx.random.state])
        self._gradient, self._apply = gradient, update

    def step(self, micro_batches: Sequence[Arrays], *, lr: float, pull: float, penalty: float = 0.0) -> StepResult:
        """Do one step on the mean loss of all supervised tokens of all micro-batches; see ``gradient``, ``apply``."""
        return self.apply(self.gradient(micro_batches), lr=lr, pull=pull, penalty=penalty)

    def gradient(self, micro_batches: Sequence[Arrays]) -> Sums:
        """The gradient of the loss at the present weights, added up over all supervised tokens.

        How the rows are split into micro-batches changes the memory that is needed, and the result by rounding only.

        Args:
            micro_batches: this process's part; at least one of the group has one.
        """
        total = Sums(mx.array(0.0), mx.array(0.0), self._layout.zeros())
        weights = lora_weights(self.model)
        for arrays in micro_batches:
            total = total.plus(*self._gradient(arrays.tensors(), arrays.spans))
            set_lora_weights(self.model, weights)  # what is differentiated leaves its placeholders in the model
            mx.eval(total.loss, total.tokens, total.gradient)  # so that one micro-batch's activations exist at a time
        return total.over(self._group)

    def apply(self, total: Sums, *, lr: float, pull: float, penalty: float = 0.0) -> StepResult:
        """Move the weights.

        Args:
            total: what ``gradient`` gave.
            lr: learning rate.
            pull: βλ of the proximal pull after the optimizer's step; 0: none.
            penalty: λ / (σ²N) of the published form's term, penalty/2 · Σ(w - w_ref)², whose gradient is added to
                that of the loss; 0: none.
        """
        self._optimizer.learning_rate = mx.array(lr)
        # Nothing in place of a 0: plain LoRA is AdamW's own step, bit for bit.
        strengths = (mx.array(pull) if pull else None, mx.array(penalty) if penalty else None)
        loss, grad_norm, sum_sq = self._apply(total.loss, total.tokens, total.gradient, *strengths)
        mx.eval(loss, grad_norm, sum_sq, lora_weights(self.model), self._optimizer.state)
        return StepResult(*(cast(float, value.item()) for value in (loss, grad_norm, sum_sq)))

    def weights(self) -> Weights:
        """The LoRA weights."""
        return lora_weights(self.model)

    @property
    def reference(self) -> Weights:
        """What the weights are pulled to."""
        return self._layout.split(self._reference[_ALL])

    def optimizer_state(self) -> Weights:
        """The optimizer's state: its own numbers, and each tensor's moments as ``<name>.m`` and ``<name>.v``."""
        state = dict(self._optimizer.state)
        moments: Weights = state.pop(_ALL)
        for moment, vector in moments.items():
            state |= {f"{name}.{moment}": tensor for name, tensor in self._layout.split(vector).items()}
        return state

    def restore(self, weights: Weights, reference: Weights, optimizer: Weights) -> None:
        """Go back to where a checkpoint was."""
        set_lora_weights(self.model, weights)
        self._reference[_ALL] = self._layout.join(reference)
        state = self._optimizer.state
        for moment in state[_ALL]:
            state[_ALL][moment] = self._layout.join({name: optimizer[f"{name}.{moment}"] for name in weights})
        state.update({name: array for name, array in optimizer.items() if name in state})

    def _differentiate(self, loss: LossFunction) -> Gradient:
        def summed(tensors: Tensors, spans: Spans) -> mx.array:
            return loss(Arrays(*tensors, spans), trained=True)

        with_gradient = value_and_grad(self.model, summed)

        def gradient(tensors: Tensors, spans: Spans) -> tuple[mx.array, mx.array, mx.array]:
            value, tree = with_gradient(tensors, spans)
            return value, Arrays(*tensors).weights.sum(), self._layout.join(dict(tree_flatten(tree)))

        return gradient

    def _update(
        self, loss: mx.array, tokens: mx.array, gradient: mx.array, pull: mx.array | None, penalty: mx.array | None
    ) -> tuple[mx.array, mx.array, mx.array]:
        weights, start = self._layout.join(lora_weights(self.model)), self._reference[_ALL]
        mean = gradient / tokens
        if penalty is not None:
            mean = mean + penalty * (weights - start)
        grad_norm = mx.sqrt(sum_of_squares(mean))
        if self._max_grad_norm:
            mean = mean * mx.minimum(self._max_grad_norm / (grad_norm + 1e-6), 1.0)
        stepped: mx.array = self._optimizer.apply_gradients({_ALL: mean}, {_ALL: weights})[_ALL]
        distance = stepped - start
        if pull is not None:
            distance = distance / (1 + pull)
            stepped = start + distance
        set_lora_weights(self.model, self._layout.split(stepped))
        return loss / tokens, grad_norm, sum_of_squares(distance)


@dataclass(frozen=True)
class Sums:
    """What micro-batches add up to: numerators and denominator of the step's means."""

    loss: mx.array
    tokens: mx.array
    gradient: mx.array
    """(n,)"""

    def plus(self, loss: mx.array, tokens: mx.array, gradient: mx.array) -> Sums:
        """With one more micro-batch."""
        return Sums(self.loss + loss, self.tokens + tokens, self.gradient + gradient)

    def over(self, group: Group) -> Sums:
        """With those of the other processes."""
        if group.size == 1:
            return self
        return Sums(*group.sum([self.loss, self.tokens, self.gradient]))
