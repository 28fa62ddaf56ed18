"""How long ``--status`` takes on a run of 100,000 events: while a core has it open, after a kill, without snapshot."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hegelion_core import events as e
from hegelion_core.event_log import EventLog
from hegelion_core.run import CoreLock
from hegelion_core.workspace import RunFolder, Workspace

PROGRAM = Path(sys.executable).parent / "hegelion-console"
EVENTS, RUNS = 100_000, 10


def status(root: Path, count: int = EVENTS, runs: int = RUNS) -> Iterator[tuple[str, str, str]]:
    """Rows of the table: wall time and processor time of the whole command, in an empty folder."""
    place = Workspace(root)
    run = place.run("20260101-000000-run-all-aaaaaaaa")
    log = _write(run, count)
    lock = CoreLock(place)
    yield _row(place, count, "a core has it open", runs)
    lock.release()
    yield _row(place, count, "after a kill", runs)
    log.close()
    yield _row(place, count, "not running", runs)
    snapshot = run.events.with_suffix(".snapshot")
    snapshot.unlink()
    yield _row(place, count, "once, its snapshot deleted", 1)


def _write(run: RunFolder, count: int) -> EventLog:
    """A run that asked for a third as many samples and trained as many steps; its core is this process."""
    run.spool.mkdir(parents=True)
    log = EventLog(run.events)
    head: list[e.AnyEvent] = [
        e.RunOpened(
            run_id=run.id,
            folder=str(run.path),
            target=count,
            teacher="t",
            student="s",
            source="p",
            core_pid=os.getpid(),
        ),
        e.WorkRequested(stages=e.STAGES),
        e.StageStarted(stage="generate"),
        e.InstancesScaled(count=4),
    ]
    for event in head:
        log.publish(event)
    third = (count - len(head)) // 3
    for number in range(third):
        instance, prompt = 1 + number % 4, f"{number:016x}"
        log.publish(e.SampleRequested(instance=instance, prompt_id=prompt))
        log.publish(
            e.SampleAccepted(
                instance=instance, prompt_id=prompt, sample_id=prompt, accepted=number + 1, seconds=1.0, tokens=500
            )
        )
    for number in range(count - len(head) - 2 * third):
        log.publish(
            e.StepReported(
                step=number + 1,
                iters=third,
                loss=1.0,
                data_bpt=1.4,
                param_bpt=0.01,
                s=0.01,
                lambda_before=1.0,
                lambda_after=1.0,
            )
        )
    return log


def _row(place: Workspace, count: int, name: str, runs: int) -> tuple[str, str, str]:
    walls, processor = [], []
    for _ in range(runs):
        begun, before = time.perf_counter(), _processor()
        subprocess.run([PROGRAM, "--status"], cwd=place.root, capture_output=True, check=True)
        walls.append(time.perf_counter() - begun)
        processor.append(_processor() - before)
    return (
        f"`--status`, {count:,} events, {name}",
        f"{statistics.median(walls):.3f} s ({min(walls):.3f} to {max(walls):.3f})",
        f"{runs} runs, wall time; {statistics.median(processor):.3f} s of the processor",
    )


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
