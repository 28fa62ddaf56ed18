"""Far more than a run has: a million events, a log of 5 GiB, and 64 instances for half an hour of quick time.

``python -m tests.benchmarks.load [events|log|instances ...]``. (100,000 samples: ``sample_files.py``.) It takes a
quarter of an hour and 6 GiB of disk, so ``make bench`` leaves it out.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from hegelion_core import events as e
from hegelion_core.event_log import EventReader
from hegelion_core.workspace import Workspace
from tests.benchmarks import generation, status
from tests.benchmarks.console import Console

Cells = tuple[str, str, str]
MIB = 1 << 20
MILLION = 1_000_000
GIB = 5
LINE = b"12:00:00 what a teacher says: some hundred characters a line, as they often are, over and over ......\n"
BLOCK = LINE * (MIB // len(LINE))
HOUR_HALF = 57_600
"""Samples that 64 instances make in half an hour with a teacher that takes 2 s."""
QUICK = 0.02
"""Seconds that the teacher takes instead."""
REPLAY = """
import resource, sys, time
from pathlib import Path
from hegelion_core.event_log import replay
begun = time.perf_counter()
state = replay(Path(sys.argv[1]))
unit = 1 if sys.platform == "darwin" else 1024
print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


def events() -> Iterator[Cells]:
    """Rows: a log of a million events, by its snapshot and without, and ``--status`` on it."""
    with tempfile.TemporaryDirectory() as name:
        yield from status.status(Path(name), MILLION, runs=5)
        log = next(Path(name).rglob("events.jsonl"))
        size = f"{MILLION:,} events, {log.stat().st_size / MIB:.0f} MiB"
        for how in ("by its snapshot", "event by event"):
            done = subprocess.run([sys.executable, "-c", REPLAY, str(log)], capture_output=True, text=True, check=True)
            seconds, peak = map(float, done.stdout.split())
            yield f"replay a log, {how}", f"{seconds:.3f} s, peak {peak / MIB:.0f} MiB", size
            log.with_suffix(".snapshot").unlink(missing_ok=True)


def log() -> Iterator[Cells]:
    """Rows: the console over a log of 5 GiB: its end, its start, and a search that goes all the way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Workspace(folder).generator_log(1)
        path.parent.mkdir(parents=True)
        with open(path, "wb") as file:
            file.write(b"12:00:00 the very beginning\n")
            for _ in range(GIB * 1024):
                file.write(BLOCK)
            file.write(b"12:00:01 the very end\n")
        size = f"{path.stat().st_size / (1 << 30):.1f} GiB, {path.stat().st_size // len(LINE):,} lines"
        begun = time.perf_counter()
        console = Console(folder, [sys.executable, "-m", "tests.benchmarks.load", "--app", str(folder)])
        try:
            console.read_until(b"the very end", folder / "ready")
            yield "console over a log: its end is shown", f"{time.perf_counter() - begun:.2f} s", f"{size}; from start"
            for key, shown in ((b"<", b"beginning"), (b">", b"very end"), (b"<", b"beginning"), (b">", b"very end")):
                seconds, _ = console.press(key, shown)
                yield f"{key.decode()} until {shown.decode()!r} is shown", f"{1000 * seconds:.0f} ms", size
            console.press(b"/", b"regular expression")
            console.press(b"very beginning", None)
            console.rest(1.0)
            seconds, _ = console.press(b"\r", b" of 1")
            yield "search from the end, until the first line is found", f"{seconds:.1f} s", size
            keys = ((b">", b"very end"), (b"<", b"very")) * 5
            presses = [console.press(key, shown)[0] for key, shown in keys]
            yield "start and end afterwards", f"{1000 * statistics.median(presses):.0f} ms", "median of 10 keys"
            resident = psutil.Process(console.process.pid).memory_info().rss
            yield "memory of the console", f"{resident / MIB:.0f} MiB", "resident, at the end"
        finally:
            console.close()


def instances() -> Iterator[Cells]:
    """Row: 64 instances with a quick teacher: the core's memory and processor time, first and last tenth."""
    with generation.workspace(HOUR_HALF + 1) as folder:
        command = [str(generation.BIN / "hegelion-console"), "generate", "--prompt-file", "prompts.txt"]
        command += ["--limit", str(HOUR_HALF), "--instances", "64"]
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "HOME": str(folder), "KIMI_MODEL_NAME": "m", "KIMI_FAKE_SECONDS": str(QUICK)}
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=subprocess.DEVNULL)
        looks = list(_watched(process, folder))
        if process.returncode:
            raise SystemExit(f"generate ended with exit code {process.returncode}")
        newest = max((folder / "artifacts" / "runs").iterdir(), key=lambda run: run.stat().st_mtime)
        found = [event for event in EventReader(newest / "events.jsonl").read() if isinstance(event, e.SampleAccepted)]
        left = sorted(entry.name for entry in (newest / "spool").rglob("*"))
    tenth = len(found) // 10
    rates = [tenth / (part[-1].at - part[0].at) for part in (found[:tenth], found[-tenth:])]
    by_samples = {samples: (resident, cpu) for samples, resident, cpu in looks if samples}
    for name, low, high in (("first", 0.05, 0.15), ("last", 0.85, 0.95)):
        part = [(n, *rest) for n, rest in by_samples.items() if low * HOUR_HALF <= n <= high * HOUR_HALF]
        (n1, _, cpu1), (n2, resident, cpu2) = part[0], part[-1]
        cost = f"{1000 * (cpu2 - cpu1) / (n2 - n1):.1f} ms a sample, {resident / MIB:.0f} MiB"
        yield f"core, 64 instances, around the {name} tenth", cost, "processor time and resident size"
    rate = f"{rates[0]:.0f} samples/s in the first tenth, {rates[1]:.0f} in the last"
    yield (
        f"64 instances, {HOUR_HALF:,} samples",
        rate,
        f"teacher takes {1000 * QUICK:.0f} ms; left in the spool: {left}",
    )


def _watched(process: subprocess.Popen[bytes], folder: Path) -> Iterator[tuple[int, int, float]]:
    """Samples so far, resident bytes and processor seconds of a core, once a second."""
    core, samples = psutil.Process(process.pid), folder / "artifacts/data/hegelion_kimi_training_data.jsonl"
    length = 0
    while process.poll() is None:
        with core.oneshot():
            if core.status() != psutil.STATUS_ZOMBIE:
                times = core.cpu_times()
                size = samples.stat().st_size if samples.exists() else 0
                if not length and size:
                    with open(samples, "rb") as file:
                        length = len(file.readline())
                yield size // length if length else 0, core.memory_info().rss, times.user + times.system
        time.sleep(1.0)


def run_app(folder: Path) -> None:
    """The child: the app over the log."""
    import hegelion_tui
    from hegelion_core.commands.process import SCREEN, settle
    from hegelion_tui.app import ConsoleApp
    from hegelion_tui.logs.view import LogView
    from tests.tui.fake_operations import FakeOperations, generating, opened

    class App(ConsoleApp):
        CSS_PATH = str(Path(hegelion_tui.__file__).parent / "hegelion.tcss")

        async def on_ready(self) -> None:
            self.call_later(self._focus)

        def _focus(self) -> None:
            views = [view for view in self.screen.query(LogView).results(LogView) if view.window.rows]
            if not views:
                self.set_timer(0.05, self._focus)
                return
            views[0].focus()
            (folder / "ready").touch()

    run = FakeOperations(Workspace(folder))
    run.feed(*opened(), *generating(1))
    settle(SCREEN)
    App(run).run()


def main(arguments: list[str]) -> None:
    """Print the rows of those named, or of all."""
    if arguments[:1] == ["--app"]:
        run_app(Path(arguments[1]))
        return
    loads = {"events": events, "log": log, "instances": instances}
    for name in arguments or loads:
        for cells in loads[name]():
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
