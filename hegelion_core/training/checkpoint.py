"""Checkpoints: all that a training needs to go on exactly where it was, written so that a kill never spoils one.

``checkpoints/step-N/`` holds the LoRA weights, those of the best validation, the reference, the optimizer's state, the
rest as JSON, and a manifest with a SHA-256 for each file. It is written as ``step-N.tmp`` and renamed when whole;
``latest`` is a link to the newest, for people. Batches are a pure function of seed and step, and NumPy's and Python's
random states are not used: there is nothing of them to keep.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import mlx.core as mx
import msgspec

from hegelion_core import workspace
from hegelion_core.errors import UserError
from hegelion_core.training.adapter import WEIGHTS, save_arrays
from hegelion_core.training.lora import Weights
from hegelion_core.training.metrics import StepMetrics
from hegelion_core.training.progress import Standing
from hegelion_core.training.scu.controller import ControllerState
from hegelion_core.training.scu.stopping import StoppingState
from hegelion_core.unreadable import UNREADABLE

SCHEMA = 2
KEPT = 2
REFERENCE, OPTIMIZER, BEST = "reference.safetensors", "optimizer.safetensors", "best.safetensors"
STATE, MANIFEST = "state.json", "manifest.json"
LATEST = "latest"
ALWAYS = {WEIGHTS, REFERENCE, OPTIMIZER, STATE}


class Identity(msgspec.Struct, frozen=True):
    """What a checkpoint belongs to; it is of use only to a training with the same."""

    settings: str
    """Hash of the settings that decide the weights."""
    data: str
    """Hash of the training file."""
    model: str
    """Hash of what tells one student from another."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is not arrays."""

    step: int
    controller: ControllerState
    random_key: tuple[int, int]
    other_keys: tuple[tuple[int, int], ...] = ()
    """Those of the other processes, if several trained together."""
    tokens_per_epoch: int
    """N of the SCU formulas, which stays what it was, even if rows are cut shorter later."""
    standing: Standing = Standing()
    stopping: StoppingState = StoppingState()
    tokens: int = 0
    """Supervised tokens seen so far."""
    seconds: float = 0.0
    """Spent on the steps so far."""
    pending: StepMetrics | None = None
    """The last step, if what is due after it was not done yet."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Written last; a checkpoint without a manifest that holds is none."""

    schema: int
    identity: Identity
    environment: dict[str, str]
    """What decides rounding, such as processor and BLAS: the same bits are promised only where all is the same."""
    files: dict[str, str]
    """File name to SHA-256."""


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps."""

    state: State
    weights: Weights
    reference: Weights
    optimizer: Weights
    """The optimizer's state, flattened."""
    best: Weights | None = None
    """Those of the best validation, if they are wanted and there was one."""

    def arrays(self) -> dict[str, Weights]:
        """By file name."""
        files = {WEIGHTS: self.weights, REFERENCE: self.reference, OPTIMIZER: self.optimizer}
        return files if self.best is None else {**files, BEST: self.best}


def save(folder: Path, checkpoint: Checkpoint, identity: Identity, environment: dict[str, str]) -> Path:
    """Write ``folder/step-N`` and remove all but the newest two.

    Raises:
        UserError: no space, or not writable; earlier checkpoints are whole.
    """
    step = checkpoint.state.step
    final = folder / f"step-{step}"
    beside = folder / f"step-{step}.tmp"
    try:
        _remove(beside)
        workspace.make_folder(beside)
        arrays = checkpoint.arrays()
        for name, tensors in arrays.items():
            save_arrays(beside / name, tensors)
        workspace.replace(beside / STATE, msgspec.json.encode(checkpoint.state))
        files = {name: workspace.sha256(beside / name) for name in (*arrays, STATE)}
        manifest = Manifest(schema=SCHEMA, identity=identity, environment=environment, files=files)
        workspace.replace(beside / MANIFEST, msgspec.json.encode(manifest))
        _remove(final)  # only there if it was passed over, or saved before the last step was settled
        beside.rename(final)
        workspace.link(folder / LATEST, final.name)
        workspace.sync_folder(folder)
    except OSError as error:
        _remove(beside)
        raise UserError(
            f"{final}: the checkpoint cannot be written ({error.strerror or error}).",
            "Free some space and give the same command again; training goes on at the checkpoint before.",
        ) from None
    _prune(folder, step)
    return final


def restore(
    folder: Path, identity: Identity, environment: dict[str, str], last_step: int, say: Callable[[str], None]
) -> Checkpoint | None:
    """The newest checkpoint that is whole, belongs to this training and is not beyond ``last_step``.

    Args:
        say: told of every checkpoint that is passed over, and why, and if the same bits are not to be expected.
    """
    for step in sorted(_steps(folder), reverse=True):
        path = folder / f"step-{step}"
        try:
            manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
            damaged = _damaged(path, manifest)
        except (OSError, *UNREADABLE, ValueError):
            damaged = [MANIFEST]
        if damaged:
            say(f"Checkpoint {path.name} is damaged ({', '.join(damaged)}): passed over.")
        elif manifest.schema != SCHEMA:
            say(f"Checkpoint {path.name} was written by another version: not used.")
        elif manifest.identity != identity:
            say(f"Checkpoint {path.name} is of {_differences(manifest.identity, identity)}: not used.")
        elif step > last_step:
            say(f"Checkpoint {path.name} is beyond the last step, {last_step}: not used.")
        else:
            names = sorted(manifest.environment.keys() | environment.keys())
            if others := [name for name in names if manifest.environment.get(name) != environment.get(name)]:
                say(f"The checkpoint was written with other {' and '.join(others)}: it goes on, but not bit for bit.")
            _be_latest(path)
            return _read(path, manifest)
    return None


def _be_latest(path: Path) -> None:
    """Have ``latest`` lead to a checkpoint; a kill may have come just before, and it may be the last one."""
    latest = path.with_name(LATEST)
    with contextlib.suppress(OSError):  # it is for people
        if not (latest.is_symlink() and latest.readlink() == Path(path.name)):
            workspace.link(latest, path.name)


def _damaged(path: Path, manifest: Manifest) -> list[str]:
    """The files that are not as they were written."""
    if not manifest.files.keys() >= ALWAYS:
        return [MANIFEST]
    whole = {name: (path / name).is_file() and workspace.sha256(path / name) for name in manifest.files}
    return [name for name, digest in manifest.files.items() if whole[name] != digest]


def _read(path: Path, manifest: Manifest) -> Checkpoint:
    checkpoint = Checkpoint(
        state=msgspec.json.decode((path / STATE).read_bytes(), type=State),
        weights=_load(path / WEIGHTS),
        reference=_load(path / REFERENCE),
        optimizer=_load(path / OPTIMIZER),
        best=_load(path / BEST) if BEST in manifest.files else None,
    )
    # Loaded arrays stay backed by their file, which will be removed: read them now.
    mx.eval(list(checkpoint.arrays().values()))
    return checkpoint


def _load(path: Path) -> Weights:
    arrays = mx.load(str(path))
    if not isinstance(arrays, dict):
        raise TypeError(f"{path} holds no named arrays")
    return arrays


def _steps(folder: Path) -> list[int]:
    found = (re.fullmatch(r"step-(\d+)", path.name) for path in folder.glob("step-*"))
    return [int(match[1]) for match in found if match]


def _prune(folder: Path, newest: int) -> None:
    """Keep the newest two; what lies beyond them belongs to another training, or was passed over."""
    kept = sorted((step for step in _steps(folder) if step <= newest), reverse=True)[:KEPT]
    for path in folder.glob("step-*"):
        if path.name not in {f"step-{step}" for step in kept}:
            _remove(path)


def _remove(path: Path) -> None:
    """A folder, or what stands in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _differences(theirs: Identity, ours: Identity) -> str:
    changed = [name for name in Identity.__struct_fields__ if getattr(theirs, name) != getattr(ours, name)]
    return f"other {' and '.join(changed)}"


def random_key() -> tuple[int, int]:
    """MLX's random state, as two 32-bit numbers."""
    key = next(iter(cast(Iterable[mx.array], mx.random.state)))
    return int(cast(int, key[0].item())), int(cast(int, key[1].item()))


def restore_random_key(key: tuple[int, int]) -> None:
    """Set MLX's random state; a seed of 64 bits is exactly that state."""
    mx.random.seed((key[0] << 32) | key[1])
