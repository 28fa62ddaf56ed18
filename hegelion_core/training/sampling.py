"""Sample answers while training: what the student says to a few held-out prompts, as the adapter is at that step."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from mlx.nn.layers.base import Module
from mlx_lm.tokenizer_utils import TokenizerWrapper

from hegelion_core import workspace
from hegelion_core.evaluation.answers import answer_prompts
from hegelion_core.evaluation.traces import holds_complete_trace
from hegelion_core.events import Event, TrainingSampleWritten
from hegelion_core.settings import TrainingSettings
from hegelion_core.training import checkpoint
from hegelion_core.training.batching import Row
from hegelion_core.unreadable import UNREADABLE

SHOWN = 300
"""Characters of an answer that the log and the event show; the file holds all."""


class TrainingSample(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``training_samples.jsonl``."""

    step: int
    row: str
    """Id of the held-out row whose prompt it is."""
    prompt: str
    answer: str
    tokens: int
    cut: bool
    """Whether it was cut at the limit of tokens."""
    complete_trace: bool


def prompts_of(rows: Sequence[Row], count: int) -> list[Row]:
    """The first ``count`` rows with prompts of their own; a row that is supervised from its beginning has none."""
    found: dict[str, Row] = {}
    for row in rows:
        if row.answer_start:
            found.setdefault(row.text[: row.answer_start], row)
    return list(found.values())[:count]


class Sampler:
    """Asks the model; its weights and the random state are afterwards as they were."""

    def __init__(
        self,
        model: Module,
        tokenizer: TokenizerWrapper,
        rows: Sequence[Row],
        settings: TrainingSettings,
        path: Path,
        say: Callable[[str], None],
        report: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> None:
        """``rows`` are those whose prompts are asked; ``path`` is the file of the answers."""
        self._model, self._tokenizer, self._rows, self._settings = model, tokenizer, rows, settings
        self._path, self._say, self._report, self._stop = path, say, report, stop

    def cut_back(self, step: int) -> None:
        """Drop the lines after ``step``, and any that a kill left torn."""
        if self._path.exists():
            kept = [sample for sample in self._read() if sample.step <= step]
            workspace.replace(self._path, b"".join(msgspec.json.encode(sample) + b"\n" for sample in kept))

    def write(self, step: int) -> None:
        """Append greedy answers to every prompt, unless those of this step are there; none if asked to stop."""
        if step in {sample.step for sample in self._read()}:
            return
        training, key = self._model.training, checkpoint.random_key()
        self._model.eval()
        prompts = [row.text[: row.answer_start] for row in self._rows]
        answers = answer_prompts(
            self._model,
            self._tokenizer,
            prompts,
            opened="",
            max_new_tokens=self._settings.sample_tokens,
            seed=0,
            progress=lambda _: None,
            stop=self._stop,
            temperature=0.0,
        )
        self._model.train(training)
        checkpoint.restore_random_key(key)
        if answers is None:
            return
        samples = [
            TrainingSample(
                step=step,
                row=row.id,
                prompt=prompt,
                answer=answer.text,
                tokens=answer.tokens,
                cut=answer.cut,
                complete_trace=answer.complete_trace or _completes(prompt, answer.text),
            )
            for row, prompt, answer in zip(self._rows, prompts, answers, strict=True)
        ]
        workspace.append(self._path, b"".join(msgspec.json.encode(sample) + b"\n" for sample in samples))
        for sample in samples:
            self._tell(sample)

    def _tell(self, sample: TrainingSample) -> None:
        shown = " ".join(sample.answer.split())[:SHOWN]
        self._say(f"Sample at step {sample.step} (row {sample.row}): {shown}")
        self._report(
            TrainingSampleWritten(step=sample.step, row=sample.row, answer=shown, complete_trace=sample.complete_trace)
        )

    def _read(self) -> list[TrainingSample]:
        found: list[TrainingSample] = []
        for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
            try:
                found.append(msgspec.json.decode(line, type=TrainingSample))
            except (*UNREADABLE, ValueError):
                continue
        return found


def _completes(prompt: str, answer: str) -> bool:
    """Where the prompt's own end opens the block that the trace stands in."""
    opened = re.search(r"<think>\s*$", prompt)
    return opened is not None and holds_complete_trace(opened[0] + answer)
