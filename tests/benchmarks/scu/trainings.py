"""Trainings of the product itself, one after the other, and what they measured; a finished one is not done again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hegelion_core import events, workspace
from hegelion_core.settings import Settings
from hegelion_core.training.metrics import StepMetrics
from hegelion_core.worker import Job, Worker
from tests.benchmarks.scu.rows import Entry


class Curve(msgspec.Struct, frozen=True):
    """What is kept of a finished training."""

    settings: dict[str, object]
    steps: list[StepMetrics]
    validation: list[tuple[int, float]]
    """Step and nats per token; step 0 is before the training."""
    words: list[str]
    """What the training said, but for its steps."""

    @property
    def best_validation(self) -> tuple[int, float]:
        """Step and loss of the least validation loss: what early stopping would have kept."""
        return min(self.validation, key=lambda point: point[1])


@dataclass(frozen=True)
class Plan:
    """One training."""

    name: str
    """Of its result file."""
    rows: Sequence[Entry]
    settings: Mapping[str, object] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Another plan under the same name is not taken for this one."""
        content = [[entry.row() for entry in self.rows], dict(sorted(self.settings.items()))]
        return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:8]


def result_path(folder: Path, plan: Plan) -> Path:
    """Where a plan's curve is, or will be."""
    return folder / "results" / f"{plan.name}-{plan.fingerprint()}.json"


def result(folder: Path, plan: Plan) -> Curve | None:
    """The curve of a plan that is done."""
    path = result_path(folder, plan)
    return msgspec.json.decode(path.read_bytes(), type=Curve) if path.exists() else None


def train(folder: Path, plan: Plan) -> Curve:
    """Do a training, unless it is done; one that was interrupted goes on at its last checkpoint."""
    if done := result(folder, plan):
        return done
    run = folder / "runs" / f"{plan.name}-{plan.fingerprint()}"
    run.mkdir(parents=True, exist_ok=True)
    data = run / "rows.jsonl"
    workspace.replace(data, "".join(json.dumps(entry.row()) + "\n" for entry in plan.rows).encode())
    settings = Settings.model_validate({"training": {**plan.settings, "adapter_path": str(run / "adapter")}})
    job = Job(
        root=str(folder),
        demo=False,
        run=str(run),
        reports=str(run / "reports.jsonl"),
        settings=settings.model_dump(mode="json"),
        arguments={"data": str(data)},
    )
    from hegelion_core.training import worker

    with (run / "train.log").open("a") as log, contextlib.redirect_stdout(log):
        worker.work(Worker(job))
    curve = _read(run, plan)
    result_path(folder, plan).parent.mkdir(exist_ok=True)
    workspace.replace(result_path(folder, plan), msgspec.json.encode(curve))
    shutil.rmtree(run)
    return curve


def _read(run: Path, plan: Plan) -> Curve:
    steps = [msgspec.json.decode(line, type=StepMetrics) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    reports = map(events.decode, (run / "reports.jsonl").read_bytes().splitlines())
    losses = {event.step: event.loss for event in reports if isinstance(event, events.ValidationReported)}
    words = [line for line in (run / "train.log").read_text().splitlines() if not line.startswith(("Step", "Valid"))]
    settings = json.loads(json.dumps(dict(plan.settings), default=str))
    return Curve(settings, steps, sorted(losses.items()), words)
