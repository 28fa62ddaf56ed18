"""What a report tells: everything that was read of a run, before it becomes a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hegelion_core.curves import Curve, Curves
from hegelion_core.evaluation.summary import Evaluation
from hegelion_core.run_state import RunState


@dataclass(frozen=True)
class Example:
    """An accepted sample, its parts apart."""

    prompt: str
    thesis: str
    antithesis: str
    synthesis: str
    answer: str
    origin: str
    """Who wrote it, where that is known."""


@dataclass(frozen=True)
class Setting:
    """A setting of the run: its name ``section.name``, its value, and what it means where that is known."""

    name: str
    value: str
    meaning: str
    changed: bool
    """Whether the value is another than the default."""


@dataclass
class History:
    """What a run's events tell beside its state. Times are in seconds since the epoch."""

    state: RunState
    began: float = 0.0
    version: str = ""
    """Of the program that opened the run last."""
    made: int = 0
    """Samples that this run's teacher wrote and that were accepted."""
    accepted: Curve = field(default_factory=Curve)
    """Accepted samples in the file by seconds of generation; waits for a quota and pauses between openings left out."""
    rejected: Curve = field(default_factory=Curve)
    """Answers that this run rejected, likewise."""


@dataclass(frozen=True)
class Report:
    """Everything on the page."""

    history: History
    written_at: float
    at_work: bool
    """Whether a core works on the run as this is written."""
    root: Path
    """The workspace; paths below it are shown without it."""
    curves: Curves = field(default_factory=Curves)
    examples: tuple[Example, ...] = ()
    evaluation: Evaluation | None = None
    settings: tuple[Setting, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def state(self) -> RunState:
        return self.history.state
