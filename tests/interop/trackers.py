"""The trackers themselves read what was tracked: TensorBoard, Trackio and Weights & Biases, all offline.

``make interop`` runs this: their libraries are too heavy for the tests' environment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from hegelion_core import events
from hegelion_core.settings import TrainingSettings
from hegelion_core.training import metrics
from hegelion_core.training.tracking import PROJECT, Tracking
from hegelion_core.workspace import RunFolder
from tests.unit.training.test_tracking import step

STEPS = list(range(1, 10))


def killed_and_resumed(run: RunFolder, track: str) -> list[str]:
    """Seven steps, of which six were reported, then a resume at step 4 that goes on to step 9; what was said."""
    run.path.mkdir()
    said: list[str] = []
    for steps, last in ((range(1, 8), 7), (range(5, 10), 9)):
        if steps.start > 1:
            metrics.cut_back(run.metrics, steps.start - 1)
        tracking = Tracking(run, TrainingSettings.model_validate({"track": track}), said.append)
        report = tracking.after(lambda _: None)
        for number in steps:
            done = step(number)
            metrics.append_step(run.metrics, done)
            if number % 2 == 0:
                report(metrics.summarise([done], iters=9))
        if last == 9:
            tracking.close()
        elif tracking._sink is not None:  # as if killed: nothing more is copied
            tracking._sink.close()
    assert not any("failed" in line for line in said), said
    return said


def test_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = RunFolder(tmp_path / "run")
    killed_and_resumed(run, "tensorboard")
    read = EventAccumulator(str(run.path / "tensorboard")).Reload()
    scalars = read.Scalars("training/loss")
    assert [scalar.step for scalar in scalars] == STEPS
    assert scalars[8].value == pytest.approx(2.0 / 9)


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trackio import sqlite_storage, utils

    for module in (utils, sqlite_storage):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio", raising=False)
    killed_and_resumed(RunFolder(tmp_path / "run"), "trackio")
    rows = sqlite_storage.SQLiteStorage.get_logs(PROJECT, "run")
    assert [row["step"] for row in rows] == STEPS
    assert rows[8]["lambda"] == 1.0


def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    run = RunFolder(tmp_path / "run")
    said = killed_and_resumed(run, "wandb")
    (folder,) = run.path.glob("wandb/offline-run-*-run")
    assert said[-1].endswith(f"wandb sync {folder}")
    records = [Record.FromString(record) for record in level_db_log((folder / "run-run.wandb").read_bytes()[7:])]
    assert [r.history.step.num for r in records if r.WhichOneof("record_type") == "history"] == STEPS


def level_db_log(data: bytes, header: int = 7, block: int = 32 * 1024) -> Iterator[bytes]:
    """The records of a LevelDB log, as its documentation lays it out; ``header`` bytes before it count as its block's.

    A fragment is a CRC (4 bytes), its length (2), its kind (1: whole, 2: first, 3: middle, 4: last), and the content.
    """
    at, record = 0, b""
    while at + 7 <= len(data):
        if (left := block - (at + header) % block) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def test_a_report_reaches_its_listener_first(tmp_path: Path) -> None:
    seen: list[events.Event] = []
    Tracking(RunFolder(tmp_path), TrainingSettings(), print).after(seen.append)(events.CheckpointSaved(step=1, path=""))
    assert len(seen) == 1
