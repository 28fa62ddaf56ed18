"""The loss: cross-entropy over supervised tokens, with no more work for it than its gradient needs.

Savings, all exact, each only where the model's make-up allows it:

- Only supervised positions go through the output head, some at a time. The head is a matrix of (vocabulary x width),
  for a small student a third of all the work, and its output, the logits, is most of the memory.
- The layers below the first adapted one are frozen: what they make of a row is always the same. They form the
  *trunk*, whose output can be kept from epoch to epoch; the layers above are the *top*.
- On a processor, rows are packed without padding (``stack.py``), and the last layer is computed for supervised
  positions only: others serve as keys and values there, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import cast

import mlx.core as mx
from mlx.nn import losses
from mlx.nn.layers.base import Module
from mlx_lm.models.base import create_attention_mask

from hegelion_core.training.distributed.group import Group
from hegelion_core.training.plan import Batch, Span
from hegelion_core.training.recompute import recompute_layers, recomputed
from hegelion_core.training.stack import is_plain, packed_layer

HEAD_CHUNK = 256
"""Positions whose logits exist at a time."""

ToLogits = Callable[[mx.array], mx.array]
Tensors = tuple[mx.array, mx.array, mx.array, mx.array]
Spans = tuple[Span, ...]


@dataclass(frozen=True)
class Arrays:
    """A micro-batch on the device."""

    inputs: mx.array
    """(B, W) token ids, or (B, W, D) what the trunk made of them."""
    positions: mx.array
    targets: mx.array
    weights: mx.array
    spans: Spans = ()
    """Where each row stands, if they are packed into one sequence (B = 1); otherwise a row is a line."""

    def tensors(self) -> Tensors:
        """For functions that mlx transforms."""
        return self.inputs, self.positions, self.targets, self.weights


def batch_arrays(batch: Batch) -> Arrays:
    """A batch of token ids on the device."""
    array = mx.array
    return Arrays(array(batch.inputs), array(batch.positions), array(batch.targets), array(batch.weights), batch.spans)


class LossFunction:
    """A model's summed cross-entropy, in nats."""

    def __init__(
        self, model: Module, *, frozen_layers: int = 0, packed: bool = False, grad_checkpoint: bool = False
    ) -> None:
        """Find out how the model is made up.

        Args:
            model: in evaluation mode, or without dropout.
            frozen_layers: the first so many layers will not be trained.
            packed: take rows packed into one sequence, if the model allows it: pays on a processor.
            grad_checkpoint: keep no activations within a layer, but compute them again for the gradient.
        """
        self._model = model
        self._head = _output_head(model)
        plain = self._head is not None and is_plain(model)
        self.trunk_layers = frozen_layers if plain else 0
        self.packed = packed and plain and _packs(model)
        """Whether rows may come packed; otherwise a row is a line of its own."""
        self._recompute = grad_checkpoint
        if grad_checkpoint and not self.packed:
            recompute_layers(model.layers[frozen_layers:])

    def trunk(self, inputs: mx.array, spans: Spans = ()) -> mx.array:
        """(B, W) token ids to (B, W, D): what the frozen layers make of them. Only for a model of a plain make-up."""
        return self._through(self._model.model.embed_tokens(inputs), 0, self.trunk_layers, spans)

    def __call__(self, arrays: Arrays, *, trained: bool = False) -> mx.array:
        """The sum over the batch; ``trained`` if its gradient will be asked for."""
        hidden = self._top(arrays.inputs, arrays.spans)
        chosen = hidden[0] if arrays.spans else hidden.reshape(-1, hidden.shape[-1])[arrays.positions]
        if self._head is None:
            each = losses.cross_entropy(chosen.astype(mx.float32), arrays.targets, reduction="none")
            return (each * arrays.weights).sum()
        summed = _with_gradient(self._head) if trained else _without_gradient(self._head)
        cuts = [slice(start, start + HEAD_CHUNK) for start in range(0, chosen.shape[0], HEAD_CHUNK)]
        return mx.stack([summed(chosen[cut], arrays.targets[cut], arrays.weights[cut]) for cut in cuts]).sum()

    def _top(self, inputs: mx.array, spans: Spans) -> mx.array:
        if not (spans or self.trunk_layers):
            return cast(mx.array, self._model.model(inputs) if self._head else self._model(inputs))
        hidden = inputs if inputs.ndim == 3 else self.trunk(inputs, spans)
        return cast(mx.array, self._model.model.norm(self._through(hidden, self.trunk_layers, None, spans)))

    def _through(self, hidden: mx.array, first: int, end: int | None, spans: Spans) -> mx.array:
        mask = create_attention_mask(hidden, None)
        layers = self._model.model.layers
        for layer in layers[first:end]:
            last = layer is layers[-1]
            if not spans:
                hidden = layer(hidden, mask, None)
            elif self._recompute and first == self.trunk_layers:
                hidden = recomputed(layer, partial(packed_layer, layer, spans=spans, last=last))(hidden)
            else:
                hidden = packed_layer(layer, hidden, spans, last=last)
        return hidden


def mean_loss(model: Module, batches: Iterable[Batch]) -> float:
    """Mean loss over all supervised tokens of the batches, in nats per token, without dropout."""
    return evaluate(model, LossFunction(model), ((batch, batch_arrays(batch)) for batch in batches))


def evaluate(
    model: Module, loss: LossFunction, batches: Iterable[tuple[Batch, Arrays]], group: Group | None = None
) -> float:
    """``mean_loss`` with a loss function and arrays that are there already; over all processes of ``group``."""
    training = model.training
    model.eval()
    total, tokens = 0.0, 0
    for batch, arrays in batches:
        total += cast(float, loss(arrays).item())
        tokens += batch.tokens
    model.train(training)
    if group is not None and group.size > 1:
        sums = group.sum([mx.array(total, mx.float32), mx.array(tokens, mx.float32)])
        return cast(float, sums[0].item()) / cast(float, sums[1].item())
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


def _packs(model: Module) -> bool:
    """Whether ``packed_layer`` computes what the model's own layers do; tried on two short rows."""
    backbone, ids = model.model, mx.arange(8)[None]
    spans = (Span(0, 5), Span(5, 3, context=1))
    hidden = backbone.embed_tokens(ids)
    for layer in backbone.layers:
        hidden = packed_layer(layer, hidden, spans, last=layer is backbone.layers[-1])
    alone = mx.concatenate([backbone(ids[:, span.start : span.end])[:, span.context :] for span in spans], axis=1)
    difference = mx.abs(backbone.norm(hidden) - alone).max()
    return bool((difference <= 1e-4 * mx.abs(alone).max()).item())
