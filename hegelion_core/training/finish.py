"""How a training ends: which weights are written, what lay at the adapter path before, and the words for it."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx

from hegelion_core import events, workspace
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.regular import read_regular
from hegelion_core.training.adapter import CONFIG, LINK, WEIGHTS, adapter_config, write_adapter
from hegelion_core.training.batching import Row, TokenRow
from hegelion_core.training.loop import NotFinite, Training
from hegelion_core.training.lora import LoraShape, Weights
from hegelion_core.workspace import RunFolder


def finish(
    training: Training, folder: Path, shape: LoraShape, base_model: str, run: RunFolder
) -> events.TrainingFinished:
    """Write the adapter; one that lay there before, of another training, goes to ``run.replaced`` first.

    Raises:
        UserError: the folder cannot be written.
    """
    step, weights = training.chosen()
    progress = training.progress
    put_in_place(weights, folder, shape, base_model, run)
    return events.TrainingFinished(
        steps=progress.step,
        adapter_path=str(folder),
        seconds=progress.seconds,
        kept_step=step,
        kept_loss=progress.standing.best_loss if step == progress.standing.best_step else None,
    )


def put_in_place(weights: Weights, folder: Path, shape: LoraShape, base_model: str, run: RunFolder) -> None:
    """Write the adapter; one that lay there before, of another training, goes to ``run.replaced`` first.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        if folder.is_dir():
            workspace.sweep(folder)
        if not _holds(folder, weights, adapter_config(shape, base_model)):
            keep_replaced(folder, run.replaced)
    except OSError as error:
        told = explain(error)
        raise UserError(told.message, told.hint, ExitCode.FAILED) from None
    write_adapter(folder, weights, shape, base_model)


def words(training: Training, finished: events.TrainingFinished) -> str:
    """Which weights became the adapter, and why."""
    standing, last = training.progress.standing, training.progress.step
    if training.progress.best is None:
        why = "there was no validation" if standing.best_loss is None else "that was asked for (--keep last)"
        return f"The adapter is that of the last step, {last}: {why}."
    text = f"The adapter is that of step {finished.kept_step} of {last}, the best of {standing.count} validations: "
    text += f"Loss={standing.best_loss:.3f} on the held-out rows"
    if standing.start_loss is not None:
        text += f" ({standing.start_loss:.3f} before training)"
        if standing.best_loss is not None and standing.best_loss >= standing.start_loss:
            text += ". No step was better than the student without an adapter"
    return f"{text}."


def announce_replacement(folder: Path, run: RunFolder) -> str:
    """What will become of an adapter that lies at the adapter path; empty if there is none."""
    if not (folder / WEIGHTS).is_file():
        return ""
    try:
        config = json.loads(read_regular(folder / CONFIG))
        whose = f"of {config['model']}, rank {config['lora_parameters']['rank']}"
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        whose = "without a readable config"
    return (
        f"{folder} holds an adapter ({whose}). Where this training ends in another one, it is moved to {run.replaced}."
    )


def keep_replaced(folder: Path, kept: Path) -> None:
    """Move an adapter's files into a new folder below ``kept``; the config, which makes it one, first.

    Raises:
        OSError: it cannot be moved.
    """
    present = [name for name in (CONFIG, WEIGHTS) if (folder / name).is_file()]
    if not present:
        return
    number = 1 + max((int(path.name) for path in kept.glob("[0-9]*") if path.name.isdigit()), default=0)
    if number > 1 and not any((kept / str(number - 1) / name).exists() for name in present):
        number -= 1  # a kill came between the moves of its two files
    target = kept / str(number)
    target.mkdir(parents=True, exist_ok=True)
    for name in present:
        workspace.move(folder / name, target / name)
    workspace.link(target / LINK, WEIGHTS)
    (folder / LINK).unlink(missing_ok=True)


def explain_not_finite(
    error: NotFinite, training: Training, rows: tuple[TokenRow, ...], texts: list[Row], data: Path, run: RunFolder
) -> UserError:
    """Where it happened, and what is kept."""
    lines = sorted({rows[index].line for index in error.rows})
    ids = {row.line: row.id for row in texts}
    where = f"line{'s' if len(lines) > 1 else ''} " + ", ".join(f"{line} (id {ids[line]})" for line in lines)
    saved, standing = training.progress.saved_step, training.progress.standing
    kept = f"the checkpoint of step {saved} is kept in {run.checkpoints}" if saved else "no checkpoint was saved yet"
    if training.progress.best is not None:
        kept += (
            f", and the best adapter, of step {standing.best_step} (validation loss {standing.best_loss:.3f}),"
            f" in {run.best_adapter}"
        )
    return UserError(
        f"Training: the loss is not a number any more at step {error.step}, which saw {data}, {where}.",
        f"Look at these rows, or lower the learning rate (--lr), and start again; {kept}.",
    )


def _holds(folder: Path, weights: Weights, config: bytes) -> bool:
    """Whether the adapter is written already, as after a kill in the last moment; its config may be missing yet."""
    try:
        if (folder / CONFIG).exists() and read_regular(folder / CONFIG) != config:
            return False
        found = mx.load(str(folder / WEIGHTS))
    except (OSError, RuntimeError):
        return False
    return (
        isinstance(found, dict)
        and found.keys() == weights.keys()
        and all(
            found[name].shape == tensor.shape and bool(mx.array_equal(found[name], tensor).item())
            for name, tensor in weights.items()
        )
    )
