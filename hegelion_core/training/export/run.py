"""One export from beginning to end: which base, which folder, what is said. Heavy imports only where they are used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models import bundled, download
from hegelion_core.models.blas import prepare_mlx
from hegelion_core.models.loading import locate
from hegelion_core.settings import BUNDLED
from hegelion_core.training.export import folder as folders
from hegelion_core.training.export.source import WEIGHTS, Adapter, check_fits, read_adapter, read_base
from hegelion_core.workspace import Workspace, sha256

Form = Literal["peft", "fused", "gguf"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What a user asks for."""

    place: Workspace
    adapter: Path
    to: Form
    output: Path | None = None
    """Folder; ``None``: beside the adapter, named for it and the form."""
    model: str | None = None
    """The base, in place of the one that the adapter names."""
    dequantise: bool = False

    @property
    def target(self) -> Path:
        """The folder that will be made."""
        return self.output or self.adapter.with_name(f"{self.adapter.name}-{self.to}")


@dataclass(frozen=True)
class Exported:
    """What was made."""

    to: Form
    folder: Path
    base: str
    files: dict[str, int]
    """Name to size in bytes."""


def export(request: Request, say: Say, progress: download.Progress | None = None) -> Exported:
    """Write the adapter in another form; the folder is there whole or not at all.

    Args:
        say: told what is done, a line each, and what a user should know of the result.
        progress: told of a download of the base.

    Raises:
        UserError: no adapter, of another model, no such base, a form that this model cannot have, a folder that holds
            something else, or no space.
    """
    adapter = read_adapter(request.adapter)
    folders.refuse(request.target, request.adapter)
    spec = _base(request, adapter)
    mark = {"to": request.to, "base": spec, "adapter": str(request.adapter.resolve())}
    mark["adapter_sha256"] = sha256(request.adapter / WEIGHTS)
    try:
        if request.to == "peft":
            _peft(request, adapter, spec, mark, say)
        else:
            _model(request, spec, mark, say, progress)
    except (OSError, RuntimeError) as error:  # RuntimeError: what mlx makes of a failed write
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        hint = "Make room, or name another folder (--output); what was there is untouched."
        raise UserError(f"{request.target}: the export cannot be written ({reason}).", hint) from None
    files = {path.name: path.stat().st_size for path in sorted(request.target.iterdir()) if path.is_file()}
    return Exported(request.to, request.target, spec, files)


def _base(request: Request, adapter: Adapter) -> str:
    """Name or folder of the base; folders are absolute."""
    spec = request.model or adapter.base
    if not spec:
        hint = "Name the model that it was trained on (--model)."
        raise UserError(f"{adapter.folder}: does not say what its base model is.", hint, ExitCode.USAGE)
    folder = request.place.root / Path(spec).expanduser()
    return str(folder.resolve()) if spec != BUNDLED and folder.is_dir() else spec


def _peft(request: Request, adapter: Adapter, spec: str, mark: dict[str, str], say: Say) -> None:
    from hegelion_core.training.export.peft import write_peft

    name = bundled.HUB_NAME if spec == BUNDLED else spec
    layers = None
    if (found := _found(spec, request.place)) is None:
        say(f"{spec} is not here, so it was not checked that the adapter is of it.")
    else:
        base = read_base(found)
        check_fits(adapter, base)
        layers = base.layers
        if base.quantised:
            way = f"its original, {name}, is named" if name != spec else "name its original with --model"
            say(f"{found.name} is in MLX's quantised form, which transformers does not read: {way} as PEFT's base.")
    say(f"Writing {len(adapter.modules)} modules for PEFT.")
    with folders.made_whole(request.target, mark) as made:
        write_peft(adapter, made, name, layers)


def _found(spec: str, place: Workspace) -> Path | None:
    """The base's folder, if it is on this machine already: an export for PEFT needs nothing of it but to check."""
    if spec == BUNDLED:
        made = place.models / bundled.NAME
        return made if (made / "config.json").is_file() else None
    return Path(spec) if Path(spec).is_dir() else download.find(spec, place.models)


def _model(request: Request, spec: str, mark: dict[str, str], say: Say, progress: download.Progress | None) -> None:
    base = locate(spec, request.place.models, progress)
    config = json.loads((base / "config.json").read_bytes())
    prepare_mlx()
    from hegelion_core.training.export import fused as fusing
    from hegelion_core.training.export import gguf

    if request.to == "gguf":
        gguf.refuse(config)
    dequantise = request.dequantise or request.to == "gguf"
    if "quantization" in config and not dequantise:
        say("The base is quantised, so the sum is quantised again, which rounds; --dequantize keeps what was learnt.")
    fused = fusing.fuse(base, request.adapter, dequantise=dequantise, say=say)
    say(f"Writing {request.target.name}.")
    with folders.made_whole(request.target, mark) as made:
        if request.to == "gguf":
            gguf.write_gguf(fused, made, say)
        else:
            fusing.write_fused(fused, made)
