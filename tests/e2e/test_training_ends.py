"""Trainings in real processes that are killed, asked to save, or run out of memory; and the same command again."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.errors import ExitCode
from tests.benchmarks import kills
from tests.fakes import training_runs
from tests.fakes.console import Console, count

DEATHS = """
import json, os, sys

def die(event, arguments):
    # The trainer is about to write down its sixth step.
    if event != "open" or not str(arguments[0]).endswith("metrics.jsonl") or not arguments[2] & os.O_APPEND:
        return
    if sum(1 for _ in open(arguments[0])) != 5:
        return
    rows = json.load(open(sys.argv[1]))["settings"]["training"]["micro_batch_size"]
    if rows is None:
        os.abort()
    if rows == 2:
        raise RuntimeError("[malloc] Unable to allocate 123456 bytes.")
    if EVEN_ONE_IS_TOO_MUCH:
        os.abort()

if sys.argv[-1].endswith("train.job.json"):
    sys.addaudithook(die)
"""
"""A machine on which steps of more than one row at a time do not fit: as Metal ends it, and as an allocator says it."""


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return kills.prepare(tmp_path)


def train(console: Console, *more: str) -> list[str]:
    return training_runs.train(console.student, console.folder / "rows.jsonl", console.folder / "adapter", *more)


def test_five_kills_at_random_instants_end_in_the_uninterrupted_runs_bytes(tmp_path: Path) -> None:
    assert kills.kill_runs(tmp_path, 5, 5, seed=4).kills.total() == 5


def without_micro_batches(arguments: list[str]) -> list[str]:
    at = arguments.index("--micro-batch-size")
    return arguments[:at] + arguments[at + 2 :]


@pytest.mark.parametrize("even_one", [False, True])
def test_a_trainer_without_memory_starts_again_smaller(console: Console, tmp_path: Path, even_one: bool) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(DEATHS.replace("EVEN_ONE_IS_TOO_MUCH", str(even_one)))
    console.environment["PYTHONPATH"] = str(site)
    arguments = without_micro_batches(train(console, "--iters", "8"))
    result = console.run(*arguments)
    seen = [event for event in console.events() if isinstance(event, e.TrainingRestarted)]
    assert [(event.micro_batch_size, event.accumulation, event.step) for event in seen] == [(2, 2, 4), (1, 4, 4)]
    assert "ended by SIGABRT" in seen[0].reason
    assert "ran out of memory: [malloc] Unable to allocate 123456 bytes" in seen[1].reason
    assert "training starts again at the checkpoint of step 4: 1 rows at a time, 4 times a step" in result.stdout
    if even_one:
        assert result.returncode == ExitCode.FAILED
        assert "had one row at a time" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 2
        del console.environment["PYTHONPATH"]
        again = console.run(*arguments)
        assert again.returncode == ExitCode.DONE, again.stderr
        # What was too much once is not tried again in this run.
        job = json.loads((console.run_folder / "spool" / "train.job.json").read_text())
        assert job["settings"]["training"]["micro_batch_size"] == 1
    else:
        assert result.returncode == ExitCode.DONE, result.stderr
    assert [line["step"] for line in training_runs.metrics(console.run_folder)] == list(range(1, 9))
    log = (console.folder / "artifacts" / "logs" / "train.log").read_text()
    assert "was written with other rows at a time: it goes on, but not bit for bit" in log
    console.wait_until_quiet()


def test_a_checkpoint_on_demand_and_one_at_the_end_of_a_stopped_training(console: Console) -> None:
    none = console.run("checkpoint")
    assert none.returncode == ExitCode.NOT_READY
    assert "No training runs" in none.stderr
    process = console.start(*train(console, "--iters", "100000", "--checkpoint-every", "100000"))
    console.wait_for(lambda events: count(events, e.StepReported) >= 1)
    asked = console.run("checkpoint")
    assert asked.returncode == ExitCode.DONE, asked.stderr
    folder = Path(asked.stdout.removeprefix("Saved ").strip().rstrip("."))
    assert folder.parent == console.run_folder / "checkpoints"
    assert int(folder.name.removeprefix("step-")) > 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == ExitCode.INTERRUPTED
    console.wait_until_quiet()
    last = training_runs.metrics(console.run_folder)[-1]["step"]
    assert (console.run_folder / "checkpoints" / "latest").readlink() == Path(f"step-{last}")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit is MLX's own")
def test_a_memory_limit_that_nothing_fits_in_is_said(console: Console) -> None:
    result = console.run(*train(console, "--iters", "8", "--memory-limit", "0.01"))
    assert result.returncode == ExitCode.FAILED
    assert "ran out of memory: the trainer holds" in result.stderr
    assert "its limit is 0.01 GiB" in result.stderr
    assert (console.run_folder / "checkpoints" / "latest").readlink() == Path("step-1")
