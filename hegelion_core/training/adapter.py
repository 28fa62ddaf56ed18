"""The adapter's files, as ``mlx_lm.generate --adapter-path`` and ``mlx_lm.utils.load_adapters`` read them."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import mlx.core as mx

from hegelion_core import workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.regular import read_regular
from hegelion_core.training.lora import LoraShape, Weights

WEIGHTS = "adapters.safetensors"
LINK = "weights.safetensors"
"""The guide's name of the weights: a relative link, so that one replacement serves both."""
CONFIG = "adapter_config.json"


def write_adapter(folder: Path, weights: Weights, shape: LoraShape, base_model: str) -> None:
    """Write or replace an adapter so that readers see the old one or the new one, never a part.

    The config is what makes the folder an adapter. Where it changes (another rank, other layers), it goes first and
    comes last, so that nobody reads weights under the config of others. Other files in the folder are left alone.

    Raises:
        UserError: the folder cannot be written.
    """
    content = adapter_config(shape, base_model)
    path = folder / CONFIG
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and read_regular(path) != content:
            path.unlink()
        save_arrays(folder / WEIGHTS, weights)
        workspace.link(folder / LINK, WEIGHTS)
        workspace.replace(path, content, mode=workspace.SHARED)
    except OSError as error:
        raise UserError(
            f"{folder}: the adapter cannot be written ({error.strerror or error}).",
            "Free some space or choose another adapter path, and give the same command again; no step is lost.",
            ExitCode.FAILED,
        ) from None


def adapter_config(shape: LoraShape, base_model: str) -> bytes:
    """The content of ``adapter_config.json``."""
    config = {
        "fine_tune_type": shape.fine_tune_type,
        "num_layers": shape.num_layers,
        "lora_parameters": shape.parameters(),
        "model": base_model,
    }
    return json.dumps(config, indent=2).encode() + b"\n"


def save_arrays(path: Path, arrays: Weights, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, atomically and durably: ``mx.save_safetensors`` truncates in place.

    Raises:
        OSError: it could not be written; what was there is untouched.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}.safetensors")  # mlx insists on this suffix
    beside.unlink(missing_ok=True)  # mlx would write through a link that someone planted
    try:
        try:
            # In order: mlx lays tensors out as they come, and the same ones must be the same bytes.
            mx.save_safetensors(str(beside), dict(sorted(arrays.items())), metadata or {})
        except RuntimeError as error:  # what mlx makes of a failed write; it does not say why it failed
            full = shutil.disk_usage(path.parent).free < sum(array.nbytes for array in arrays.values())
            number, words = (errno.ENOSPC, os.strerror(errno.ENOSPC)) if full else (errno.EIO, str(error))
            raise OSError(number, words, str(path)) from error
        fd = os.open(beside, os.O_RDWR)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    workspace.sync_folder(path.parent)
