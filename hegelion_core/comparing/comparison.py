"""The process that answers with base and adapter: ``python -m hegelion_core.comparing.comparison <job file>``.

It loads the student once. The adapter lies on a second model over the same weights, and is read anew when its files
have changed.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from hegelion_core.comparing import exchange
from hegelion_core.comparing.exchange import AnyLine, Failed, Loading, Question
from hegelion_core.conversion.rendering import ChatFormat, load_format
from hegelion_core.dialectic.prompts import STUDENT_SYSTEM
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models import blas, loading
from hegelion_core.settings import BUNDLED
from hegelion_core.worker import Worker, main

LOOK_EVERY = 0.1
"""Seconds between looks for a question while there is none."""

Stamp = tuple[tuple[int, int], ...]


@dataclass
class Students:
    """Base and adapter in memory, loaded when they are needed."""

    worker: Worker
    base: loading.LoadedModel | None = None
    format_: ChatFormat | None = None
    adapted: loading.LoadedModel | None = None
    stamp: Stamp = ()
    """Of the adapter that is loaded."""

    def current(self) -> bool:
        """Whether what is loaded is what lies on the disk."""
        return self.adapted is not None and self.stamp == _stamp(self._adapter)

    def load(self) -> None:
        """Read what is not in memory yet.

        Raises:
            UserError: student or adapter are not there, or do not fit.
        """
        if self.base is None:
            self._load_base()
        if self.base is not None and not self.current():
            begun, self.adapted, stamp = time.monotonic(), None, _stamp(self._adapter)
            adapted = loading.twin(self.base)
            loading.apply_adapter(adapted.model, self._adapter)
            self.adapted, self.stamp = adapted, stamp
            _log(f"The adapter {self._adapter} is ready after {time.monotonic() - begun:.1f} s.")

    def answer(self, question: Question, folder: Path, number: int) -> None:
        """Answer a question with both; they must be loaded."""
        from hegelion_core.comparing.answering import answer_both

        assert self.base is not None and self.adapted is not None and self.format_ is not None  # noqa: S101, PT018
        settings, stopped = self.worker.settings.evaluation, exchange.place(folder, number) / exchange.STOP
        tokenizer = self.base.tokenizer
        prompt = tokenizer.encode(self.format_.prompt(STUDENT_SYSTEM, question.text), add_special_tokens=False)
        _check_length(len(prompt), question.max_new_tokens, self.base.config.get("max_position_embeddings"))
        begun = time.monotonic()
        answer_both(
            {"base": self.base.model, "adapter": self.adapted.model},
            tokenizer,
            prompt,
            opened=self.format_.opened,
            max_new_tokens=question.max_new_tokens,
            temperature=question.temperature,
            seed=settings.seed,
            tell=lambda line: exchange.write_line(folder, number, line),
            stop=lambda: stopped.exists() or self.worker.stop_requested.is_set(),
        )
        _log(f"Question {number}: {len(prompt)} tokens, answered in {time.monotonic() - begun:.1f} s.")

    @property
    def _adapter(self) -> Path:
        return self.worker.workspace.resolve(self.worker.settings.training.adapter_path)

    def _load_base(self) -> None:
        _log(blas.prepare_mlx())
        begun = time.monotonic()
        folder = _find(self.worker.settings.training.model, self.worker.workspace.models)
        self.format_ = load_format(folder, self.worker.settings.conversion.template)
        base = loading.load(folder)
        base.model.eval()
        self.base = base
        _log(f"{folder.name} is ready after {time.monotonic() - begun:.1f} s.")


def work(worker: Worker) -> None:
    """Answer questions until stopped, until none has come for long, or until the core is gone."""
    parent = os.getppid()
    folder, idle_seconds = Path(worker.arguments["questions"]), float(worker.arguments["idle_seconds"])
    students, last, idle_since = Students(worker), 0, time.monotonic()
    while not worker.stop_requested.is_set() and os.getppid() == parent:
        waiting = exchange.numbers(folder, last)
        for number in waiting:
            last = number
            _answer(students, folder, number)
            idle_since = time.monotonic()
        if not waiting:
            if time.monotonic() - idle_since > idle_seconds:
                _log(f"No question for {idle_seconds:.0f} s: student and adapter leave the memory.")
                return
            worker.stop_requested.wait(LOOK_EVERY)


def _answer(students: Students, folder: Path, number: int) -> None:
    """Answer a question, unless that was done, and tell what stands against it."""
    if (exchange.place(folder, number) / exchange.ANSWERS).exists():
        return
    if (question := exchange.read_question(folder, number)) is None:
        return

    def tell(line: AnyLine) -> None:
        exchange.write_line(folder, number, line)

    try:
        if not students.current():
            tell(Loading())
            students.load()
        students.answer(question, folder, number)
    except UserError as error:
        _log(str(error))
        tell(Failed(message=error.message, hint=error.hint))


def _find(model: str, models: Path) -> Path:
    """The student's folder. Nothing is downloaded for a question."""
    if (found := loading.find(model, models)) is not None:
        return found
    if model == BUNDLED:
        return loading.locate(model, models)
    raise UserError(
        f"{model}: the student is not on this machine.", "Evaluate once: that fetches it.", ExitCode.NOT_READY
    )


def _check_length(prompt: int, answer: int, context: object) -> None:
    if isinstance(context, int) and prompt + answer > context:
        raise UserError(
            f"The question has {prompt:,} tokens and an answer up to {answer:,}; the student's context is {context:,}.",
            "Shorten the question, or lower evaluation.max_new_tokens.",
            ExitCode.USAGE,
        )


def _stamp(adapter: Path) -> Stamp:
    """What differs when an adapter was written anew; empty if there is none."""
    try:
        found = [(adapter / name).stat() for name in ("adapters.safetensors", "adapter_config.json")]
    except OSError:
        return ()
    return tuple((status.st_mtime_ns, status.st_ino) for status in found)


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a worker's log


if __name__ == "__main__":
    main(work)
