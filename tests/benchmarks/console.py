"""The console under a flood: eight processes write a million lines into logs as fast as they can, and a person types.

The writers are processes of their own, the console is the real app in a process and on a terminal (a pty) of its own.
Measured is what a person would feel: from the byte of a key that is put into the terminal to the bytes that paint its
effect coming out of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import random
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

WRITERS = 8
LINES = 125_000
"""Of each writer in each flood: a million in all."""
FLOODS = 15
"""One is over in seconds, and a person presses few keys meanwhile; a 99th percentile wants more than a hundred."""
SEEDS = 1500
"""Lines that a log has before; each has a number that can be recognised on the screen."""
PATIENCE = 60.0
MIB = 1 << 20
Latency = tuple[float, float]
"""Seconds by the clock; and without those in which the processors were busy with other processes."""
Times = dict[str, list[Latency]]
TEXT = "what a teacher says: some hundred characters a line, as they often are"
WRITER = f"""
import os, sys, time
path, first, lines, go = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
while not os.path.exists(go):
    time.sleep(0.01)
with open(path, "ab", buffering=1 << 14) as log:
    for number in range(first, first + lines):
        log.write(b"12:00:01 \\x1b[32mline\\x1b[0m %07d: {TEXT}\\n" % number)
"""


def flood() -> Iterator[tuple[str, str, str]]:
    """Rows: name, figure, how."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        console = Console(folder)
        try:
            yield from _flood(console, folder)
        finally:
            console.close()


def _flood(console: Console, folder: Path) -> Iterator[tuple[str, str, str]]:
    console.read_until(b"seed", folder / "ready")
    top = int((folder / "ready").read_text())
    logs = [folder / "artifacts" / "logs" / f"generator_{number}.log" for number in range(1, WRITERS + 1)]
    quiet: Times = {"scroll a line": [], "type a letter": []}
    for _ in range(5):
        top = _round(console, top, quiet)
    times: Times = {name: [] for name in quiet}
    flooded = 0.0
    for number in range(FLOODS):
        go = folder / f"go-{number}"
        parts = [str(number * LINES), str(LINES), str(go)]
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(log), *parts]) for log in logs]
        console.rest(2.0)  # until they all wait for the word
        go.touch()
        begun = time.perf_counter()
        while any(writer.poll() is None for writer in writers):
            top = _round(console, top, times)
        flooded += time.perf_counter() - begun
    console.rest(1.0)
    found = json.loads((folder / "found").read_text())
    size = sum(log.stat().st_size for log in logs)
    lines = FLOODS * WRITERS * LINES
    how = f"{WRITERS} processes, {lines:,} lines, {size / MIB:.0f} MiB in {flooded:.1f} s"
    for name, seconds in times.items():
        yield f"flood: key to repaint, {name}", _spread(seconds), f"{len(seconds)} keys; {how}"
        yield f"without the flood: {name}", _spread(quiet[name]), f"{len(quiet[name])} keys, just before"
    grown, before = found["grown"] / MIB, found["before"] / MIB
    yield "flood: memory grows by", f"{grown:.1f} MiB", f"resident, from {before:.0f} MiB"
    yield "flood: processor time of the console", f"{found['cpu']:.1f} s", "of all its threads"
    held_up, worked = 1000 * found["held_up"], 1000 * found["worked"]
    yield (
        "flood: the event loop was held up for",
        f"{held_up:.0f} ms, {worked:.0f} ms of it by own work",
        "the longest time",
    )
    yield "flood: a pane that is scrolled up moved", f"{found['moved']} times", f"of {found['looks']} looks"
    yield "flood: lines on disk as they were written", f"{sum(map(right, logs)):,}", f"of {lines:,}"


def _round(console: Console, top: int, times: Times) -> int:
    """Ten lines up and a search typed; the seed that is at the top then."""
    for _ in range(10):
        top -= 1
        times["scroll a line"].append(console.press(b"k", b"seed %04d" % top))
    word = "".join(random.choices("QXZJVK", k=12)).encode()
    console.press(b"/", b"regular expression")
    for end in range(1, len(word) + 1):
        took = console.press(word[end - 1 : end], word[:end])
        if end > 3:  # fewer letters might be painted for another reason
            times["type a letter"].append(took)
    console.press(b"\x1b", None)
    console.rest(0.3)
    return top


def _spread(latencies: list[Latency]) -> str:
    """Median and 99th percentile, by the clock and without waiting for a processor."""
    texts = []
    for seconds in zip(*latencies, strict=True):
        ordered = sorted(1000 * one for one in seconds)
        p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
        texts.append(f"{statistics.median(ordered):.0f} ms, 99th percentile {p99:.0f} ms")
    return f"{texts[0]}; without waiting for a processor {texts[1]}"


def right(log: Path) -> int:
    """Lines of a writer that stand in its log, in order."""
    count = 0
    with log.open("rb") as file:
        for line in file:
            count += line.split(b"\x1b[0m ")[-1].startswith(b"%07d:" % count)
    return count


class Console:
    """The app in a process on a pty, seen from outside."""

    def __init__(self, folder: Path, command: list[str] | None = None) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        command = command or [sys.executable, "-m", "tests.benchmarks.console", str(folder)]
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)

    def press(self, key: bytes, shown: bytes | None) -> Latency:
        """How long it takes from a key to the bytes that it paints."""
        self._drain()
        begun, waited = time.perf_counter(), self._waited()
        os.write(self._master, key)
        if shown is not None:
            self.read_until(shown)
        seconds = time.perf_counter() - begun
        return seconds, max(0.0, seconds - (self._waited() - waited))

    def _waited(self) -> float:
        """Seconds for which this process and the console wanted a processor and had none; 0 where that isn't told."""
        found = 0
        for process in ("self", str(self.process.pid)):
            for task in Path(f"/proc/{process}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    found += int(task.read_text().split()[1])
        return found / 1e9

    def read_until(self, shown: bytes, made: Path | None = None) -> None:
        """Read until these bytes have come out and the file is there."""
        seen, end = b"", time.monotonic() + PATIENCE
        while shown not in seen or not (made is None or made.exists()):
            if time.monotonic() > end:
                raise TimeoutError(f"{shown!r} was not painted")
            if select.select([self._master], [], [], 0.1)[0]:
                seen += os.read(self._master, 1 << 16)

    def rest(self, seconds: float) -> None:
        """Let the app paint for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0]:
                os.read(self._master, 1 << 16)

    def _drain(self) -> None:
        self.rest(random.uniform(0.01, 0.05))
        while select.select([self._master], [], [], 0)[0]:
            os.read(self._master, 1 << 16)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


def run_app(folder: Path) -> None:  # noqa: C901 - an app in a function: only the child loads textual
    """The child: the app over logs with some lines each, two of its panes scrolled up."""
    import hegelion_tui
    from hegelion_core.commands.process import SCREEN, settle
    from hegelion_core.workspace import Workspace
    from hegelion_tui.app import ConsoleApp
    from hegelion_tui.logs.pane import LogPane
    from hegelion_tui.logs.view import LogView
    from tests.tui.fake_operations import FakeOperations, generating, opened

    def rows(view: LogView) -> list[str]:
        return [view.render_line(y).text for y in range(view.size.height)]

    class Watched(ConsoleApp):
        """Looks at itself, and writes down what it found."""

        CSS_PATH = str(Path(hegelion_tui.__file__).parent / "hegelion.tcss")

        async def on_ready(self) -> None:
            self.run_worker(self._watch())

        async def _watch(self) -> None:
            scrolled, still = (await self._view(2)), (await self._view(3))
            await asyncio.sleep(1.0)  # until the panes have their places
            for view in (still, scrolled):
                view.focus()
                view.scroll_to(y=view.scroll_y - 20)
            await asyncio.sleep(0.5)
            shown, before, cpu = rows(still), resident(), processor()
            (folder / "ready").write_text(scrolled.window.rows[round(scrolled.scroll_y)].entry.line.plain[-4:])
            looks, moved, peak, held_up, worked = 0, 0, before, 0.0, 0.0
            while True:
                for _ in range(20):
                    begun, own = time.perf_counter(), time.thread_time()
                    await asyncio.sleep(0.01)
                    held_up = max(held_up, time.perf_counter() - begun - 0.01)
                    worked = max(worked, time.thread_time() - own)
                looks += 1
                moved += rows(still) != shown
                peak = max(peak, resident())
                found = {"looks": looks, "moved": moved, "held_up": held_up, "worked": worked, "cpu": processor() - cpu}
                found |= {"before": before, "grown": peak - before}
                (folder / "finding").write_text(json.dumps(found))
                (folder / "finding").replace(folder / "found")

        async def _view(self, number: int) -> LogView:
            while True:
                for pane in self.screen.query(f"#generator-{number}").results(LogPane):
                    if pane.view.window.rows and pane.view.max_scroll_y > 20:
                        return pane.view
                await asyncio.sleep(0.05)

    place = Workspace(folder)
    place.logs.mkdir(parents=True)
    for number in range(1, WRITERS + 1):
        name = "seed" if number == 2 else "other"
        place.generator_log(number).write_text("".join(f"12:00:00 {name} {line:04}\n" for line in range(SEEDS)))
    run = FakeOperations(place)
    run.feed(*opened(), *generating(WRITERS))
    app = Watched(run)
    settle(SCREEN)
    app.run()


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(psutil.Process().memory_info().rss)


def processor() -> float:
    """Seconds of processor time that this process has had."""
    return float(sum(psutil.Process().cpu_times()[:2]))


if __name__ == "__main__":
    run_app(Path(sys.argv[1]))
