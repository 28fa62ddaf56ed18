"""Trackers are copies of ``metrics.jsonl``: no step twice, none missing, whatever ended the process before."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tensorboardX.proto.event_pb2 import Event

from hegelion_core import checklist, events, jobs
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.settings import Settings, TrainingSettings
from hegelion_core.training import metrics, tracking
from hegelion_core.training.tracking import Tracking
from hegelion_core.workspace import RunFolder, Workspace

BOARD = TrainingSettings(track="tensorboard")


def step(number: int, **changes: object) -> metrics.StepMetrics:
    done = metrics.StepMetrics(
        step=number,
        loss=2.0 / number,
        data_bpt=1.0,
        param_bpt=0.1,
        s=0.09,
        s_hat=0.09,
        lam=1.0,
        lambda_after=1.5,
        lr=1e-3,
        tokens=10,
        seconds=0.5,
    )
    return msgspec.structs.replace(done, **changes)


def written(run: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of every event file, in the order of the files' records: length, its CRC, record, its CRC."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted((run.path / "tensorboard").glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "20260101-train-abc")
    folder.path.mkdir()
    return folder


def train(run: RunFolder, steps: range, report: Callable[[events.Event], None]) -> None:
    for number in steps:
        metrics.append_step(run.metrics, step(number))
        if number % 2 == 0:
            report(metrics.summarise([step(number)], iters=100))


def test_a_killed_and_resumed_training_has_every_step_once(run: RunFolder) -> None:
    killed = Tracking(run, BOARD, print)
    train(run, range(1, 8), killed.after(lambda _: None))  # 6 are reported; then it is killed
    before = [number for number, _ in written(run)["training/loss"]]
    assert before == [1, 2, 3, 4, 5, 6][: len(before)]  # its own thread may not have written all of them yet

    metrics.cut_back(run.metrics, 4)
    resumed = Tracking(run, BOARD, print)
    train(run, range(5, 10), resumed.after(lambda _: None))
    resumed.close()
    found = written(run)
    assert [number for number, _ in found["training/loss"]] == list(range(1, 10))
    assert found["training/loss"][4][1] == pytest.approx(2.0 / 5)
    assert set(found) == {
        f"training/{name}"
        for name in ("loss", "data_bpt", "param_bpt", "s", "s_hat", "lambda", "lambda_after", "lr", "tokens", "seconds")
    }


def test_validation_is_there_where_it_was_measured(run: RunFolder) -> None:
    metrics.append_step(run.metrics, step(1))
    metrics.append_step(run.metrics, step(2, validation=3.5))
    Tracking(run, BOARD, print).close()  # no report at all: what is in the file is copied at the end
    assert written(run)["training/validation"] == [(2, 3.5)]


def test_without_a_tracker_nothing_is_written(run: RunFolder) -> None:
    none = Tracking(run, TrainingSettings(), print)
    train(run, range(1, 5), none.after(lambda _: None))
    none.close()
    assert [path.name for path in run.path.iterdir()] == ["metrics.jsonl"]


def test_a_tracker_that_fails_is_given_up_and_said_once(run: RunFolder) -> None:
    (run.path / "tensorboard").touch()  # where its folder should be
    said: list[str] = []
    broken, reported = Tracking(run, BOARD, said.append), list[events.Event]()
    train(run, range(1, 7), broken.after(reported.append))
    broken.close()
    assert len(reported) == 3
    assert len(said) == 1
    assert "training goes on" in said[0]


@pytest.mark.parametrize(("name", "library"), tracking.LIBRARIES.items())
def test_a_missing_library_is_told_before_anything_is_done(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None if asked == library else find(asked))
    settings = Settings.model_validate({"training": {"track": name}})
    with pytest.raises(UserError, match="not installed") as raised:
        Tracking(run, settings.training, print)
    assert raised.value.exit_code == ExitCode.NOT_READY
    assert f"pip install {library}" in raised.value.hint
    failed = [check for check in checklist.run(Workspace(tmp_path), settings) if isinstance(check, events.CheckFailed)]
    assert any(check.name == "tracker" and library in check.fix for check in failed)


def test_a_worker_keeps_the_keys_that_it_needs() -> None:
    environ = {"WANDB_API_KEY": "a", "HF_TOKEN": "b", "OPENAI_API_KEY": "c", "WANDB_MODE": "offline", "PATH": "d"}
    assert set(jobs.environment(environ, "MY_ENDPOINT")) == {"WANDB_API_KEY", "HF_TOKEN", "WANDB_MODE", "PATH"}


def test_the_tracker_does_not_make_another_run(tmp_path: Path) -> None:
    from hegelion_core.run import identify

    plain, tracked = (Settings.model_validate({"training": {"track": name}}) for name in ("none", "wandb"))
    assert identify(Workspace(tmp_path), plain, "train") == identify(Workspace(tmp_path), tracked, "train")
    assert json.loads(tracked.model_dump_json())["training"]["track"] == "wandb"
