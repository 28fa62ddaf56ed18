"""The trackers themselves read what was tracked: TensorBoard, Trackio and Weights & Biases, all offline.

``make interop`` runs this: their libraries are too heavy for the tests' environment.
"""

from __future__ import annotations

import multiprocessing
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hegelion_core import events
from hegelion_core.settings import TrainingSettings
from hegelion_core.training import metrics
from hegelion_core.training.tracking import PROJECT, Tracking
from hegelion_core.workspace import RunFolder
from tests.unit.training.test_tracking import step

STEPS = list(range(1, 10))


def train(run: RunFolder, track: str, steps: range, say: Callable[[str], None]) -> Tracking:
    """What a trainer does with a tracker; every second step is reported."""
    tracking = Tracking(run, TrainingSettings.model_validate({"track": track}), say)
    report = tracking.after(lambda _: None)
    for number in steps:
        metrics.append_step(run.metrics, step(number))
        if number % 2 == 0:
            report(metrics.summarise([step(number)], iters=9))
    return tracking


def train_and_die(run: RunFolder, track: str) -> None:
    """Seven steps, of which six are reported; then nothing is written any more, as at a SIGKILL."""
    train(run, track, range(1, 8), print)
    os._exit(9)


def go_on(run: RunFolder, track: str) -> None:
    """From the checkpoint of step 4 to step 9; what is said goes to ``said``."""
    metrics.cut_back(run.metrics, 4)
    said: list[str] = []
    train(run, track, range(5, 10), said.append).close()
    (run.path / "said").write_text("\n".join(said))


def killed_and_resumed(run: RunFolder, track: str) -> str:
    """A process that died after step 7, and another that goes on to step 9; what that one said."""
    run.path.mkdir()
    for target, code in ((train_and_die, 9), (go_on, 0)):
        process = multiprocessing.get_context("spawn").Process(target=target, args=(run, track))
        process.start()
        process.join()
        assert process.exitcode == code
    said = (run.path / "said").read_text()
    assert "failed" not in said
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
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is imported
    from trackio import sqlite_storage

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
    assert said.endswith(f"wandb sync {folder}")
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
