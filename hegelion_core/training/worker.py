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
from hegelion_core.conversion.lengths import first_of
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models.blas import prepare_mlx
from hegelion_core.settings import TrainingSettings
from hegelion_core.training.batching import EncodedRows, Row, encode_rows, encoder, read_rows, split_rows
from hegelion_core.training.distributed.share import processes_here, rows_at_a_time
from hegelion_core.training.plan import BatchPlan
from hegelion_core.training.tracking import Tracking
from hegelion_core.worker import Worker, main

if TYPE_CHECKING:
    from hegelion_core.models.loading import LoadedModel
    from hegelion_core.training.checkpoint import Identity
    from hegelion_core.training.distributed.group import Group
    from hegelion_core.training.loop import Training
    from hegelion_core.training.loss import LossFunction
    from hegelion_core.training.sampling import Sampler
    from hegelion_core.training.scu.reachability import Reach
    from hegelion_core.training.trunk import Feeder

UNIMPORTANT = {
    *("model", "adapter_path", "iters", "report_every", "checkpoint_every", "validate_every", "keep", "patience"),
    *("sample_every", "sample_prompts", "sample_tokens", "memory_limit", "allow_shorter", "auto_stop"),
    *("track", "processes", "hosts", "hostfile", "backend", "port"),
    *("micro_batch_size", "grad_checkpoint", "max_seq_length"),
}
"""Settings that a checkpoint does not have to share: they do not change what a step does, and the student is told apart
by its files. The last three do: by rounding, and by what is left of long rows. They are changed in the middle of a run
only where memory ran out, and that is said."""


@dataclass(frozen=True)
class Data:
    """The rows of a training, in token ids."""

    path: Path
    train: EncodedRows
    validation: EncodedRows
    held_out: list[Row]
    """The rows of ``validation``, as they are in the file."""

    def unfit(self, limit: int) -> list[str]:
        """What was cut at ``limit`` tokens or left out: how many rows, the first ones, and what to do."""
        both = (self.train, self.validation)
        cut = sorted(line for encoded in both for line in encoded.cut)
        skipped = sorted(line for encoded in both for line in encoded.skipped)
        count = sum(len(encoded.rows) for encoded in both) + len(skipped)
        said = []
        if cut:
            answers = sum(encoded.answers_cut for encoded in both)
            longest = max(encoded.longest for encoded in both)
            said.append(
                f"{len(cut)} of {count} rows are longer than {limit} tokens ({first_of(cut)}): they lose their"
                f" beginning{f', {answers} of them part of the answer' if answers else ''}."
                f" If memory allows: --max-seq-length {longest}."
            )
        if skipped:
            said.append(
                f"{len(skipped)} of {count} rows have no supervised token ({first_of(skipped)}) and are left out:"
                " see their answer_start, or convert the samples again."
            )
        return said


def work(worker: Worker) -> None:
    """Train as the job says.

    Raises:
        UserError: no usable rows or student, a loss that is not a number, or a file that cannot be written.
    """
    blas = prepare_mlx(processes_here())
    # Only now, since it imports mlx, which binds its matrix products when it is loaded.
    from hegelion_core.training import memory
    from hegelion_core.training.distributed.group import join

    group = join()
    if group.rank > 0:
        worker.be_quiet()
    _say(blas)
    try:
        _train(worker, blas, group)
        group.sum([])  # they end together
    except (MemoryError, RuntimeError) as error:
        if not memory.ran_out(error):
            raise
        detail = (str(error).strip().splitlines() or ["an allocation failed"])[0]
        _say(f"Out of memory: {detail}.")
        worker.report(events.MemoryExhausted(detail=detail))
        sys.exit(ExitCode.FAILED)


def _train(worker: Worker, blas: str, group: Group) -> None:
    import mlx.core as mx

    from hegelion_core.models import loading
    from hegelion_core.training import finish, memory
    from hegelion_core.training.adapter import write_adapter
    from hegelion_core.training.loop import Files, NotFinite, Surroundings, Training
    from hegelion_core.training.lora import add_lora, lora_weights
    from hegelion_core.training.loss import LossFunction
    from hegelion_core.training.step import Stepper

    settings, run = worker.settings.training, worker.run
    writes = group.rank == 0
    if writes:
        workspace.sweep(run.path)
    tracking = Tracking(run, settings, _say) if writes else None
    path = worker.workspace.resolve(Path(worker.arguments.get("data") or worker.settings.conversion.output))
    rows = read_rows(path)  # before the student is loaded, which takes longer
    limit = memory.apply_limit(settings.memory_limit, processes_here())
    folder = _locate(worker, group)
    student = loading.load(folder)
    data = encode_data(path, rows, student.tokenizer, settings)
    for said in data.unfit(settings.max_seq_length):
        _say(said)
        worker.report(events.NoticePosted(text=said, level="warning"))
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
        Stepper(
            student.model,
            loss,
            compiled=on_gpu,
            max_grad_norm=settings.max_grad_norm,
            to_zero=settings.counts_from_zero,
            group=group,
        ),
        loss,
        _feeder(data.train, loss, settings, group),
        _feeder(data.validation, loss, settings, group) if data.validation.rows else None,
        settings,
        Files(run.checkpoints, run.metrics, run.save_request),
        Surroundings(
            report=tracking.after(worker.report) if tracking else worker.report,
            say=_say,
            stop_requested=group.agree(worker.stop_requested.is_set),
            watch_memory=memory.Watch(run.path, limit, _say, worker.report),
            identity=identify(settings, path, folder),
            environment=_environment(blas, settings, group.size),
            group=group,
        ),
        _sampler(worker, student, data) if writes else None,
    )
    training.resume()
    trainable = sum(tensor.size for tensor in lora_weights(student.model).values())
    _announce(worker, training, data, trainable, device_name(mx.default_device() == mx.cpu))
    adapter = worker.workspace.resolve(settings.adapter_path)
    if writes and (said := finish.announce_replacement(adapter, run)):
        _say(said)
        worker.report(events.NoticePosted(text=said))
    try:
        done = training.run()
    except NotFinite as error:
        if not writes:
            sys.exit(ExitCode.FAILED)
        if training.progress.best is not None:
            write_adapter(run.best_adapter, training.progress.best, shape, settings.model)
        raise finish.explain_not_finite(error, training, data.train.rows, rows, path, run) from None
    finally:
        if tracking:
            tracking.close()
    _tell_end(training, done=done, patience=settings.patience)
    if not done or not writes:
        return
    finished = finish.finish(training, adapter, shape, settings.model, run)
    _say(finish.words(training, finished))
    _say("Training complete.")
    worker.report(finished)


def _tell_end(training: Training, *, done: bool, patience: int) -> None:
    """Why it ended before the last step, if it did."""
    step = training.progress.step
    if not done:
        _say(f"Stopped at step {step}; the same command goes on from there.")
        return
    if training.out_of_patience:
        _say(f"Validation has not improved {patience} times in a row: stopped at step {step}.")
    if reason := training.stops_by_itself:
        _say(f"Automatic stop at step {step}: {reason}.")


def _sampler(worker: Worker, student: LoadedModel, data: Data) -> Sampler | None:
    from hegelion_core.training.sampling import Sampler, prompts_of

    settings = worker.settings.training
    if not 0 < settings.sample_every <= settings.iters:
        return None
    rows = prompts_of(data.held_out, settings.sample_prompts)
    if not rows:
        _say("No sample answers while training: no held-out row has a prompt (text before answer_start).")
        return None
    return Sampler(
        student.model,
        student.tokenizer,
        rows,
        settings,
        worker.run.training_samples,
        _say,
        worker.report,
        worker.stop_requested.is_set,
    )


def _locate(worker: Worker, group: Group) -> Path:
    """The student's folder; the first process of a group looks, and downloads, before the others."""
    from hegelion_core.models import loading

    if group.rank > 0:
        group.wait()
    folder = loading.locate(worker.settings.training.model, worker.workspace.models, worker.report_download)
    if group.rank == 0:
        group.wait()
    return folder


def _feeder(rows: EncodedRows, loss: LossFunction, settings: TrainingSettings, group: Group) -> Feeder:
    from hegelion_core.training.trunk import Feeder

    size, micro = settings.batch_size, rows_at_a_time(settings.batch_size, settings.micro_batch_size, group.size)
    plan = BatchPlan(rows.rows, size, settings.seed, micro, packed=loss.packed)
    return Feeder(plan, loss, group.rank, group.size)


def encode_data(path: Path, rows: list[Row], tokenizer: object, settings: TrainingSettings) -> Data:
    """Split and encode the rows.

    Raises:
        UserError: none of them has anything to learn.
    """
    train, validation = split_rows(rows, settings.validation_share, settings.seed)
    encode = encoder(tokenizer)
    data = Data(
        path,
        encode_rows(train, encode, settings.max_seq_length),
        encode_rows(validation, encode, settings.max_seq_length),
        validation,
    )
    if settings.validation_share > 0 and not validation:
        _say("All rows have one prompt: none is held out, so there is no validation, and the last weights are kept.")
    if not data.train.rows:
        raise UserError(
            f"{path}: none of its {len(rows)} rows has a supervised token to train on.",
            "Convert the samples again, or check answer_start.",
            ExitCode.USAGE,
        )
    return data


def device_name(processor: bool) -> str:
    """Where MLX computes, in words."""
    if processor:
        return "on the processor"
    return "on Metal" if sys.platform == "darwin" else "on CUDA"


def _announce(worker: Worker, training: Training, data: Data, trainable: int, device: str) -> None:
    settings = worker.settings.training
    _say(
        f"{len(data.train.rows)} rows for training with {data.train.supervised} supervised tokens, "
        f"{len(data.validation.rows)} for validation; {trainable:,} LoRA weights; {settings.iters} steps."
    )
    foreseen = _foresee(training, settings)
    if settings.auto_stop and (settings.lambda_init == 0 or not data.validation.rows):
        _say("Automatic stopping (--auto-stop) needs a λ that is controlled and rows for validation: it will not act.")
    worker.report(
        events.TrainingPlanned(
            iters=settings.iters,
            rows=len(data.train.rows),
            validation_rows=len(data.validation.rows),
            tokens_per_epoch=training.prior.tokens_per_epoch,
            trainable=trainable,
            target_s=settings.target_s,
            device=device,
            start_step=training.progress.step,
            floor_s=foreseen.floor if foreseen else None,
            expected_s=foreseen.expected if foreseen else None,
            ceiling_s=foreseen.ceiling if foreseen else None,
        )
    )


def _foresee(training: Training, settings: TrainingSettings) -> Reach | None:
    """Say what S can be reached and what SCU will do about its target; nothing new to say after the first step."""
    from hegelion_core.training.scu import reachability

    if training.progress.step > 0:
        return None
    start, reached = training.reach()
    if settings.lambda_init == 0 or settings.scu_update_freq > settings.iters:
        _say(reachability.uncontrolled_statement(reached, settings.lambda_init))
        return reached
    _say(
        reachability.statement(
            start,
            reached,
            update_every=settings.scu_update_freq,
            bounds=training.law.lambda_bounds,
            published=settings.scu_law == "published",
        )
    )
    return reached


def identify(settings: TrainingSettings, data: Path, model: Path) -> Identity:
    """What a checkpoint is valid for."""
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


def _environment(blas: str, settings: TrainingSettings, processes: int) -> dict[str, str]:
    """What decides whether two machines compute the same bits; the number of threads does not."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return {
        "processor": found[1] if found else platform.processor() or platform.machine(),
        "mlx": importlib.metadata.version("mlx"),
        "mlx-lm": importlib.metadata.version("mlx-lm"),
        "BLAS": re.sub(r"threads: \d+", "", blas),
        "processes": str(processes),
        "rows at a time": str(settings.micro_batch_size or settings.batch_size),
        "length of rows": str(settings.max_seq_length),
    }


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a worker's log


if __name__ == "__main__":
    main(work)
