"""Adapters whose weights matter, written by the product's own writer."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load

from hegelion_core.training.adapter import write_adapter
from hegelion_core.training.lora import LoraShape

KEYS = (
    *("mlp.down_proj", "mlp.gate_proj", "mlp.up_proj"),
    *("self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj", "self_attn.v_proj"),
)


def make_adapter(
    base: Path, folder: Path, *, layers: int, dora: bool = False, scale: float = 4.0, rank: int = 4, size: float = 0.05
) -> Path:
    """Write an adapter of the last layers with random weights into ``folder`` and return it."""
    model = load(str(base))[0]
    shape = LoraShape(layers, rank, scale, 0.0, KEYS)
    model.freeze()
    mx.random.seed(7)
    linear_to_lora_layers(model, layers, shape.parameters(), use_dora=dora)
    flat: list[tuple[str, mx.array]] = tree_flatten(model.trainable_parameters())  # type: ignore[assignment]
    weights = {name: tensor.astype(mx.float32) + size * mx.random.normal(tensor.shape) for name, tensor in flat}
    model.update(tree_unflatten(list(weights.items())))
    write_adapter(folder, weights, shape, str(base))
    if dora:
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, "fine_tune_type": "dora"}))
    return folder
