"""How long the console's chart takes to show a new step of a long training, in a headless terminal of 160 x 50."""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.curves import MetricsFile
from hegelion_core.training.metrics import StepMetrics
from hegelion_core.workspace import Workspace
from hegelion_tui.app import ConsoleApp
from hegelion_tui.axes import View
from hegelion_tui.widgets.chart import ChartPane
from hegelion_tui.widgets.deck import Deck
from tests.tui.fake_operations import FakeOperations

STEPS = 50_000
UPDATES = 40
SIZE = (160, 50)


def _line(step: int, noise: random.Random) -> bytes:
    loss = 1.2 + 2.4 * math.exp(-step / 4000) + noise.gauss(0, 0.2)
    made = StepMetrics(
        step=step,
        loss=loss,
        data_bpt=loss / math.log(2),
        param_bpt=0.01,
        s=0.02,
        s_hat=0.02,
        lam=1.0,
        lambda_after=1.0,
        lr=1e-4,
        grad_norm=1.0,
        tokens=512,
        seconds=0.2,
        validation=loss if step % 500 == 0 else None,
    )
    return msgspec.json.encode(made) + b"\n"


def updates() -> Iterator[tuple[str, str, str]]:
    """Rows: the whole run with smoothing, in its pane and with the whole screen, and the last steps."""
    with tempfile.TemporaryDirectory() as folder:
        path, noise = Path(folder) / "metrics.jsonl", random.Random(1)
        steps = b"".join(_line(step, noise) for step in range(1, STEPS + 1))
        for what, keys, view in (
            ("whole run, in its pane", (), View()),
            ("whole run, maximised", ("m",), View()),
            ("last 200 steps, maximised", ("m",), View("live")),
        ):
            path.write_bytes(steps)
            times, processor = asyncio.run(_measure(Path(folder), path, keys, view, noise))
            figure = f"{statistics.median(times):.0f} ms ({min(times):.0f} to {max(times):.0f})"
            how = f"{UPDATES} updates, new line to repaint; {processor:.0f} ms of the processor each"
            yield f"chart of {STEPS:,} steps, {what}", figure, how


async def _measure(
    root: Path, path: Path, keys: tuple[str, ...], view: View, noise: random.Random
) -> tuple[list[float], float]:
    """Milliseconds from a line that is in the file to the repaint of the screen; and those of the processor, a mean.

    The wait for the screen's own clock, up to 1/60 s, is part of it.
    """
    app = ConsoleApp(FakeOperations(Workspace(root)))  # there is no run, so nothing but this reads the file
    file, times, busy = MetricsFile(path), [], 0.0
    async with app.run_test(size=SIZE) as pilot:
        chart = app.screen.query_one(ChartPane)
        app.screen.query_one(Deck).choose("chart")
        await pilot.press(*keys)
        await chart.update_from(file)
        while not chart.query("#plot"):
            await pilot.pause(0.05)
        chart.view = view
        await pilot.pause(1.0)
        for number in range(UPDATES):
            await asyncio.to_thread(workspace.append, path, _line(STEPS + 1 + number, noise))
            painted = asyncio.Event()
            begun, busy_before = time.perf_counter(), time.process_time()
            await chart.update_from(file)
            chart.call_after_refresh(painted.set)
            await painted.wait()
            times.append(1000 * (time.perf_counter() - begun))
            busy += time.process_time() - busy_before
            await pilot.pause(0.05)
    return times, 1000 * busy / UPDATES
