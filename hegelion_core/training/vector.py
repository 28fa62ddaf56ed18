"""All trained tensors as one vector: what an optimizer does to each element then costs a dozen operations, and not a
dozen for each of a hundred small tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import mlx.core as mx

from hegelion_core.training.lora import Weights


class Layout:
    """Where each tensor lies in the vector: in the order of the weights it was made for."""

    def __init__(self, weights: Weights) -> None:
        self._shapes = {name: tensor.shape for name, tensor in weights.items()}
        sizes = [tensor.size for tensor in weights.values()]
        self._ends = [sum(sizes[: index + 1]) for index in range(len(sizes) - 1)]
        self._size = sum(sizes)

    def join(self, tensors: Mapping[str, mx.array]) -> mx.array:
        """(n,) the tensors, one after the other."""
        return mx.concatenate([tensors[name].reshape(-1) for name in self._shapes])

    def split(self, vector: mx.array) -> Weights:
        """The tensors in a vector, (n,); they share its memory."""
        parts = mx.split(vector, self._ends)
        return {name: part.reshape(shape) for part, (name, shape) in zip(parts, self._shapes.items(), strict=True)}

    def zeros(self) -> mx.array:
        """(n,) zeros."""
        return mx.zeros(self._size)


def sum_of_squares(vector: mx.array) -> mx.array:
    """Σx² of a vector, (n,), added up in two stages: in one, millions of addends would lose digits."""
    squares = mx.square(vector)
    width = math.isqrt(vector.size)
    whole = vector.size - vector.size % width
    return squares[:whole].reshape(-1, width).sum(axis=1).sum() + squares[whole:].sum()
