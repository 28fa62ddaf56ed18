"""The training's child process: ``python -m hegelion_core.training.worker <job file>``.

Reads the rows that conversion wrote (or the job's ``data``), trains the student, and writes the adapter. The same job
again goes on at the last checkpoint, with nothing but the run's folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hegelion_core import events, workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models.blas import prepare_mlx
from hegelion_core.settings import TrainingSettings
from hegelion_core.training.batching import EncodedRows, Row, encode_rows, encoder, read_rows, split_rows
from hegelion_core.training.plan import BatchPlan
from hegelion_core.worker import Worker, main

if TYPE_CHECKING:
    from hegelion_core.training.checkpoint import Identity
    from hegelion_core.training.loop import Training
    from hegelion_core.training.loss import LossFunction
    from hegelion_core.training.trunk import Feeder

UNIMPORTANT = {
    "model",
    "adapter_path",
    "iters",
    "micro_batch_size",
    "grad_checkpoint",
    "report_every",
    "checkpoint_every",
}
"""Settings that do not change what a step does, but for rounding; the student is told apart by its files."""


@dataclass(frozen=True)
class Data:
    """The rows of a training, in token ids."""

    path: Path
    train: EncodedRows
    validation: EncodedRows


def work(worker: Worker) -> None:
    """Train as the job says.

    Raises:
        UserError: no usable rows or student, a loss that is not a number, or a file that cannot be written.
    """
    blas = prepare_mlx()
    _say(blas)
    # Only now, since these import mlx, which binds its matrix products when it is loaded.
    import mlx.core as mx

    from hegelion_core.models import loading
    from hegelion_core.training.adapter import write_adapter
    from hegelion_core.training.loop import Files, Surroundings, Training
    from hegelion_core.training.lora import add_lora, lora_weights
    from hegelion_core.training.loss import LossFunction
    from hegelion_core.training.step import Stepper

    settings = worker.settings.training
    path = worker.workspace.resolve(Path(worker.arguments.get("data") or worker.settings.conversion.output))
    rows = read_rows(path)  # before the student is loaded, which takes longer
    folder = loading.locate(settings.model, worker.workspace.models, worker.report_download)
    student = loading.load(folder)
    data = _encode(path, rows, student.tokenizer, settings)
    shape = add_lora(student.model, settings)
    student.model.eval()
    on_gpu = loading.compile_pays()
    loss = LossFunction(
        student.model,
        frozen_layers=len(student.model.layers) - shape.num_layers,
        packed=not on_gpu,
        grad_checkpoint=settings.grad_checkpoint,
    )
    student.model.train()
    training = Training(
        Stepper(student.model, loss, compiled=on_gpu, max_grad_norm=settings.max_grad_norm),
        loss,
        _feeder(data.train, loss, settings),
        _feeder(data.validation, loss, settings) if data.validation.rows else None,
        settings,
        Files(worker.run.checkpoints, worker.run.metrics),
        Surroundings(
            worker.report, _say, worker.stop_requested.is_set, _identity(settings, path, folder), _environment(blas)
        ),
    )
    training.resume()
    trainable = sum(tensor.size for tensor in lora_weights(student.model).values())
    _announce(worker, training, data, trainable, _device_name(mx.default_device() == mx.cpu))
    if not training.run():
        _say(f"Stopped at step {training.progress.step}; the same command goes on from there.")
        return
    adapter = worker.workspace.resolve(settings.adapter_path)
    write_adapter(adapter, lora_weights(student.model), shape, settings.model)
    _say("Training complete.")
    worker.report(
        events.TrainingFinished(steps=settings.iters, adapter_path=str(adapter), seconds=training.progress.seconds)
    )


def _feeder(rows: EncodedRows, loss: LossFunction, settings: TrainingSettings) -> Feeder:
    from hegelion_core.training.trunk import Feeder

    size, micro = settings.batch_size, settings.micro_batch_size
    return Feeder(BatchPlan(rows.rows, size, settings.seed, micro, packed=loss.packed), loss)


def _encode(path: Path, rows: list[Row], tokenizer: object, settings: TrainingSettings) -> Data:
    train, validation = split_rows(rows, settings.validation_share, settings.seed)
    encode = encoder(tokenizer)
    data = Data(
        path,
        encode_rows(train, encode, settings.max_seq_length),
        encode_rows(validation, encode, settings.max_seq_length),
    )
    if cut := data.train.cut + data.validation.cut:
        _say(
            f"{cut} of {len(rows)} rows are longer than {settings.max_seq_length} tokens and lost part of their"
            " beginning (--max_seq_length)."
        )
    if skipped := data.train.skipped + data.validation.skipped:
        _say(f"{skipped} of {len(rows)} rows have no supervised token and are left out.")
    if not data.train.rows:
        raise UserError(
            f"{path}: none of its {len(rows)} rows has a supervised token to train on.",
            "Convert the samples again, or check answer_start.",
            ExitCode.USAGE,
        )
    return data


def _device_name(processor: bool) -> str:
    if processor:
        return "on the processor"
    return "on Metal" if sys.platform == "darwin" else "on CUDA"


def _announce(worker: Worker, training: Training, data: Data, trainable: int, device: str) -> None:
    settings = worker.settings.training
    _say(
        f"{len(data.train.rows)} rows for training with {data.train.supervised} supervised tokens, "
        f"{len(data.validation.rows)} for validation; {trainable:,} LoRA weights; {settings.iters} steps."
    )
    if settings.lambda_init == 0:
        _say("SCU: λ is 0, so this is plain LoRA; S is measured, not held.")
    else:
        _say(
            f"SCU: S counts from the initial weights: 0 at the start, its floor; it grows as the adapter learns and "
            f"is held at {100 * settings.target_s:.2f}% by λ once it gets there. A run that is short, or slow for its "
            f"N = {training.tokens_per_epoch} tokens, may stay below."
        )
    worker.report(
        events.TrainingPlanned(
            iters=settings.iters,
            rows=len(data.train.rows),
            validation_rows=len(data.validation.rows),
            tokens_per_epoch=training.tokens_per_epoch,
            trainable=trainable,
            target_s=settings.target_s,
            device=device,
            start_step=training.progress.step,
        )
    )


def _identity(settings: TrainingSettings, data: Path, model: Path) -> Identity:
    from hegelion_core.training.checkpoint import Identity

    # Where the learning rate falls, the number of steps decides what each of them does.
    unimportant = UNIMPORTANT - (set() if settings.lr_schedule == "constant" else {"iters"})
    deciding = msgspec.json.encode(settings.model_dump(mode="json", exclude=unimportant), order="sorted")
    weights = sorted((file.name, file.stat().st_size) for file in model.glob("*.safetensors"))
    student = workspace.sha256(model / "config.json") + repr(weights)
    return Identity(
        settings=hashlib.sha256(deciding).hexdigest(),
        data=workspace.sha256(data),
        model=hashlib.sha256(student.encode()).hexdigest(),
    )


def _environment(blas: str) -> dict[str, str]:
    """What decides whether two machines compute the same bits; the number of threads does not."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return {
        "processor": found[1] if found else platform.processor() or platform.machine(),
        "mlx": importlib.metadata.version("mlx"),
        "mlx-lm": importlib.metadata.version("mlx-lm"),
        "blas": re.sub(r"threads: \d+", "", blas),
    }


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a worker's log


if __name__ == "__main__":
    main(work)
