"""LoRA on a student's last layers, through mlx-lm's own modules, so that its loaders read what is trained here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedLinear
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.utils import linear_to_lora_layers

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.settings import TrainingSettings

Weights = dict[str, mx.array]
"""LoRA tensors by their path in the model: ``....lora_a`` (in, r) and ``....lora_b`` (r, out), float32; with DoRA also
the magnitudes ``....m`` (out,). All of them are trained, and all of them count in Σ(w - w_ref)²."""

LINEAR = (Linear, QuantizedLinear, SwitchLinear, QuantizedSwitchLinear)


@dataclass(frozen=True)
class LoraShape:
    """Which modules are adapted, and how."""

    num_layers: int
    """The last so many."""
    rank: int
    scale: float
    """Of the update: alpha / rank, or alpha / sqrt(rank) if it is to be stable over ranks, as in PEFT."""
    dropout: float
    keys: tuple[str, ...]
    """Adapted modules, by their names within a layer."""
    fine_tune_type: Literal["lora", "dora"] = "lora"

    def parameters(self) -> dict[str, object]:
        """mlx-lm's ``lora_parameters``."""
        return {"rank": self.rank, "scale": self.scale, "dropout": self.dropout, "keys": list(self.keys)}


def add_lora(model: Module, settings: TrainingSettings) -> LoraShape:
    """Freeze the model and add LoRA matrices to every linear of its last layers; only they are trainable.

    lora_a is uniform within ±1/√in and lora_b zero (with DoRA, the magnitudes are the norms of the weights' rows), so
    that the model's output does not change. The initial values
    depend on the seed alone.

    Raises:
        UserError: the model has no linear layers there, or some that DoRA can't adapt.
    """
    layers: list[Module] = list(model.layers)
    count = len(layers) if settings.num_layers <= 0 else min(settings.num_layers, len(layers))
    names = {name for layer in layers[-count:] for name in _linear_names(layer)}
    if not names:
        raise UserError(
            f"{settings.model}: its layers hold no linear modules that LoRA could adapt.",
            "Take another student.",
            ExitCode.USAGE,
        )
    rank, kind = settings.lora_rank, settings.fine_tune_type
    scale = settings.lora_alpha / (math.sqrt(rank) if settings.use_rslora else rank)
    shape = LoraShape(count, rank, scale, settings.lora_dropout, tuple(sorted(names)), kind)
    model.freeze()
    mx.random.seed(settings.seed)
    try:
        linear_to_lora_layers(model, count, shape.parameters(), use_dora=kind == "dora")
    except ValueError as error:  # DoRA knows fewer kinds of modules
        raise UserError(f"{settings.model}: {error}", "Give --fine_tune_type lora.", ExitCode.USAGE) from None
    set_lora_weights(model, {name: tensor.astype(mx.float32) for name, tensor in lora_weights(model).items()})
    mx.eval(lora_weights(model))
    return shape


def lora_weights(model: Module) -> Weights:
    """The LoRA tensors as they are now."""
    return dict(tree_flatten(model.trainable_parameters()))  # type: ignore[no-untyped-call]


def set_lora_weights(model: Module, weights: Mapping[str, mx.array]) -> None:
    """Give the model these LoRA tensors."""
    model.update(tree_unflatten(list(weights.items())))


def _linear_names(layer: Module) -> list[str]:
    modules: list[tuple[str, Module]] = layer.named_modules()  # type: ignore[no-untyped-call]
    return [name for name, module in modules if isinstance(module, LINEAR)]
