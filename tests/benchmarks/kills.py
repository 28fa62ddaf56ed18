"""Kills a training at random instants, over and over, and compares its end with an uninterrupted run's, byte by byte.

``python -m tests.benchmarks.kills [--kills 50] [--in-a-run 50 --steps 500] [--seed 0]``. The real command, core and
trainer as a user runs them.
Each kill has a victim and an instant:

- the whole tree at once (core, trainer and guard), as when the machine goes down; the trainer alone, which the core
  starts again; or the core alone, after which the guard ends the trainer;
- after a random time since the start, or as soon as something is seen on the disk (a checkpoint in the making, the
  metrics' next line, and near the end the adapter's first file), plus up to 10 ms.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.fakes import training_runs
from tests.fakes.console import Console

VICTIMS = ("tree", "trainer", "core")
MOMENTS = ("time", "checkpoint", "metrics", "adapter")
PATIENCE = 600.0
"""Seconds that one start may take."""


@dataclass
class Tally:
    """What was done."""

    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    runs: int = 0
    longest: int = 0
    """The most kills of one run."""
    failed: int = 0
    """Starts in which the trainer was killed twice without a checkpoint between: the core gives up, in words."""


def reference(console: Console, steps: int) -> dict[str, object]:
    """What the uninterrupted run leaves."""
    begun = time.monotonic()
    result = console.run(*_arguments(console, steps), timeout=PATIENCE)
    assert result.returncode == 0, result.stdout + result.stderr
    print(f"uninterrupted: {time.monotonic() - begun:.1f} s", flush=True)
    return _left(console)


def kill_runs(folder: Path, kills: int, in_a_run: int, seed: int, steps: int = 60) -> Tally:
    """Kill until there were ``kills``, at most ``in_a_run`` of them on the way of one run."""
    dice, tally = random.Random(seed), Tally()
    (folder / "whole").mkdir()
    whole = prepare(folder / "whole")
    expected = reference(whole, steps)
    while (done := tally.kills.total()) < kills:
        place = folder / f"run-{tally.runs}"
        place.mkdir()
        _kill_run(prepare(place, whole.student), expected, steps, min(in_a_run, kills - done), dice, tally)
    return tally


def _kill_run(
    console: Console, expected: dict[str, object], steps: int, kills: int, dice: random.Random, tally: Tally
) -> None:
    """One run, from start to end, with at most ``kills`` kills on the way; what it leaves must be ``expected``."""
    begun, said = time.monotonic(), list[str]()
    while True:
        process = console.start(*_arguments(console, steps))
        while len(said) < kills and process.poll() is None:
            if killed := _kill(console, process, steps, dice):
                said.append(killed)
            if killed and not killed.startswith("trainer"):  # whose core starts another one
                break
        code = process.wait(PATIENCE)
        console.wait_until_quiet()
        if code == 0:
            break
        # 1: the trainer was killed twice without a checkpoint between, and one row at a time is the least.
        if code not in (-signal.SIGKILL, 1):
            raise AssertionError(f"exit code {code}: {(console.folder / 'output.txt').read_text()[-2000:]}")
        tally.failed += code == 1
    left = _left(console)
    differing = sorted(name for name in expected.keys() | left.keys() if left.get(name) != expected.get(name))
    assert not differing, f"{differing} differ after {said}\n{(console.folder / 'output.txt').read_text()}"
    tally.kills.update(said)
    tally.runs, tally.longest = tally.runs + 1, max(tally.longest, len(said))
    print(f"run {tally.runs}: {len(said)} kills, {time.monotonic() - begun:.1f} s, the same bytes", flush=True)


def _arguments(console: Console, steps: int) -> list[str]:
    data = console.folder / "rows.jsonl"
    return training_runs.train(console.student, data, console.folder / "adapter", "--iters", str(steps))


def _left(console: Console) -> dict[str, object]:
    return training_runs.left_behind(console.run_folder, console.folder / "adapter")


def _kill(console: Console, process: subprocess.Popen[str], steps: int, dice: random.Random) -> str:
    """Kill once; who and when, or nothing if the run ended before."""
    near_end = _steps_done(console) >= 0.7 * steps
    victim, moment = dice.choice(VICTIMS), dice.choice(MOMENTS if near_end else MOMENTS[:-1])
    deadline = time.monotonic() + (dice.uniform(0, 6) if moment == "time" else 30)
    seen = _signs(console, dice)[moment] if moment != "time" else lambda: time.monotonic() >= deadline
    while not seen() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(dice.uniform(0, 0.01))
    if process.poll() is not None or not _strike(process, victim):
        return ""
    return f"{victim} at {moment}"


def _signs(console: Console, dice: random.Random) -> dict[str, Callable[[], bool]]:
    runs, wanted = console.folder / "artifacts" / "runs", _steps_done(console) + dice.randrange(1, 20)
    return {
        "checkpoint": lambda: any(runs.glob("*/checkpoints/step-*.tmp")),
        "metrics": lambda: _steps_done(console) >= wanted,
        "adapter": lambda: any((console.folder / "adapter").glob(".*")),
    }


def _steps_done(console: Console) -> int:
    metrics = (console.folder / "artifacts" / "runs").glob("*/metrics.jsonl")
    return sum(len(path.read_bytes().splitlines()) for path in metrics)


def _strike(process: subprocess.Popen[str], victim: str) -> bool:
    """SIGKILL; whether there was someone to kill."""
    try:
        core = psutil.Process(process.pid)
        below = core.children(recursive=True)
        trainers = [child for child in below if "training.worker" in " ".join(child.cmdline())]
    except psutil.Error:
        return False
    targets = {"tree": [core, *below], "trainer": trainers, "core": [core]}[victim]
    for target in targets:
        with contextlib.suppress(psutil.Error):
            target.kill()
    return bool(targets)


def prepare(folder: Path, student: Path | None = None) -> Console:
    """A workspace with rows, and with ``student`` where it is given: its path stands in the adapter's config."""
    console = Console(folder)
    console.student = student or console.student
    training_runs.write_rows(folder / "rows.jsonl", 14)
    return console


def main() -> None:
    """Kill until there were enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--in-a-run", type=int, default=10, help="kills of one run")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of a run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        tally = kill_runs(Path(folder), options.kills, options.in_a_run, options.seed, options.steps)
    print(f"At most {tally.longest} kills of one run, of {options.steps} steps.")
    print(f"{tally.kills.total()} kills in {tally.runs} runs, {time.monotonic() - begun:.0f} s; all the same bytes.")
    print(f"{tally.failed} starts ended in the message that the trainer was killed twice at one place.")
    for what, count in sorted(tally.kills.items()):
        print(f"  {what}: {count}")


if __name__ == "__main__":
    main()
