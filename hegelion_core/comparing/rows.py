"""What base and adapter of a run said: to questions that people asked, and to the evaluation's prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from hegelion_core.comparing import exchange
from hegelion_core.comparing.exchange import Exchange, Exchanges, Failed, Progress, Question, Side
from hegelion_core.evaluation.summary import Evaluation, GivenAnswer, PromptResult
from hegelion_core.regular import read_regular
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import RunFolder


@dataclass(frozen=True)
class Row:
    """A question and both answers to it."""

    origin: Literal["asked", "evaluation"]
    number: int
    """Of its origin, from 1."""
    prompt: str
    base: Side
    adapter: Side
    progress: Progress = "ended"
    question: Question | None = None
    """None: it comes from the evaluation."""
    failed: Failed | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What it is known by while it grows."""
        return self.origin, self.number


class Rows:
    """Read from the run's files as they grow; the newest question first, the evaluation's prompts behind."""

    def __init__(self, run: RunFolder, adapter: Path) -> None:
        self._path = run.evaluation
        self._adapter = adapter / "adapter_config.json"
        self._exchanges = Exchanges(exchange.folder_of(run))
        self._seen: tuple[int, int] | None = None
        self.evaluation: Evaluation | None = None
        self.adapter_there = False

    def refresh(self) -> bool:
        """Read what is new; whether anything was."""
        there, before = self._adapter.is_file(), self.adapter_there
        self.adapter_there = there
        changed = [self._exchanges.refresh(), self._read_evaluation(), there != before]
        return any(changed)

    def all(self) -> list[Row]:
        """Everything that can be read."""
        results = self.evaluation.results if self.evaluation is not None else ()
        return [*map(_asked, self._exchanges.all()), *(_given(i, each) for i, each in enumerate(results, start=1))]

    def _read_evaluation(self) -> bool:
        try:
            status = self._path.stat()
            if (seen := (status.st_mtime_ns, status.st_ino)) == self._seen:
                return False
            self._seen = seen
            self.evaluation = msgspec.json.decode(read_regular(self._path), type=Evaluation)
        except (OSError, *UNREADABLE):
            return False  # there is none, or one of another version
        return True


def _asked(found: Exchange) -> Row:
    return Row(
        "asked",
        found.number,
        found.question.text,
        found.base,
        found.adapter,
        found.progress,
        found.question,
        found.failed,
    )


def _given(number: int, result: PromptResult) -> Row:
    return Row("evaluation", number, result.prompt, _side(result.base), _side(result.adapter))


def _side(answer: GivenAnswer) -> Side:
    return Side(
        text=answer.text,
        tokens=answer.tokens,
        ending="cut" if answer.cut else "end",
        complete_trace=answer.complete_trace,
    )
