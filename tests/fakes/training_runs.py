"""Trainings of a tiny student as a user starts them, with rows of their own, and what they leave."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hegelion_core import events
from hegelion_core.settings import Settings
from hegelion_core.training import worker
from hegelion_core.worker import Job, Worker
from hegelion_core.workspace import RunFolder, sha256

WALL_TIME = {"seconds"}
"""The fields of metrics and of a checkpoint's state that tell how long something took; all others repeat exactly."""


def write_rows(path: Path, count: int = 9, length: int = 4) -> Path:
    """Rows with prompts of their own and answers of different lengths, up to ``length`` sentences."""
    lines = []
    for number in range(count):
        prompt = f"Why {number}?\n"
        answer = f"Because of {number * number}. " * (1 + number % length)
        lines.append(json.dumps({"id": str(number), "text": prompt + answer, "answer_start": len(prompt)}) + "\n")
    path.write_text("".join(lines))
    return path


def train(student: Path, data: Path, adapter: Path, *more: str) -> list[str]:
    """A short training with all that must survive a kill: dropout, accumulation, validation, samples."""
    return [
        *("train", "--model", str(student), "--data", str(data), "--adapter_path", str(adapter)),
        *("--batch_size", "4", "--micro-batch-size", "1", "--lr", "1e-3", "--lora_rank", "2", "--lora_dropout", "0.2"),
        *("--target_s", "0.02", "--scu_update_freq", "2", "--checkpoint-every", "4", "--validate-every", "6"),
        *("--sample-every", "10", "--set", "training.sample_tokens=5", "--set", "training.report_every=5"),
        *("--set", "training.validation_share=0.2", *more),
    ]


SHORT = {
    "batch_size": 4,
    "micro_batch_size": 2,
    "iters": 12,
    "lr": 1e-3,
    "lora_rank": 2,
    "lora_dropout": 0.2,
    "num_layers": 1,
    "target_s": 0.02,
    "scu_update_freq": 2,
    "report_every": 4,
    "checkpoint_every": 5,
    "validate_every": 3,
    "sample_every": 4,
    "sample_tokens": 5,
    "validation_share": 0.3,
}
"""A training in this process with all that must survive an end."""


class When(threading.Event):
    """An event that is set from the moment on at which a condition holds."""

    def __init__(self, holds: Callable[[], bool]) -> None:
        super().__init__()
        self._holds = holds

    def is_set(self) -> bool:
        return self._holds()


@dataclass(frozen=True)
class Here:
    """A training in this process, in a folder of its own."""

    folder: Path
    student: Path
    data: Path

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder)

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    def train(self, stop: Callable[[], bool] | None = None, **changes: object) -> None:
        """Train, or go on; until ``stop`` holds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        training = {"model": str(self.student), "adapter_path": str(self.adapter), **SHORT, **changes}
        made = Worker(
            Job(
                root=str(self.folder),
                demo=False,
                run=str(self.folder),
                reports=str(self.folder / "reports.jsonl"),
                settings=Settings.model_validate({"training": training}).model_dump(mode="json"),
                arguments={"data": str(self.data)},
            )
        )
        if stop is not None:
            made.stop_requested = When(stop)
        worker.work(made)

    def reported(self) -> list[events.AnyEvent]:
        """Every event so far."""
        return [events.decode(line) for line in (self.folder / "reports.jsonl").read_bytes().splitlines()]

    def left(self) -> dict[str, object]:
        """All that it made, as far as it repeats."""
        return left_behind(self.folder, self.adapter)


def metrics(run: Path) -> list[dict[str, object]]:
    """The lines of ``metrics.jsonl`` without wall time."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{key: value for key, value in line.items() if key not in WALL_TIME} for line in lines]


def left_behind(run: Path, adapter: Path) -> dict[str, object]:
    """All that a training makes, in a form in which two of them can be compared for equality."""
    made: dict[str, object] = {"metrics": metrics(run)}
    made |= {path.name: sha256(path) for path in sorted(adapter.iterdir())}
    made["samples"] = sha256(run / "training_samples.jsonl") if (run / "training_samples.jsonl").exists() else ""
    for folder in sorted((run / "checkpoints").glob("step-*")):
        for path in sorted(folder.iterdir()):
            if path.name == "state.json":
                made[f"{folder.name}/{path.name}"] = _without_wall_time(json.loads(path.read_text()))
            elif path.name != "manifest.json":  # it holds the state's hash
                made[f"{folder.name}/{path.name}"] = sha256(path)
    made["latest"] = str((run / "checkpoints" / "latest").readlink())
    made["strays"] = strays([run, run / "checkpoints", adapter])
    return made


def strays(folders: Sequence[Path]) -> list[str]:
    """Files that a writer left half done."""
    found = [path.name for folder in folders for path in folder.iterdir()]
    return sorted(name for name in found if re.search(r"^\.|\.tmp$", name))


def _without_wall_time(state: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in state.items() if key not in WALL_TIME}
