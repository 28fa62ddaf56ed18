"""What is exported: an adapter folder as training wrote it, and the base model it belongs to. Neither imports mlx."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.regular import read_regular
from hegelion_core.unreadable import UNREADABLE

CONFIG, WEIGHTS = "adapter_config.json", "adapters.safetensors"
Tensors: TypeAlias = Mapping[str, npt.NDArray[np.floating]]
_LEAVES = ("lora_a", "lora_b", "m")


class _Parameters(msgspec.Struct, frozen=True):
    rank: int = 0
    scale: float = 0.0


class _Config(msgspec.Struct, frozen=True):
    """What is used of ``adapter_config.json``, ours or mlx-lm's."""

    fine_tune_type: str = "lora"
    lora_parameters: _Parameters | None = None
    model: str = ""


@dataclass(frozen=True)
class Adapter:
    """A LoRA or DoRA adapter in mlx-lm's form."""

    folder: Path
    base: str
    """The student that training named; empty if the config does not say."""
    dora: bool
    scale: float
    """Of the update: ``y = W x + scale · B (A x)``."""
    modules: Mapping[str, Tensors]
    """Path of a module to its ``lora_a`` (in, r), ``lora_b`` (r, out) and, for DoRA, ``m`` (out,)."""


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder.

    Raises:
        UserError: there is none, or it is damaged or of a kind that cannot be exported.
    """
    hint = "Give the folder that training wrote (--adapter-path)."
    try:
        config = msgspec.json.decode(read_regular(folder / CONFIG), type=_Config)
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        name = Path(str(error.filename or WEIGHTS)).name
        raise UserError(f"{folder}: holds no adapter: it lacks {name}.", hint, ExitCode.USAGE) from None
    except (OSError, *UNREADABLE, SafetensorError, TypeError, KeyError) as error:
        raise UserError(f"{folder}: the adapter cannot be read ({error}).", hint, ExitCode.USAGE) from None
    modules: dict[str, dict[str, npt.NDArray[np.floating]]] = {}
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        modules.setdefault(path, {})[leaf] = tensor
    dora = config.fine_tune_type == "dora"
    needed = set(_LEAVES if dora else _LEAVES[:2])
    if config.lora_parameters is None or not modules or any(set(parts) != needed for parts in modules.values()):
        kind = "DoRA" if dora else "LoRA"
        raise UserError(f"{folder}: is no {kind} adapter ({config.fine_tune_type[:40]!r}).", hint, ExitCode.USAGE)
    return Adapter(folder, config.model, dora, config.lora_parameters.scale, modules)


@dataclass(frozen=True)
class BaseFiles:
    """A model folder, as far as its files' headers tell."""

    folder: Path
    layers: int | None
    quantised: bool
    """In MLX's packed form, which no other program reads."""
    shapes: Mapping[str, tuple[int, ...]]
    """Name of each tensor to its shape: (out, in) for a linear module's ``weight``, packed where quantised."""


def read_base(folder: Path) -> BaseFiles:
    """Read ``config.json`` and the headers of the safetensors files; no weights.

    Raises:
        UserError: a file cannot be read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        config = json.loads(read_regular(folder / "config.json"))
        for path in sorted(folder.glob("model*.safetensors")):
            with safe_open(path, framework="numpy") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        if not isinstance(config, dict):
            raise ValueError("config.json is no object")
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise UserError(f"{folder}: the base model cannot be read ({error}).", "Check it.", ExitCode.USAGE) from None
    layers = config.get("num_hidden_layers")
    return BaseFiles(folder, layers if isinstance(layers, int) else None, "quantization" in config, shapes)


def check_fits(adapter: Adapter, base: BaseFiles) -> None:
    """See by names and shapes that an adapter is of this base.

    Raises:
        UserError: it is of another model, or of one whose modules mlx-lm names otherwise than its files.
    """
    hint = "Give the model that it was trained on (--model)."
    for path, parts in adapter.modules.items():
        shape = base.shapes.get(f"{path}.weight")
        if shape is None:
            fault = f"has no module {path}"
        elif shape[0] != parts["lora_b"].shape[-1]:
            fault = f"has {shape[0]} outputs in {path}, the adapter {parts['lora_b'].shape[-1]}"
        elif not base.quantised and shape[-1] != parts["lora_a"].shape[0]:
            fault = f"has {shape[-1]} inputs in {path}, the adapter {parts['lora_a'].shape[0]}"
        else:
            continue
        raise UserError(
            f"{adapter.folder}: is an adapter of another model: {base.folder} {fault}.", hint, ExitCode.USAGE
        )
