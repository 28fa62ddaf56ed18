"""Attention and the gated unit of an MLP, as a processor computes them fast; equal to mlx's but for rounding.

On x86 and ARM processors MLX computes ``exp`` one element at a time: with a fast BLAS, softmax and sigmoid then take
more time than the matrix products around them. A power of 2 costs a third of it. Attention here also leaves out what
the causal mask would throw away, and its gradient takes fewer passes over the scores than one derived by rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import mlx.core as mx
import numpy as np

LOG2_E = math.log2(math.e)
QUERIES = 64
"""Positions whose scores are computed at a time: few enough for the processor's cache and to leave out half of all."""
HIDDEN = -1e9
"""Added to the scores of later positions; its power of 2 is 0."""


def causal_attention(queries: mx.array, keys: mx.array, values: mx.array, scale: float) -> mx.array:
    """Softmax attention of one row; a position sees itself and those before it.

    Args:
        queries: (heads, Q, D), of the row's last Q positions.
        keys: (groups, L, D), L >= Q; heads / groups neighbouring heads share a group, as in mlx-lm.
        values: (groups, L, D).
        scale: of the scores, before the softmax.

    Returns:
        (heads, Q, D).
    """
    grouped = queries.reshape(keys.shape[0], -1, *queries.shape[1:]) * (scale * LOG2_E)
    attended = cast("tuple[mx.array, ...]", _attention(grouped, keys, values))[0]
    return attended.reshape(queries.shape)


def _blocks(queries: int, positions: int) -> Iterator[tuple[slice, int]]:
    """Which queries at a time, and how many positions they may see."""
    for start in range(0, queries, QUERIES):
        end = min(start + QUERIES, queries)
        yield slice(start, end), positions - queries + end


@mx.custom_function
def _attention(queries: mx.array, keys: mx.array, values: mx.array) -> tuple[mx.array, ...]:
    """What (groups, shared, Q, D) queries attend to, and each block's powers and their sums; scores are to base 2."""
    attended: list[mx.array] = []
    kept: list[mx.array] = []
    for rows, seen in _blocks(queries.shape[2], keys.shape[1]):
        block = _flat(queries, rows)
        scores = block @ keys[:, :seen].swapaxes(-1, -2) + _mask(queries.shape[1], rows.stop - rows.start, seen)
        powers = mx.power(2.0, scores - scores.max(axis=-1, keepdims=True))
        total = powers.sum(axis=-1, keepdims=True)
        attended.append(_unflat((powers @ values[:, :seen]) / total, queries))
        kept += [powers, total]
    return mx.concatenate(attended, axis=2), *kept


@_attention.vjp
def _attention_vjp(
    primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
) -> tuple[mx.array, ...]:
    """With P the probabilities, O = PV and a cotangent G: dV = PᵀG, dS = P * (GVᵀ - rowsum(G * O)), S = QKᵀ.

    The scores are to the base of 2, so dS carries a factor ln 2.
    """
    queries, keys, values = primals
    along = (cotangents[0] * outputs[0]).sum(axis=-1, keepdims=True)
    to_queries: list[mx.array] = []
    to_keys, to_values = mx.zeros_like(keys), mx.zeros_like(values)
    for index, (rows, seen) in enumerate(_blocks(queries.shape[2], keys.shape[1])):
        powers, total = outputs[1 + 2 * index : 3 + 2 * index]
        given = _flat(cotangents[0], rows) / total
        to_scores = powers * (given @ values[:, :seen].swapaxes(-1, -2) - _flat(along, rows) / total)
        later = [(0, 0), (0, keys.shape[1] - seen), (0, 0)]
        to_queries.append(_unflat(to_scores @ keys[:, :seen], queries))
        to_keys = to_keys + mx.pad(to_scores.swapaxes(-1, -2) @ _flat(queries, rows), later)
        to_values = to_values + mx.pad(powers.swapaxes(-1, -2) @ given, later)
    return mx.concatenate(to_queries, axis=2) * math.log(2), to_keys * math.log(2), to_values


def _flat(array: mx.array, rows: slice) -> mx.array:
    """A block of (groups, shared, Q, D) as (groups, shared · block, D): one product for all heads of a group."""
    return array[:, :, rows].reshape(array.shape[0], -1, array.shape[-1])


def _unflat(array: mx.array, like: mx.array) -> mx.array:
    return array.reshape(*like.shape[:2], -1, like.shape[-1])


def _mask(shared: int, block: int, seen: int) -> mx.array:
    """(1, shared · block, seen) what is added to the scores: only the block itself has positions that come later."""
    later = np.tile(np.triu(np.full((block, block), HIDDEN, np.float32), 1), (shared, 1))
    return mx.pad(mx.array(later[None]), [(0, 0), (0, 0), (seen - block, 0)])


def gated(gate: mx.array, up: mx.array) -> mx.array:
    """``silu(gate) * up``, the unit of a gated MLP (SwiGLU)."""
    return cast("tuple[mx.array, mx.array]", _gated(gate, up))[0]


@mx.custom_function
def _gated(gate: mx.array, up: mx.array) -> tuple[mx.array, mx.array]:
    sigmoid = 1 / (1 + mx.power(2.0, gate * -LOG2_E))
    return gate * sigmoid * up, sigmoid


@_gated.vjp
def _gated_vjp(
    primals: tuple[mx.array, ...], cotangents: tuple[mx.array, ...], outputs: tuple[mx.array, ...]
) -> tuple[mx.array, ...]:
    (gate, up), sigmoid = primals, outputs[1]
    given = cotangents[0] * sigmoid
    return given * up * (1 + gate * (1 - sigmoid)), given * gate
