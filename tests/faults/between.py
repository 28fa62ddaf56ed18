"""What must hold after each strike already, before the same command mends what it can."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from hegelion_core.errors import ExitCode
from hegelion_core.training.metrics import StepMetrics
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import sha256
from tests.faults.cases import ERRORS, Strike
from tests.faults.place import Place

_BESIDE = re.compile(r"^\..+\.\d+\.(tmp|link|safetensors)$|^step-\d+\.tmp$")
"""What a writer has beside the file or folder that it is about to put in place."""


def steps_of(place: Place) -> bytes:
    """The metrics of the case's training; empty if there are none."""
    return b"".join(path.read_bytes() for path in place.runs.glob("*/metrics.jsonl"))


def check(place: Place, strike: Strike, code: int | None, steps_before: bytes) -> list[str]:
    """What does not hold after ``strike``, with which the command ended in ``code``.

    Args:
        steps_before: ``steps_of`` when the command was started.
    """
    faults: list[str] = []
    if place.case.scene == "train":
        faults += _parts_of_an_adapter(place)
        if strike.deed == "stops" and code == ExitCode.INTERRUPTED and not _ends_at_once(strike):
            faults += _steps_lost(place, steps_before)
    if _is_error(strike) and code is not None and code >= 0:
        faults += _left(place)
    return [f"{text}, after {strike}" for text in faults]


def _parts_of_an_adapter(place: Place) -> list[str]:
    """What has the name of an adapter's file is that file, at any time."""
    wrong: list[str] = []
    for path in sorted(place.adapter.glob("[!.]*")) if place.adapter.is_dir() else []:
        wanted = place.stock.training.get(path.name)
        if wanted is not None and path.is_file() and sha256(path) != wanted:
            wrong.append(f"{path.name} of the adapter is not whole")
    return wrong


def _steps_lost(place: Place, before: bytes) -> list[str]:
    """Who stops a training loses no step of it: there is a checkpoint of the last one."""
    steps = steps_of(place)
    if steps == before:  # it had not begun
        return []
    saved = [int(path.name[5:]) for path in place.runs.glob("*/checkpoints/step-*") if path.name[5:].isdigit()]
    last = max((step.step for step in map(_step, steps.splitlines()) if step is not None), default=0)
    return (
        [f"stopped after step {last}, but the checkpoints are of {sorted(saved)}"] if last > max(saved or [0]) else []
    )


def _step(line: bytes) -> StepMetrics | None:
    try:
        return msgspec.json.decode(line, type=StepMetrics)
    except UNREADABLE:
        return None


def _ends_at_once(strike: Strike) -> bool:
    """Whether the second is a Ctrl+C, which waits for nothing."""
    return strike.pair.endswith("INT")


def _is_error(strike: Strike) -> bool:
    """Whether a write, a sync or a rename failed, or there was no room: whoever writes can clean up after that."""
    once = strike.act in (*ERRORS, "short") and strike.op in ("write", "fsync", "rename", "symlink")
    return once or bool(strike.kilobytes)


def _left(place: Place) -> list[str]:
    """Torn lines, and files beside those that were to be put in place: whoever lives cleans up."""
    logs: list[Path] = [*(place.folder / "data").glob("samples*.jsonl"), *place.runs.glob("*/*.jsonl")]
    torn = [path.name for path in sorted(logs) if (data := path.read_bytes()) and not data.endswith(b"\n")]
    beside = sorted({path.name for path in place.folder.rglob("*") if _BESIDE.search(path.name)})
    faults = [f"the last line is torn of {torn}"] if torn else []
    return [*faults, f"left beside: {beside}"] if beside else faults
