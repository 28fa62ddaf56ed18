"""Base and adapter as one model, through mlx-lm's own fuse path. Imports mlx: call ``prepare_mlx`` first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlx.nn.layers.base import Module
from mlx.utils import tree_unflatten
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import dequantize_model, save

from hegelion_core.models.loading import apply_adapter, load_as_stored

Say = Callable[[str], None]


@dataclass(frozen=True)
class FusedModel:
    """A model whose adapter has become part of its weights."""

    model: Module
    tokenizer: TokenizerWrapper
    config: dict[str, object]
    base: Path


def fuse(base: Path, adapter: Path, *, dequantise: bool, say: Say) -> FusedModel:
    """Load the base as it is stored, put the adapter on it, and make it part of the weights, as ``mlx_lm.fuse`` does.

    The sum has the precision of the stored weights. A quantised base is quantised again afterwards, which rounds once
    more, unless ``dequantise``.

    Raises:
        UserError: the base cannot be loaded, or the adapter is of another model.
    """
    say(f"Loading {base.name}.")
    loaded = load_as_stored(base)
    model, config = apply_adapter(loaded.model, adapter), dict(loaded.config)
    named: list[tuple[str, Module]] = model.named_modules()  # type: ignore[no-untyped-call]
    fused = [(name, module.fuse(dequantize=dequantise)) for name, module in named if hasattr(module, "fuse")]
    say(f"Fusing {len(fused)} modules.")
    model.update_modules(tree_unflatten(fused))
    if dequantise:
        dequantize_model(model)
        config.pop("quantization", None)
        config.pop("quantization_config", None)
    return FusedModel(model, loaded.tokenizer, config, base)


def write_fused(fused: FusedModel, folder: Path) -> None:
    """Write a model folder that mlx-lm and, unless it is quantised, transformers load.

    Raises:
        OSError, RuntimeError: it cannot be written.
    """
    save(folder, fused.base, fused.model, fused.tokenizer, fused.config, donate_model=False)
