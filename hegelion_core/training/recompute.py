"""Gradient checkpointing: a layer keeps its input alone, and is computed again when its gradient is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import mlx.core as mx
from mlx.nn.layers.base import Module

Forward = Callable[..., mx.array]


def recomputed(layer: Module, forward: Forward) -> Forward:
    """``forward``, which computes with ``layer``, with less memory and one more pass for the gradient.

    ``mx.checkpoint`` alone would draw another dropout the second time, and so return the gradient of something else.
    """
    keys: list[mx.array] = []

    def run(parameters: dict[str, object], *inputs: object) -> mx.array:
        layer.update(parameters)
        now = _random_key()[:]
        if not keys:
            keys.append(now)
            return forward(*inputs)
        _random_key()[:] = keys[0]
        again = forward(*inputs)
        _random_key()[:] = now
        return again

    def outer(*inputs: object) -> mx.array:
        keys.clear()
        return mx.checkpoint(run)(layer.trainable_parameters(), *inputs)  # type: ignore[no-untyped-call]

    return outer


def _random_key() -> mx.array:
    """MLX's random state; each draw puts another array in its place."""
    (key,) = cast(Iterable[mx.array], mx.random.state)
    return key


def recompute_layers(layers: Sequence[Module]) -> None:
    """Make layers that a model calls by itself do so, these ones alone and not their class."""
    for layer in layers:
        original = type(layer)

        def call(self: Module, *inputs: object, original: type[Module] = original, **options: object) -> mx.array:
            return recomputed(self, lambda *given: original.__call__(self, *given, **options))(*inputs)

        layer.__class__ = type(original.__name__, (original,), {"__call__": call})
