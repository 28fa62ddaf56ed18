"""The layers of a plain transformer, over rows that stand one after another in one sequence.

Linear layers see the sequence as a whole, attention sees each row by itself, from its own first position: so rows are
*packed* without a mask, without positions of others and without padding between them, and what comes out is what each
row alone would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import mlx.core as mx
from mlx.nn.layers.base import Module

from hegelion_core.training.elementwise import causal_attention, gated
from hegelion_core.training.plan import Span

PLAIN_STACKS = {"llama", "qwen2", "qwen3"}
"""Model types whose backbone is: embedding, layers with one causal mask, norm. Found in mlx-lm's sources; there is no
way to ask a model, and a short trial would not notice a sliding window."""


def is_plain(model: Module) -> bool:
    """Whether the model's backbone is one that this module knows."""
    plain = getattr(getattr(model, "args", None), "model_type", None) in PLAIN_STACKS
    return plain and not any(getattr(layer, "use_sliding", False) for layer in model.layers)


def packed_layer(layer: Module, hidden: mx.array, spans: Sequence[Span], *, last: bool = False) -> mx.array:
    """A layer's output for every position; or, with ``last``, for those behind each row's context, in their order.

    Args:
        layer: of a plain model, adapted or not.
        hidden: (1, W, D); positions outside of every span are padding, and what comes out there means nothing.
        spans: in their order, without gaps.
    """
    attended = _attend(layer.self_attn, layer.input_layernorm(hidden), spans, last)
    hidden = (_wanted(hidden, spans) if last else hidden) + attended
    mlp, normed = layer.mlp, layer.post_attention_layernorm(hidden)
    out: mx.array = hidden + mlp.down_proj(gated(mlp.gate_proj(normed), mlp.up_proj(normed)))
    return out


def _wanted(sequence: mx.array, spans: Sequence[Span]) -> mx.array:
    return mx.concatenate([sequence[:, span.start + span.context : span.end] for span in spans], axis=1)


def _attend(attention: Module, hidden: mx.array, spans: Sequence[Span], last: bool) -> mx.array:
    asking = _wanted(hidden, spans) if last else hidden
    queries, keys, values = attention.q_proj(asking), attention.k_proj(hidden), attention.v_proj(hidden)
    parts: list[mx.array] = []
    asked = 0
    for span in spans:
        context = span.context if last else 0
        number = span.length - context
        row_queries = _heads(attention, queries[:, asked : asked + number], attention.n_heads, "q_norm")
        row_keys = _heads(attention, keys[:, span.start : span.end], attention.n_kv_heads, "k_norm")
        row_values = _heads(attention, values[:, span.start : span.end], attention.n_kv_heads)
        part = causal_attention(
            attention.rope(row_queries, offset=context)[0],
            attention.rope(row_keys)[0],
            row_values[0],
            attention.scale,
        )
        parts.append(part.swapaxes(0, 1).reshape(1, number, -1))
        asked += number
    if (padding := queries.shape[1] - asked) > 0:
        parts.append(mx.zeros((1, padding, parts[0].shape[-1]), parts[0].dtype))
    return cast(mx.array, attention.o_proj(mx.concatenate(parts, axis=1)))


def _heads(attention: Module, projected: mx.array, heads: int, norm: str = "") -> mx.array:
    """(1, L, heads · D) to (1, heads, L, D), normed where the model does so (Qwen 3)."""
    split = projected.reshape(1, projected.shape[1], heads, -1)
    if norm in attention:
        split = attention[norm](split)
    return split.swapaxes(1, 2)
