"""The loss: cross-entropy over supervised tokens, with no more work for it than its gradient needs.

Two savings, both exact, and both only where the model's make-up allows them:

- Only supervised positions go through the output head, some at a time. The head is a matrix of (vocabulary x width),
  for a small student a third of all the work, and its output, the logits, is most of the memory.
- The layers below the first adapted one are frozen: what they make of a row is always the same. They form the
  *trunk*, whose output can be kept from epoch to epoch; the layers above are the *top*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import mlx.core as mx
from mlx.nn import losses
from mlx.nn.layers.base import Module
from mlx_lm.models.base import create_attention_mask

from hegelion_core.training.batching import Batch

HEAD_CHUNK = 256
"""Positions whose logits exist at a time."""
PLAIN_STACKS = {"llama", "qwen2", "qwen3"}
"""Model types whose backbone is: embedding, layers with one causal mask, norm. Found in mlx-lm's sources; there is no
way to ask a model, and a short trial would not notice a sliding window."""

ToLogits = Callable[[mx.array], mx.array]


@dataclass(frozen=True)
class Arrays:
    """A batch on the device."""

    inputs: mx.array
    """(B, W) token ids, or (B, W, D) what the trunk made of them."""
    positions: mx.array
    targets: mx.array
    weights: mx.array

    def as_tuple(self) -> tuple[mx.array, mx.array, mx.array, mx.array]:
        """For functions that mlx transforms."""
        return self.inputs, self.positions, self.targets, self.weights


def batch_arrays(batch: Batch) -> Arrays:
    """A batch of token ids on the device."""
    return Arrays(*map(mx.array, (batch.inputs, batch.positions, batch.targets, batch.weights)))


class LossFunction:
    """A model's summed cross-entropy, in nats."""

    def __init__(self, model: Module, *, frozen_layers: int = 0) -> None:
        """Find out how the model is made up.

        Args:
            model: in evaluation mode, or without dropout.
            frozen_layers: the first so many layers will not be trained.
        """
        self._model = model
        self._head = _output_head(model)
        plain = getattr(getattr(model, "args", None), "model_type", None) in PLAIN_STACKS
        slides = any(getattr(layer, "use_sliding", False) for layer in model.layers)
        self.trunk_layers = frozen_layers if self._head and plain and not slides else 0

    def trunk(self, inputs: mx.array) -> mx.array:
        """(B, W) token ids to (B, W, D): what the frozen layers make of them. Only where ``trunk_layers`` > 0."""
        hidden: mx.array = self._model.model.embed_tokens(inputs)
        return self._through(hidden, 0, self.trunk_layers)

    def __call__(self, arrays: Arrays, *, trained: bool = False) -> mx.array:
        """The sum over the batch; ``trained`` if its gradient will be asked for."""
        hidden = self._top(arrays.inputs)
        chosen = hidden.reshape(-1, hidden.shape[-1])[arrays.positions]
        if self._head is None:
            each = losses.cross_entropy(chosen.astype(mx.float32), arrays.targets, reduction="none")
            return (each * arrays.weights).sum()
        summed = _with_gradient(self._head) if trained else _without_gradient(self._head)
        cuts = [slice(start, start + HEAD_CHUNK) for start in range(0, chosen.shape[0], HEAD_CHUNK)]
        return mx.stack([summed(chosen[cut], arrays.targets[cut], arrays.weights[cut]) for cut in cuts]).sum()

    def _top(self, inputs: mx.array) -> mx.array:
        if inputs.ndim == 3:
            hidden = self._through(inputs, self.trunk_layers, len(self._model.layers))
            return cast(mx.array, self._model.model.norm(hidden))
        return cast(mx.array, self._model.model(inputs) if self._head else self._model(inputs))

    def _through(self, hidden: mx.array, first: int, last: int) -> mx.array:
        mask = create_attention_mask(hidden, None)
        for layer in self._model.model.layers[first:last]:
            hidden = layer(hidden, mask, None)
        return hidden


def mean_loss(model: Module, batches: Iterable[Batch]) -> float:
    """Mean loss over all supervised tokens of the batches, in nats per token, without dropout."""
    return evaluate(model, LossFunction(model), ((batch, batch_arrays(batch)) for batch in batches))


def evaluate(model: Module, loss: LossFunction, batches: Iterable[tuple[Batch, Arrays]]) -> float:
    """``mean_loss`` with a loss function and arrays that are there already."""
    training = model.training
    model.eval()
    total, tokens = 0.0, 0
    for batch, arrays in batches:
        total += cast(float, loss(arrays).item())
        tokens += batch.tokens
    model.train(training)
    return total / tokens


Summed = Callable[[mx.array, mx.array, mx.array], mx.array]


def _without_gradient(to_logits: ToLogits) -> Summed:
    def summed(hidden: mx.array, targets: mx.array, weights: mx.array) -> mx.array:
        return _loss_and_error(to_logits(hidden).astype(mx.float32), targets, weights)[0]

    return summed


def _with_gradient(to_logits: ToLogits) -> Summed:
    """The gradient is worked out along with the loss, so that no logits are kept, or made twice, for it."""

    @mx.custom_function
    def both(hidden: mx.array, targets: mx.array, weights: mx.array) -> tuple[mx.array, mx.array]:
        def logits(hidden: mx.array) -> mx.array:
            return to_logits(hidden).astype(mx.float32)

        loss, error = _loss_and_error(logits(hidden), targets, weights)
        _, gradients = mx.vjp(logits, [hidden], [error])
        return loss, gradients[0]

    @both.vjp
    def _vjp(
        primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
    ) -> tuple[mx.array, ...]:
        hidden, targets, weights = primals
        return (cotangents[0] * outputs[1]).astype(hidden.dtype), mx.zeros_like(targets), mx.zeros_like(weights)

    def summed(hidden: mx.array, targets: mx.array, weights: mx.array) -> mx.array:
        loss, _ = cast(tuple[mx.array, mx.array], both(hidden, targets, weights))
        return loss

    return summed


def _loss_and_error(logits: mx.array, targets: mx.array, weights: mx.array) -> tuple[mx.array, mx.array]:
    """Summed cross-entropy ``Σ w (ln Σ exp(z) - z_target)`` and its gradient, ``w (softmax(z) - onehot)``.

    One exponential serves both; as a power of 2, which MLX computes on a processor more than twice as fast.
    """
    largest = logits.max(axis=-1, keepdims=True)
    powers = mx.power(2.0, (logits - largest) * math.log2(math.e))
    total = powers.sum(axis=-1)
    at_target = mx.take_along_axis(logits, targets[:, None], axis=-1)
    each = mx.log(total) + (largest - at_target)[:, 0]
    error = powers * (weights / total)[:, None]
    rows = mx.arange(targets.shape[0])
    return (each * weights).sum(), error.at[rows, targets].add(-weights)


def _output_head(model: Module) -> ToLogits | None:
    """From the backbone's output to logits, if that is all the model does with it; tried on a few tokens."""
    backbone = getattr(model, "model", None)
    if not isinstance(backbone, Module):
        return None
    head = model.lm_head if "lm_head" in model else getattr(getattr(backbone, "embed_tokens", None), "as_linear", None)
    probe = mx.arange(4)[None]
    hidden = backbone(probe)
    if head is None or not isinstance(hidden, mx.array):
        return None
    whole = model(probe).astype(mx.float32)
    difference = mx.abs(head(hidden).astype(mx.float32) - whole).max()
    return cast(ToLogits, head) if (difference <= 1e-4 * mx.abs(whole).max()).item() else None
