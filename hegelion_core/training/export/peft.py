"""An adapter as PEFT reads it (``peft.PeftModel.from_pretrained``). Pure, but for the two files it writes.

PEFT computes ``y = W x + (lora_alpha / r) · B (A x)`` with A (r, in) and B (out, r); mlx-lm computes
``y = W x + scale · B (A x)`` with lora_a (in, r) and lora_b (r, out). So both matrices are transposed, and
``lora_alpha = scale · r`` whatever the scale was made of (rank-stabilised scales included). DoRA's magnitude is the
same vector in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.training.export.source import Adapter, Tensors

_PREFIX = "base_model.model."
_LAYER = re.compile(r"(?P<before>.+)\.layers\.(?P<index>\d+)\.(?P<name>.+)")


def write_peft(adapter: Adapter, folder: Path, base_name: str, layers: int | None) -> None:
    """Write ``adapter_model.safetensors`` and ``adapter_config.json`` into a folder.

    Args:
        base_name: what PEFT shall load as the base.
        layers: layers of the base, if known.

    Raises:
        UserError: a module that PEFT has no LoRA for.
    """
    tensors = peft_tensors(adapter)
    (folder / "adapter_model.safetensors").write_bytes(save(dict(tensors), metadata={"format": "pt"}))
    config = json.dumps(peft_config(adapter, base_name, layers), indent=2, ensure_ascii=False)
    (folder / "adapter_config.json").write_text(config + "\n", "utf-8")


def peft_tensors(adapter: Adapter) -> Tensors:
    """PEFT's names and orientations.

    Raises:
        UserError: a module that is no plain linear one.
    """
    made: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.floating]]] = {}
    for path, parts in adapter.modules.items():
        if parts["lora_a"].ndim != 2 or path.endswith("embed_tokens"):
            raise UserError(
                f"{adapter.folder}: PEFT has no LoRA of the kind that {path} has here.",
                "Export it with --to fused.",
                ExitCode.USAGE,
            )
        made[f"{_PREFIX}{path}.lora_A.weight"] = np.ascontiguousarray(parts["lora_a"].T)
        made[f"{_PREFIX}{path}.lora_B.weight"] = np.ascontiguousarray(parts["lora_b"].T)
        if adapter.dora:
            made[f"{_PREFIX}{path}.lora_magnitude_vector"] = parts["m"]
    return made


def peft_config(adapter: Adapter, base_name: str, layers: int | None) -> dict[str, object]:
    """The content of PEFT's ``adapter_config.json``."""
    rank = next(iter(adapter.modules.values()))["lora_a"].shape[1]
    alpha = adapter.scale * rank
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": rank,
        # 15 digits hide the rounding of a division and its inverse, not the number.
        "lora_alpha": int(alpha) if alpha == int(alpha) else float(f"{alpha:.15g}"),
        "lora_dropout": 0.0,
        "use_rslora": False,
        "use_dora": adapter.dora,
        **_targets(list(adapter.modules), layers),
        "fan_in_fan_out": False,
        "bias": "none",
        "inference_mode": True,
        "init_lora_weights": True,
    }


def _targets(paths: list[str], layers: int | None) -> Mapping[str, object]:
    """Which modules are adapted: names within a layer and layers, or every path where that would say too much."""
    found = [match for path in paths if (match := _LAYER.fullmatch(path))]
    names = sorted({match["name"] for match in found})
    indices = sorted({int(match["index"]) for match in found})
    regular = len({match["before"] for match in found}) == 1 and len(found) == len(paths)
    if not regular or len(paths) != len(names) * len(indices):
        return {"target_modules": sorted(paths), "layers_to_transform": None, "layers_pattern": None}
    if layers is not None and indices == list(range(layers)):
        return {"target_modules": names, "layers_to_transform": None, "layers_pattern": None}
    return {"target_modules": names, "layers_to_transform": indices, "layers_pattern": "layers"}
