"""Benchmarks of training, ours beside ``mlx_lm.lora``: speed, memory, padding, and what SCU costs.

``python -m tests.benchmarks.training [ROWS.jsonl]``; without a file, the demo's rows are made first, with its teacher.
Sides run in turn, a process each, with one BLAS thread; a ratio is of medians of supervised tokens per second, once by
the clock and once by processor time, which a busy machine disturbs less.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.training_child import Figures, Task

BIN = Path(sys.executable).parent
GIB = 1 << 30
ROUNDS = 2
MIXED = ",".join(str(length) for length in random.Random(0).sample([10, 151, 293, 434, 576, 717, 859, 1000], 8))
"""Lengths in tokens, in the order of the file."""
Cells = tuple[str, str, str]


def measure(task: Task, **environment: str) -> Figures:
    """One side of a comparison."""
    return Figures(**measure_raw(task, **environment))


def measure_raw(task: Task, **environment: str) -> dict[str, Any]:
    """What a process of its own found."""
    own = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "tests.benchmarks.training_child", json.dumps(asdict(task))]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def side_by_side(
    name: str, task: Task, their_steps: int, rounds: int = ROUNDS, compiled: bool = False
) -> Iterator[Cells]:
    """Rows of the table: speed, memory and padding of both sides."""
    ours, others = task, replace(task, side="theirs", steps=their_steps, compiled=compiled)
    found: dict[str, list[Figures]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for side in (ours, others):
            found[side.side].append(measure(side))
    wall, cpu = _ratio(found, lambda f: f.tokens / f.seconds), _ratio(found, lambda f: f.tokens / f.cpu)
    mine, other = found["ours"][0], found["theirs"][0]
    yield (
        f"{name}: speed",
        f"{cpu:.2f} x mlx_lm.lora",
        f"{_rates(found)} supervised tokens/s; by the clock {wall:.2f} x",
    )
    yield (
        f"{name}: memory, padding",
        f"{mine.peak / GIB:.2f} against {other.peak / GIB:.2f} GiB",
        f"arrays at most; resident {mine.resident / GIB:.2f}, {other.resident / GIB:.2f} GiB; "
        f"padding {mine.padding:.1%}, {other.padding:.1%}",
    )


def _rates(found: dict[str, list[Figures]]) -> str:
    rates = (statistics.median(f.tokens / f.cpu for f in side) for side in found.values())
    return " against ".join(f"{rate:.1f}" for rate in rates)


def _ratio(found: dict[str, list[Figures]], rate: Callable[[Figures], float]) -> float:
    mine, other = (statistics.median(map(rate, side)) for side in found.values())
    return mine / other


def stock(task: Task) -> Iterator[Cells]:
    """Ours against ``mlx_lm.lora`` as pip installs it on Linux, one step each on the same row."""
    one = replace(task, steps=1, batch_size=1)
    ours = measure(one)
    theirs = measure(replace(one, side="theirs", compiled=True), HEGELION_BLAS="stock")
    ratio = (ours.tokens / ours.cpu) / (theirs.tokens / theirs.cpu)
    yield (
        "against mlx_lm.lora with the stock BLAS",
        f"{ratio:.0f} x",
        f"one step each: {ours.cpu:.0f} against {theirs.cpu:.0f} s of processor time",
    )


def scu(models: str) -> Iterator[Cells]:
    """What SCU adds to plain LoRA: pairs of the same step with and without it, in one process, first one first."""
    for length in (120, 300):
        done = measure_raw(Task("scu", models, ",".join([str(length)] * 4), 60, 1, num_layers=8))
        ratios: list[float] = done["ratios"]
        middle, low, high = interval([ratio - 1 for ratio in ratios])
        yield (
            "SCU over λ = 0",
            f"{middle:+.2%}",
            f"median of {len(ratios)} pairs of steps of {length} tokens, 95 % interval {low:+.2%} to {high:+.2%}",
        )


def interval(values: list[float], draws: int = 4000) -> tuple[float, float, float]:
    """Median, and a 95 % bootstrap interval of it."""
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(draws))
    return statistics.median(values), medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def linear(models: str) -> Iterator[Cells]:
    """How a step's time grows with the tokens in it: a straight line through the times of single rows."""
    lengths = (125, 250, 500, 1000)
    times: list[float] = measure_raw(Task("growth", models, ",".join(map(str, lengths)), 2, 1, num_layers=8))["seconds"]
    slope, intercept = statistics.linear_regression(lengths, times)
    explained = statistics.correlation(lengths, times) ** 2
    figures = ", ".join(f"{length}: {time:.2f} s" for length, time in zip(lengths, times, strict=True))
    yield (
        "a step's time, by tokens",
        f"{intercept:.2f} s + {1000 * slope:.2f} ms a token",
        f"R² {explained:.4f}; {figures}",
    )


def demo_rows(folder: Path) -> Path:
    """The demo's rows, made as the demo makes them."""
    for stage in ("generate", "convert"):
        command = [str(BIN / "hegelion-console"), stage, "--demo"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "artifacts" / "demo" / "data" / "hegelion_scu_ready.jsonl"


def training(rows: Path | None = None) -> Iterator[Cells]:
    """All rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        models = str(rows.parent / "models") if rows else name
        demo = Task("ours", models, str(rows or demo_rows(Path(name))), 24, 1)
        mixed = Task("ours", models, MIXED, 6, 4)
        yield from side_by_side("demo's rows, 8 layers", demo, 12)
        yield from side_by_side("10 to 1,000 tokens, 8 layers", mixed, 2)
        yield from side_by_side("demo's rows, all layers", replace(demo, num_layers=-1, steps=6), 6, 1)
        yield from side_by_side("10 to 1,000 tokens, all layers", replace(mixed, num_layers=-1, steps=2), 2, 1)
        yield from side_by_side("demo's rows, 8 layers, theirs compiled", demo, 12, 1, compiled=True)
        yield from scu(models)
        yield from linear(models)
        yield from stock(demo)


if __name__ == "__main__":
    for cells in training(Path(sys.argv[1]).resolve() if sys.argv[1:] else None):
        print(f"| {' | '.join(cells)} |", flush=True)
