"""How long the console lets one wait: for its first paint, and for each of its screens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from hegelion_core.commands.process import SCREEN, settle
from tests.benchmarks.console import Console
from tests.tui.scenes import BY_NAME, Scene, played
from tests.tui.screen_text import until_shown

RUNS = 7
SIZE = (160, 50)
REST = 0.5
"""Seconds between keys, in which nobody looks: to look takes time of the same loop."""


def paint() -> Iterator[tuple[str, str, str]]:
    """Rows: from the command to the first paint on a terminal, with a core that is there and without."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            cold = [_painted(folder, alone=True) for _ in range(RUNS)]
            warm = [_painted(folder, alone=False) for _ in range(RUNS)]
        finally:
            _end_core(folder)
    yield "first paint, a core is at work", _spread(warm), f"{RUNS} runs, 160x50, from the command"
    yield "first paint, the core is started too", _spread(cold), f"{RUNS} runs"


def _painted(folder: Path, *, alone: bool) -> float:
    if alone:
        _end_core(folder)
    command = [str(Path(sys.executable).parent / "hegelion-console"), "--demo", "--workspace", str(folder)]
    begun = time.perf_counter()
    console = Console(folder, command)
    try:
        console.read_until(b"generator 1")
        return time.perf_counter() - begun
    finally:
        console.close()


def _end_core(folder: Path) -> None:
    pointer = folder / "artifacts" / "demo" / "core.json"
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        core = psutil.Process(json.loads(pointer.read_text())["pid"])
        os.kill(core.pid, signal.SIGTERM)
        core.wait(20)


def screens() -> Iterator[tuple[str, str, str]]:
    """Rows: how long the event loop worked at a stretch while a screen was opened, over the recorded run."""
    settle(SCREEN)  # as the console does
    for scene in ("samples", "settings", "checklist", "help", "palette", "question", "log", "chart"):
        longest = [asyncio.run(_opened(BY_NAME[scene])) for _ in range(3)]
        yield f"longest stretch of work: {scene}", f"{1000 * min(longest):.0f} ms", "processor time, best of 3, 160x50"


async def _opened(scene: Scene) -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with played(replace(scene, keys=()), Path(folder), SIZE) as pilot:
            await pilot.pause(1.0)
            watch = Watch()
            watching = asyncio.create_task(watch.look())
            for key in scene.keys:
                if not key.startswith("wait:"):
                    pilot.app.simulate_key(key)
                await asyncio.sleep(REST)
            await asyncio.sleep(REST)
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await until_shown(pilot, *scene.shows)
    return watch.longest


class Watch:
    """Looks how long the event loop works at a stretch, in seconds of processor time."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def look(self) -> None:
        """Look until it is cancelled."""
        while True:
            own = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.thread_time() - own)


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
