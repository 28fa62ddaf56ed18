"""One optimizer step on the device: gradients of micro-batches, AdamW, then the pull towards the initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.utils import value_and_grad
from mlx.optimizers.optimizers import AdamW, clip_grad_norm
from mlx.utils import tree_flatten

from hegelion_core.settings import TrainingSettings
from hegelion_core.training.distributed.group import Group, Solo
from hegelion_core.training.lora import Weights, lora_weights, set_lora_weights
from hegelion_core.training.loss import Arrays, LossFunction, Spans, Tensors

Gradient = Callable[[Tensors, Spans], tuple[mx.array, mx.array, Weights]]
"""Of a micro-batch: summed loss, supervised tokens, and the sum's gradient."""


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
        # Arrays of their own: a compiled step replaces the model's in place while it is traced.
        self.reference = {
            name: mx.zeros_like(tensor) if to_zero else tensor + 0 for name, tensor in lora_weights(model).items()
        }
        mx.eval(self.reference)
        # No weight decay: it would pull the weights to zero, beside and against the controlled pull.
        self._optimizer = AdamW(learning_rate=0.0, weight_decay=0.0, bias_correction=True)
        self._optimizer.init(self.reference)
        gradient, update = self._differentiate(loss), self._update
        if compiled:
            state = [model.state, self._optimizer.state, self.reference]
            update = mx.compile(update, inputs=state, outputs=state)
        if compiled and not loss.packed:  # packed, each step has its own spans, and would be traced anew
            gradient = mx.compile(gradient, inputs=[model.state, mx.random.state], outputs=[mx.random.state])
        self._gradient, self._apply = gradient, update

    def step(self, micro_batches: Sequence[Arrays], *, lr: float, pull: float, penalty: float = 0.0) -> StepResult:
        """Do one step on the mean loss of all supervised tokens of all micro-batches.

        How the rows are split into micro-batches changes the memory that is needed, and the result by rounding only.

        Args:
            micro_batches: this process's part; at least one of the group has one.
            lr: learning rate.
            pull: βλ of the proximal pull after the optimizer's step; 0: none.
            penalty: λ / (σ²N) of the published form's term, penalty/2 · Σ(w - w_ref)², whose gradient is added to
                that of the loss; 0: none.
        """
        self._optimizer.learning_rate = mx.array(lr)
        total, weights = Sums(mx.array(0.0), mx.array(0.0), {}), lora_weights(self.model)
        for arrays in micro_batches:
            total = total.plus(*self._gradient(arrays.tensors(), arrays.spans))
            set_lora_weights(self.model, weights)  # what is differentiated leaves its placeholders in the model
            mx.eval(total.loss, total.tokens, total.gradient)  # so that one micro-batch's activations exist at a time
        total = total.over(self._group, self.reference)
        # Nothing in place of a 0: plain LoRA is AdamW's own step, bit for bit.
        strengths = (mx.array(pull) if pull else None, mx.array(penalty) if penalty else None)
        loss, grad_norm, sum_sq = self._apply(total.loss, total.tokens, total.gradient, *strengths)
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

    def _differentiate(self, loss: LossFunction) -> Gradient:
        def summed(tensors: Tensors, spans: Spans) -> mx.array:
            return loss(Arrays(*tensors, spans), trained=True)

        with_gradient = value_and_grad(self.model, summed)

        def gradient(tensors: Tensors, spans: Spans) -> tuple[mx.array, mx.array, Weights]:
            value, tree = with_gradient(tensors, spans)
            return value, Arrays(*tensors).weights.sum(), dict(tree_flatten(tree))

        return gradient

    def _update(
        self, loss: mx.array, tokens: mx.array, gradient: Weights, pull: mx.array | None, penalty: mx.array | None
    ) -> tuple[mx.array, mx.array, mx.array]:
        weights, start = lora_weights(self.model), self.reference
        mean = {name: total / tokens for name, total in gradient.items()}
        if penalty is not None:
            mean = {name: part + penalty * (weights[name] - start[name]) for name, part in mean.items()}
        clipped, grad_norm = clip_grad_norm(mean, self._max_grad_norm or math.inf)  # type: ignore[no-untyped-call]
        stepped: Weights = self._optimizer.apply_gradients(clipped if self._max_grad_norm else mean, weights)
        distances = {name: weight - start[name] for name, weight in stepped.items()}
        if pull is not None:
            distances = {name: distance / (1 + pull) for name, distance in distances.items()}
            stepped = {name: start[name] + distance for name, distance in distances.items()}
        set_lora_weights(self.model, stepped)
        return loss / tokens, grad_norm, mx.stack([mx.square(distance).sum() for distance in distances.values()]).sum()


@dataclass(frozen=True)
class Sums:
    """What micro-batches add up to: numerators and denominator of the step's means."""

    loss: mx.array
    tokens: mx.array
    gradient: Weights

    def plus(self, loss: mx.array, tokens: mx.array, gradient: Weights) -> Sums:
        """With one more micro-batch."""
        summed = {name: self.gradient[name] + part for name, part in gradient.items()} if self.gradient else gradient
        return Sums(self.loss + loss, self.tokens + tokens, summed)

    def over(self, group: Group, like: Weights) -> Sums:
        """With those of the other processes; one without micro-batches adds zeros ``like`` the weights."""
        if group.size == 1:
            return self
        gradient = self.gradient or {name: mx.zeros_like(tensor) for name, tensor in like.items()}
        loss, tokens, *parts = group.sum([self.loss, self.tokens, *(gradient[name] for name in like)])
        return Sums(loss, tokens, dict(zip(like, parts, strict=True)))
