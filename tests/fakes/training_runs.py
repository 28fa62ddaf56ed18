"""Trainings of a tiny student as a user starts them, with rows of their own, and what they leave."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from hegelion_core.workspace import sha256

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
        *("--batch_size", "4", "--micro-batch-size", "2", "--lr", "1e-3", "--lora_rank", "2", "--lora_dropout", "0.2"),
        *("--target_s", "0.02", "--scu_update_freq", "2", "--checkpoint-every", "4", "--validate-every", "6"),
        *("--sample-every", "10", "--set", "training.sample_tokens=5", "--set", "training.report_every=5"),
        *("--set", "training.validation_share=0.2", *more),
    ]


def metrics(run: Path) -> list[dict[str, object]]:
    """The lines of ``metrics.jsonl`` without wall time."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{key: value for key, value in line.items() if key not in WALL_TIME} for line in lines]


def left_behind(run: Path, adapter: Path) -> dict[str, object]:
    """All that a training makes, in a form in which two of them can be compared for equality."""
    made: dict[str, object] = {"metrics": metrics(run)}
    made |= {path.name: sha256(path) for path in sorted(adapter.iterdir())}
    made["samples"] = sha256(run / "training_samples.jsonl")
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
