"""From any other terminal: how far a run is, stopping it, going on with it; real processes."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hegelion_core import events as e
from hegelion_core.client import Client
from hegelion_core.errors import ExitCode
from hegelion_core.events import Stage
from hegelion_core.presence import is_free
from hegelion_core.workspace import Workspace, alive
from tests.fakes.console import Console, count, kill
from tests.fakes.training_runs import train, write_rows

GENERATE = ("generate", "--dataset", "bundled")


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = Console(tmp_path)
    made.environment["KIMI_FAKE_SECONDS"] = "0.3"
    return made


def status(console: Console) -> dict[str, Any]:
    told = console.run("--status", "--json")
    assert told.returncode == ExitCode.DONE, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def two_accepted(events: Sequence[e.AnyEvent]) -> bool:
    return count(events, e.SampleAccepted) >= 2


def test_generation_is_seen_and_stopped_from_another_terminal(console: Console) -> None:
    nothing = console.run("stop")
    assert (nothing.returncode, nothing.stdout) == (ExitCode.DONE, "Nothing runs.\n")
    working = console.start(*GENERATE, "--limit", "400")
    console.wait_for(two_accepted)
    seen = status(console)
    assert (seen["standing"], seen["core"]["pid"]) == ("at work", working.pid)
    assert seen["troubles"] == []
    assert seen["accepted"] >= 2
    assert seen["numbers"]["samples_per_minute"] > 0
    assert {Path(log["path"]).name for log in seen["logs"]} >= {"generator_1.log", "generator_2.log"}
    of_instances = {pid for pids in seen["instance_processes"].values() for pid in pids}
    assert of_instances <= {process["pid"] for process in seen["processes"]}
    other = console.run("stop", "train")
    assert other.returncode == ExitCode.DONE
    assert "train does not run, generate does" in other.stdout
    refused = console.run("runs", "remove", console.run_folder.name, "--yes")
    assert refused.returncode == ExitCode.NOT_READY
    assert f"core {working.pid} has it open" in refused.stderr
    assert working.poll() is None
    stopped = console.run("stop", "generate")
    assert stopped.returncode == ExitCode.DONE, stopped.stderr
    assert "Stopped generate. To go on: hegelion-console generate --dataset bundled --limit 400" in stopped.stdout
    assert is_free(Workspace(console.folder)), "the next command need not wait"
    assert working.wait() == ExitCode.INTERRUPTED
    assert count(console.events(), e.StageStopped) == 1
    assert not (console.folder / "generator_pid.txt").exists()
    console.wait_until_quiet()


def test_process_ids_of_a_killed_core_are_taken_away_though_nothing_is_left_to_do(console: Console) -> None:
    assert console.run(*GENERATE, "--limit", "1").returncode == ExitCode.DONE
    (console.folder / "generator_pid.txt").write_text(
        "1\n"
    )  # killed after its last sample; someone else has the id now
    (console.folder / ".generator_instance2.log.999999999.link").symlink_to("nowhere")
    assert console.run(*GENERATE, "--limit", "1").returncode == ExitCode.DONE
    assert not list(console.folder.glob("*pid.txt"))
    assert not list(console.folder.glob(".*.link"))


def test_the_guides_process_ids_end_generation_cleanly(console: Console) -> None:
    working = console.start(*GENERATE, "--limit", "400")
    console.wait_for(two_accepted)
    for name in ("generator_pid.txt", "generator2_pid.txt"):
        os.kill(int((console.folder / name).read_text()), signal.SIGTERM)
    assert working.wait() == ExitCode.INTERRUPTED
    events = console.events()
    assert isinstance(events[-1], e.RunEnded)
    assert count(events, e.StageStopped) == 1
    assert count(events, e.SampleAccepted) == len(console.prompts_done())
    console.wait_until_quiet()


@pytest.mark.parametrize("how", ["the command", "the process ids"])
def test_a_core_in_the_background_is_stopped_and_does_not_stay(console: Console, how: str) -> None:
    arguments = ["--workspace", str(console.folder), "--dataset", "bundled", "--limit", "400"]
    core = subprocess.Popen(
        [sys.executable, "-m", "hegelion_core.commands.core", *arguments],
        env=console.environment,
        cwd=console.folder,
        start_new_session=True,
    )
    asyncio.run(_start(Workspace(console.folder), "generate"))
    console.wait_for(two_accepted)
    if how == "the command":
        stopped = console.run("stop", "--json")
        assert json.loads(stopped.stdout) == {"stopped": ["generate"], "core_ended": True}
    else:
        for name in ("generator_pid.txt", "generator2_pid.txt"):
            os.kill(int((console.folder / name).read_text()), signal.SIGTERM)
    assert core.wait() == ExitCode.DONE
    assert isinstance(console.events()[-1], e.RunEnded)
    console.wait_until_quiet()


async def _start(place: Workspace, stage: Stage) -> None:
    while (client := await Client.connect(place)) is None:
        await asyncio.sleep(0.05)
    await client.start((stage,))
    await client.close()


def test_training_is_stopped_with_a_checkpoint(console: Console) -> None:
    rows = write_rows(console.folder / "rows.jsonl")
    # No validation: where a stop ends one, its step's line of metrics waits in the checkpoint.
    steps = ("--iters", "100000", "--validate-every", "100000")
    working = console.start(*train(console.student, rows, console.folder / "adapter", *steps))
    console.wait_for(lambda events: count(events, e.StepReported) >= 1)
    assert "generate does not run, train does" in console.run("stop", "generate").stdout
    stopped = console.run("stop", "train", "--json")
    assert json.loads(stopped.stdout) == {"stopped": ["train"], "core_ended": True}
    assert working.wait() == ExitCode.INTERRUPTED
    seen = status(console)
    step = seen["checkpoint"]["step"]
    assert f"checkpoint at step {step}" in stopped.stderr
    last = json.loads((console.run_folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == step, "no step is lost"
    assert seen["standing"] == "stopped"
    assert seen["command"].startswith("hegelion-console train")
    console.wait_until_quiet()


def test_after_a_kill_the_command_that_is_told_goes_on_with_the_same_run(console: Console) -> None:
    working = console.start(*GENERATE, "--limit", "8", "--instances", "3")
    console.wait_for(two_accepted)
    kill(working)
    told = console.run("--status")
    assert "its core ended without warning" in told.stdout
    assert f"(process {working.pid}" in told.stdout
    seen = status(console)
    assert seen["standing"] == "died"
    assert seen["core"]["pid"] == 0
    assert not alive(working.pid)
    program, *command = shlex.split(seen["command"])
    assert program == "hegelion-console"
    again = console.run(*command)
    assert again.returncode == ExitCode.DONE, again.stderr
    assert console.run_folder.name == seen["run_id"]
    assert len(console.prompts_done()) == 8
    assert status(console)["standing"] == "done"
    assert "Nothing is wrong." in console.run("--status").stdout
