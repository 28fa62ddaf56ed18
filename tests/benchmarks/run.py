"""The tables of ``docs/benchmarks.md``: ``make bench``. Each comparison is made side by side, in turn, in one run.

``python -m tests.benchmarks.run [NAME ...]`` runs some of: start, status, events, samples, convert, generate, console,
training, chart, blas, demo. Which prompts can be argued: ``python -m tests.benchmarks.arguable``. Through every
failure: ``python -m tests.benchmarks.fault_run``. Far more than a run has: ``python -m tests.benchmarks.load``.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from hegelion_core import events as e
from hegelion_core.event_log import EventLog, replay
from tests.benchmarks import chart, conversion, generation, requests, sample_files, training
from tests.benchmarks import status as glances
from tests.benchmarks.console import flood
from tests.benchmarks.screens import paint, screens

BIN = Path(sys.executable).parent
MIB = 1 << 20
PRODUCT = """
import os, time
from hegelion_core.models.blas import prepare_mlx
prepare_mlx()
import mlx.core as mx
a = mx.random.normal((1024, 1024)); b = mx.random.normal((1024, 1024)); mx.eval(a, b, a @ b)
times = []
for _ in range({repeats}):
    begun = time.perf_counter(); mx.eval(a @ b); times.append(time.perf_counter() - begun)
print(2 * 1024**3 / min(times) / 1e9)
"""
FORWARD = """
import time
from pathlib import Path
from hegelion_core.models.blas import prepare_mlx
prepare_mlx()
import mlx.core as mx
from hegelion_core.models import loading
loaded = loading.load(loading.locate("bundled", Path({models!r})))
tokens = mx.zeros((1, 64), dtype=mx.int32); mx.eval(loaded.model(tokens[:, :2]))
begun = time.perf_counter(); mx.eval(loaded.model(tokens)); print(64 / (time.perf_counter() - begun))
"""


def row(name: str, value: str, note: str = "") -> None:
    print(f"| {name} | {value} | {note} |", flush=True)


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def spread(seconds: list[float]) -> str:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"{middle:.3f} s ({low:.3f} to {high:.3f})"


def start() -> None:
    """Wall time of commands that must answer at once."""
    with tempfile.TemporaryDirectory() as folder:
        for arguments in (["--help"], ["--version"], ["--status"], ["--run-all", "--dry-run"]):
            command = [str(BIN / "hegelion-console"), *arguments]
            times = [
                timed(lambda command=command: subprocess.run(command, cwd=folder, capture_output=True, check=False))  # type: ignore[misc]
                for _ in range(10)
            ]
            row(f"`hegelion-console {' '.join(arguments)}`", spread(times), "10 runs, wall time")


def status() -> None:
    """``--status`` on a long run."""
    with tempfile.TemporaryDirectory() as folder:
        for cells in glances.status(Path(folder)):
            row(*cells)


def events() -> None:
    """Publishing and replaying a log of 100,000 events."""
    count = 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        log = EventLog(path)

        def publish() -> None:
            for number in range(count):
                log.publish(e.SampleRequested(instance=1 + number % 4, prompt_id=f"p-{number % 8:016x}"))

        row("publish an event", f"{1e6 * timed(publish) / count:.1f} µs", f"{count:,} events, write and fold")
        log.close()
        size = f"{count:,} events, {path.stat().st_size / MIB:.0f} MiB"
        row("open a log by its snapshot", f"{1000 * timed(lambda: replay(path)):.1f} ms", size)
        path.with_suffix(".snapshot").unlink()
        row("replay a log", f"{timed(lambda: replay(path)):.2f} s", size)


def samples() -> None:
    """Appending to a sample file, opening a large one, and its quality report."""
    for cells in (*sample_files.append(), *sample_files.large()):
        row(*cells)


def convert() -> None:
    """Converting as many samples as UltraFeedback has, beside plain Python."""
    for cells in conversion.convert():
        row(*cells)


def console() -> None:
    """The console: first paint, its screens, and while eight processes flood their logs."""
    for cells in (*paint(), *screens(), *flood()):
        row(*cells)


def generate() -> None:
    """How fast many instances are, what the core spends, and what the real Kimi Code sends."""
    for cells in (*generation.rate(), *generation.first_request(), *requests.request_size()):
        row(*cells)


def train() -> None:
    """Training beside ``mlx_lm.lora``: speed, memory, padding, and what SCU costs."""
    for cells in training.training():
        row(*cells)


def blas() -> None:
    """MLX with the stock BLAS of its Linux wheel and with the fast one."""
    with tempfile.TemporaryDirectory() as folder:
        compare("1024 x 1024 float32 product", "GFLOP/s", PRODUCT.format(repeats=5))
        compare("SmolLM2-135M forward pass, 64 tokens", "tokens/s", FORWARD.format(models=folder))


def compare(name: str, unit: str, code: str) -> None:
    figures: dict[str, list[float]] = {"stock": [], "fast": []}
    for _ in range(3):
        for kind, found in figures.items():
            environment = {**os.environ, "HEGELION_BLAS": kind}
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            found.append(float(done.stdout.splitlines()[-1]))
    stock, fast = (statistics.median(found) for found in figures.values())
    row(name, f"{stock:.1f} stock, {fast:.1f} fast: {fast / stock:.0f} x", f"{unit}, medians of 3, in turn")


def demo() -> None:
    """The whole demo: wall time and peak memory of all its processes together."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(BIN / "hegelion-console"), "--run-all", "--demo"]
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, text=True)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - begun
        runs = Path(folder) / "artifacts" / "demo" / "runs"
        state = replay(next(runs.iterdir()) / "events.jsonl")
    row("`hegelion-console --run-all --demo`", f"{seconds:.0f} s", f"exit code {process.returncode}")
    for name, stage in state.stages.items():
        if stage.started is not None and stage.ended is not None:
            row(f"of it {name}", f"{stage.ended - stage.started:.0f} s", stage.detail)
    row("peak memory, all processes", f"{peak / MIB:.0f} MiB", "sum of resident sizes, looked at every 0.2 s")


def _resident(pid: int) -> int:
    try:
        parent = psutil.Process(pid)
        return sum(process.memory_info().rss for process in [parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def chart_updates() -> None:
    """How long the console's chart takes to show a new step of a long training."""
    for cells in chart.updates():
        row(*cells)


BENCHMARKS = {
    "start": start,
    "status": status,
    "events": events,
    "samples": samples,
    "convert": convert,
    "generate": generate,
    "console": console,
    "training": train,
    "chart": chart_updates,
    "blas": blas,
    "demo": demo,
}


def main(names: list[str]) -> None:
    """Run the benchmarks named, or all."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}\n")
    print("| what | figure | how |\n|---|---|---|")
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
