"""The standard trainer's child process: ``python -m hegelion_core.training.standard.worker <job file>``.

Reads the same rows, reports the same events and writes the same adapter as the SCU trainer; the training itself is
mlx-lm's. First the rows are written for ``mlx_lm.lora`` run by hand, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import msgspec

from hegelion_core import events, workspace
from hegelion_core.errors import explain
from hegelion_core.models.blas import prepare_mlx
from hegelion_core.training.batching import read_rows, split_rows
from hegelion_core.training.standard import data as mlx_data
from hegelion_core.training.tracking import Tracking
from hegelion_core.training.worker import Data, device_name, encode_data, identify
from hegelion_core.worker import Worker, main

if TYPE_CHECKING:
    from hegelion_core.training.standard.trainer import StandardTraining


@dataclass(frozen=True)
class _Listener:
    worker: Worker
    log: TextIO
    """Standard output as it was: mlx-lm's own lines are led away from it."""
    report: Callable[[events.Event], None]

    def say(self, line: str) -> None:
        print(line, file=self.log, flush=True)

    def stop_requested(self) -> bool:
        return self.worker.stop_requested.is_set()


def work(worker: Worker) -> None:
    """Train as the job says, with mlx-lm's own trainer.

    Raises:
        UserError: no usable rows or student, a loss that is not a number, or a file that cannot be written.
    """
    log = sys.stdout
    tracking = Tracking(worker.run, worker.settings.training, lambda line: print(line, file=log, flush=True))
    listener = _Listener(worker, log, tracking.after(worker.report))
    listener.say(prepare_mlx())
    # Only now, since these import mlx, which binds its matrix products when it is loaded.
    import mlx.core as mx

    from hegelion_core.models import loading
    from hegelion_core.training import finish, memory
    from hegelion_core.training.lora import add_lora, lora_weights
    from hegelion_core.training.standard.trainer import Files, StandardTraining, items

    settings = worker.settings.training
    workspace.sweep(worker.run.path)
    path = worker.workspace.resolve(Path(worker.arguments.get("data") or worker.settings.conversion.output))
    rows = read_rows(path)
    memory.apply_limit(settings.memory_limit)
    folder = loading.locate(settings.model, worker.workspace.models, worker.report_download)
    student = loading.load(folder)
    data = encode_data(path, rows, student.tokenizer, settings)
    for said in data.unfit(settings.max_seq_length):
        listener.say(said)
        worker.report(events.NoticePosted(text=said, level="warning"))
    shape = add_lora(student.model, settings)
    training = StandardTraining(
        student.model,
        items(data.train.rows),
        items(data.validation.rows),
        settings,
        msgspec.json.encode(identify(settings, path, folder)).decode(),
        Files(worker.run.checkpoints / "standard.safetensors", worker.run.metrics),
        listener,
    )
    place = worker.workspace.artifacts / "data" / "mlx"
    train_rows, valid_rows = split_rows(rows, settings.validation_share, settings.seed)
    try:
        prepared = mlx_data.prepare(place, train_rows, valid_rows, student.tokenizer, settings.max_seq_length)
        by_hand = worker.workspace.artifacts / "adapters" / "mlx_lm"
        # mlx-lm ends in an error where the validation rows do not fill one batch.
        batch_size = min(training.batch_size, prepared.train, prepared.valid or prepared.train)
        mlx_data.write_config(place, by_hand, settings, folder, max(1, batch_size), shape)
    except OSError as error:
        raise explain(error) from None
    for said in mlx_data.words(prepared, place):
        listener.say(said)
    if said := mlx_data.left_out(prepared, place, settings.max_seq_length):
        listener.say(said)
        worker.report(events.NoticePosted(text=said, level="warning"))
    training.resume()
    trainable = sum(tensor.size for tensor in lora_weights(student.model).values())
    _announce(listener, training, data, trainable, device_name(mx.default_device() == mx.cpu))
    adapter = worker.workspace.resolve(settings.adapter_path)
    if said := finish.announce_replacement(adapter, worker.run):
        listener.say(said)
        worker.report(events.NoticePosted(text=said))
    try:
        finished = training.run()
    finally:
        tracking.close()
    if not finished:
        listener.say(
            f"Stopped at step {training.progress.step}; the same command goes on with the weights of that step."
        )
        return
    finish.put_in_place(lora_weights(student.model), adapter, shape, settings.model, worker.run)
    listener.say("Training complete.")
    worker.report(
        events.TrainingFinished(
            steps=settings.iters,
            adapter_path=str(adapter),
            seconds=training.progress.seconds,
            kept_step=settings.iters,
        )
    )


def _announce(listener: _Listener, training: StandardTraining, data: Data, trainable: int, device: str) -> None:
    settings, size = listener.worker.settings.training, training.batch_size
    listener.say(
        f"{len(data.train.rows)} rows for training with {data.train.supervised} supervised tokens, "
        f"{len(data.validation.rows)} for validation; {trainable:,} LoRA weights; {settings.iters} steps."
    )
    listener.say(
        "Standard trainer: mlx-lm's own loop with Adam at a constant learning rate, without SCU (S is measured, not "
        "held), warm-up or clipping. The prompt is masked. What cannot be helped there: one pad token of each padded "
        "row counts in the loss, the last weights are kept and not the best, and a resume has the weights alone."
    )
    if size < settings.batch_size:
        listener.say(f"The batch size is {size}, since there are no more rows: mlx-lm needs a whole batch.")
    if left_out := len(data.train.rows) % size:
        listener.say(f"mlx-lm never sees the {left_out} longest rows, which do not fill a batch of {size}.")
    listener.report(
        events.TrainingPlanned(
            iters=settings.iters,
            rows=len(data.train.rows),
            validation_rows=len(data.validation.rows),
            tokens_per_epoch=training.prior.tokens_per_epoch,
            trainable=trainable,
            target_s=0.0,
            device=device,
            start_step=training.progress.step,
        )
    )


if __name__ == "__main__":
    main(work)
