"""Training in several processes on this machine, over loopback: one process's result, and its way through faults."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from hegelion_core import events as e
from hegelion_core.errors import ExitCode
from tests.fakes.console import Console, count
from tests.fakes.training_runs import left_behind, metrics, train, write_rows

ITERS = 8


def console_in(folder: Path) -> Console:
    folder.mkdir()
    console = Console(folder)
    del console.environment["OPENBLAS_NUM_THREADS"]  # a group shares out the cores itself
    return console


def train_to_the_end(console: Console, *more: str) -> Path:
    """9 rows in steps of 3: of four processes one has nothing to do. Returns the adapter."""
    data, adapter = write_rows(console.folder / "rows.jsonl", 11), console.folder / "adapter"
    short = ("--iters", str(ITERS), "--lora_dropout", "0", "--micro-batch-size", "4", "--sample-every", "0")
    result = console.run(*train(console.student, data, adapter, *short, *more))
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    console.wait_until_quiet()
    return adapter


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Console, Path]:
    console = console_in(tmp_path_factory.mktemp("alone") / "w")
    return console, train_to_the_end(console)


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_give_the_result_of_one(alone: tuple[Console, Path], tmp_path: Path, processes: int) -> None:
    console = console_in(tmp_path / "w")
    adapter = train_to_the_end(console, "--processes", str(processes))
    wanted, given = (load_file(folder / "adapters.safetensors") for folder in (alone[1], adapter))
    assert wanted.keys() == given.keys()
    for name, tensor in wanted.items():
        assert np.abs(given[name] - tensor).max() <= 1e-5, name
    ones, manys = metrics(alone[0].run_folder), metrics(console.run_folder)
    assert len(ones) == len(manys) == ITERS
    for one, many in zip(ones, manys, strict=True):
        assert many == pytest.approx(one, rel=1e-5, abs=1e-7)
    assert len({json.dumps(many["tokens"]) for many in manys}) > 1
    log = (console.folder / "artifacts" / "logs" / "train.log").read_text()
    assert f"{processes} processes train together over ring." in log
    for once in ("MLX computes on", "9 rows for training", "Training complete."):
        assert log.count(once) == 1, once
    assert count(console.events(), e.ValidationReported) == 3
    assert count(console.events(), e.TrainingFinished) == 1


def command_of(console: Console, student: Path) -> list[str]:
    """A training of two processes with all that must survive; its adapter is in ``adapter``."""
    data = write_rows(console.folder / "rows.jsonl")
    return train(student, data, console.folder / "adapter", "--processes", "2", "--iters", "24")


def saved(events: Sequence[e.AnyEvent]) -> int:
    """The step of the last checkpoint."""
    return max((event.step for event in events if isinstance(event, e.CheckpointSaved)), default=0)


def test_stopped_and_bereft_of_a_process_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    """With dropout. The stop saves one checkpoint; the death ends all, and the core starts them again by itself."""
    whole, broken = console_in(tmp_path / "whole"), console_in(tmp_path / "broken")
    result = whole.run(*command_of(whole, whole.student))
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr

    command = command_of(broken, whole.student)
    process = broken.start(*command)
    broken.wait_for(lambda events: saved(events) >= 4)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == ExitCode.INTERRUPTED
    broken.wait_until_quiet()
    stopped = int((broken.run_folder / "checkpoints" / "latest").readlink().name.removeprefix("step-"))
    assert f"Stopped at step {stopped};" in (broken.folder / "artifacts" / "logs" / "train.log").read_text()

    process = broken.start(*command)
    broken.wait_for(lambda events: saved(events) > stopped)
    _rank(broken, 1).kill()
    assert process.wait(120) == ExitCode.DONE, (broken.folder / "output.txt").read_text()
    assert count(broken.events(), e.TrainingRestarted) == 1
    for console in (whole, broken):
        console.wait_until_quiet()
    wanted, given = (left_behind(console.run_folder, console.folder / "adapter") for console in (whole, broken))
    assert given == wanted


def _rank(console: Console, rank: int) -> psutil.Process:
    (found,) = [process for process in console.processes() if process.environ().get("MLX_RANK") == str(rank)]
    return found


def test_a_trainer_under_mlx_launch_names_the_way(tmp_path: Path) -> None:
    console = console_in(tmp_path / "w")
    console.environment["MLX_RANK"] = "1"
    result = console.run("train", "--model", str(console.student))
    assert result.returncode == ExitCode.USAGE
    assert "--processes N" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (console.folder / "artifacts" / "runs").exists()
