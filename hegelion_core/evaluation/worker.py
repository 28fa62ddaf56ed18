"""The child process that evaluates: ``python -m hegelion_core.evaluation.worker <job file>``.

The base goes first, then the adapter is put on the same weights. What the base did is kept beside the result until
both are done, so that an evaluation that was ended goes on with the adapter.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from hegelion_core import workspace
from hegelion_core.conversion.rendering import ChatFormat, chatml, student_format
from hegelion_core.dialectic.prompts import STUDENT_SYSTEM
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.evaluation.summary import TRAINING_SETTINGS, Evaluation, Side, compare, finished, lines
from hegelion_core.events import EvaluationProgressed, NoticePosted
from hegelion_core.generation.sources import evaluation_prompts
from hegelion_core.models.blas import prepare_mlx
from hegelion_core.models.loading import LoadedModel, apply_adapter, check_adapter, find, load, locate
from hegelion_core.regular import read_regular
from hegelion_core.training.batching import EncodedRows, Row, encode_rows, encoder, read_rows, split_rows
from hegelion_core.training.plan import Batch, BatchPlan
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.worker import Worker, main


class _Partial(msgspec.Struct, frozen=True):
    """The base's side, and the hash of all that it depends on."""

    key: str
    base: Side


@dataclass(frozen=True)
class Examination:
    """What both models are asked."""

    worker: Worker
    held_out: EncodedRows
    prompts: list[str]
    """The questions."""
    format_: ChatFormat

    def take(self, loaded: LoadedModel, who: str) -> Side | None:
        """One model's side, or none if it was asked to stop. ``who`` is ``base`` or ``adapter``."""
        from hegelion_core.evaluation.answers import answer_prompts

        begun = time.monotonic()
        loaded.model.eval()  # the adapter's layers come in training mode, with dropout
        loss = self._loss(loaded, who)
        settings, stop = self.worker.settings.evaluation, self.worker.stop_requested.is_set
        if stop():
            return None

        def reached(tokens: int) -> None:
            if tokens < settings.max_new_tokens:  # the end is told below, wherever it is
                self._progress(f"{who} answers", tokens, settings.max_new_tokens, "tokens")

        answers = answer_prompts(
            loaded.model,
            loaded.tokenizer,
            [self.format_.prompt(STUDENT_SYSTEM, question) for question in self.prompts],
            opened=self.format_.opened,
            max_new_tokens=settings.max_new_tokens,
            seed=settings.seed,
            progress=reached,
            stop=stop,
        )
        if answers is None:
            return None
        self._progress(f"{who} answers", settings.max_new_tokens, settings.max_new_tokens, "tokens")
        seconds = time.monotonic() - begun
        tokens = sum(answer.tokens for answer in answers)
        _log(f"{who}: loss {'-' if loss is None else f'{loss:.3f}'}, {tokens} tokens of answers, {seconds:.1f} s.")
        return Side(loss_nats_per_token=loss, answers=tuple(answers), seconds=round(seconds, 3))

    def _loss(self, loaded: LoadedModel, who: str) -> float | None:
        from hegelion_core.training.loss import mean_loss

        if not self.held_out.rows:
            return None
        training = self.worker.settings.training
        plan = BatchPlan(self.held_out.rows, training.batch_size, training.seed)
        return mean_loss(loaded.model, self._counted(plan, f"{who} loss"))

    def _counted(self, plan: BatchPlan, what: str) -> Iterator[Batch]:
        for number, batch in enumerate(plan.every_row_once(), start=1):
            yield batch
            self._progress(what, number, plan.batches_per_epoch, "batches")

    def _progress(self, what: str, done: int, total: int, unit: Literal["batches", "tokens"]) -> None:
        self.worker.report(EvaluationProgressed(what=what, done=done, total=total, unit=unit))


def work(worker: Worker) -> None:
    """Evaluate base and adapter, write ``evaluation.json``, report ``EvaluationFinished``."""
    _log(prepare_mlx())
    settings, place = worker.settings, worker.workspace
    adapter = place.resolve(settings.training.adapter_path)
    _check_there(adapter)
    data = place.resolve(settings.conversion.output)
    held_out = _held_out_rows(worker, data)
    questions = [p.text for p in evaluation_prompts(settings.evaluation, place)][: settings.evaluation.answers]
    if len(questions) < settings.evaluation.answers:
        _log(f"There are only {len(questions)} held-out prompts, {settings.evaluation.answers} were asked for.")

    folder = locate(settings.training.model, place.models, worker.report_download)
    _check_fits(worker, folder, adapter)
    loaded = load(folder)
    examination = Examination(
        worker,
        encode_rows(held_out, encoder(loaded.tokenizer), settings.training.max_seq_length),
        questions,
        chatml() if settings.conversion.template == "chatml" else student_format(loaded.tokenizer, folder.name),
    )
    base = _base(examination, loaded, _key(worker, data, folder, questions))
    if base is None:
        return
    apply_adapter(loaded.model, adapter)
    if (other := examination.take(loaded, "adapter")) is None:
        return
    _finish(
        worker,
        compare(
            base,
            other,
            prompts=questions,
            student=settings.training.model,
            adapter_path=str(adapter),
            validation_rows=len(examination.held_out.rows),
            validation_tokens=examination.held_out.supervised,
            max_new_tokens=settings.evaluation.max_new_tokens,
        ),
    )


def _check_there(adapter: Path) -> None:
    if (adapter / "adapter_config.json").is_file() and (adapter / "adapters.safetensors").is_file():
        return
    hint = "Train first (hegelion-console train), or give the folder that training wrote (--adapter-path)."
    if (adapter / "adapter_model.safetensors").is_file():
        hint = "It is one in PEFT's form; give the folder that training wrote (--adapter-path)."
    raise UserError(f"{adapter}: holds no adapter.", hint, ExitCode.USAGE)


def _check_fits(worker: Worker, folder: Path, adapter: Path) -> None:
    """Find out before the base is evaluated, which takes long, whether the adapter is one of this model.

    Raises:
        UserError: it is not.
    """
    model = worker.settings.training.model
    trained_on = _trained_on(adapter)
    try:
        check_adapter(folder, adapter)
    except UserError as error:
        hint = f"It says that it was trained on {trained_on}: give that as --model." if trained_on else error.hint
        raise UserError(error.message, hint, error.exit_code) from None
    if trained_on not in ("", model) and not _is_model(trained_on, folder, worker.workspace.models):
        _notice(worker, f"The adapter says that it was trained on {trained_on}; it is compared with {model} here.")


def _is_model(name: str, folder: Path, models: Path) -> bool:
    """Whether a model of this name is the one in ``folder``."""
    with contextlib.suppress(UserError):
        found = find(name, models)
        return found is not None and found.resolve() == folder.resolve()
    return False


def _trained_on(adapter: Path) -> str:
    try:
        config = msgspec.json.decode(read_regular(adapter / "adapter_config.json"), type=dict[str, object])
    except (OSError, *UNREADABLE):
        return ""
    return str(config.get("model") or "")


def _held_out_rows(worker: Worker, data: Path) -> list[Row]:
    """The rows that training did not see; none where there is no file of training rows, which is said."""
    training = worker.settings.training
    if not data.exists():
        _notice(worker, f"{data}: there are no training rows, so no validation loss is measured.")
        return []
    return split_rows(read_rows(data), training.validation_share, training.seed)[1]


def _notice(worker: Worker, text: str) -> None:
    _log(text)
    worker.report(NoticePosted(text=text, level="warning"))


def _base(examination: Examination, loaded: LoadedModel, key: str) -> Side | None:
    path = _partial_path(examination.worker)
    if (kept := _read_partial(path)) is not None and kept.key == key:
        _log("The base was evaluated before; going on with the adapter.")
        return kept.base
    if (base := examination.take(loaded, "base")) is not None:
        workspace.replace(path, msgspec.json.encode(_Partial(key, base)))
    return base


def _read_partial(path: Path) -> _Partial | None:
    try:
        return msgspec.json.decode(read_regular(path), type=_Partial)
    except (OSError, *UNREADABLE):
        return None  # none, or damaged: the base is evaluated again


def _partial_path(worker: Worker) -> Path:
    return worker.run.path / "evaluation.base.json"


def _key(worker: Worker, data: Path, folder: Path, questions: list[str]) -> str:
    settings = worker.settings
    parts = [
        str(folder),
        workspace.sha256(data) if data.exists() else "",
        settings.training.model_dump_json(include=set(TRAINING_SETTINGS)),
        settings.evaluation.model_dump_json(),
        settings.conversion.template,
        STUDENT_SYSTEM,
        *questions,
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _finish(worker: Worker, evaluation: Evaluation) -> None:
    path = worker.run.evaluation
    workspace.replace(path, msgspec.json.format(msgspec.json.encode(evaluation), indent=2) + b"\n")
    _partial_path(worker).unlink(missing_ok=True)
    event = finished(evaluation, str(path))
    for line in lines(event):
        _log(line)
    worker.report(event)


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a worker's log


if __name__ == "__main__":
    main(work)
