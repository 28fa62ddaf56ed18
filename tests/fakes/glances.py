"""A run and its surroundings as a test wants them."""

from __future__ import annotations

from pathlib import Path

from hegelion_core.glance import AdapterFile, Glance, Log
from hegelion_core.pressure import Level, Pressure
from hegelion_core.process_memory import ChildProcess
from hegelion_core.run_state import RunState
from hegelion_core.workspace import Workspace

GIB = 1 << 30


def glance(
    state: RunState,
    *,
    now: float,
    core: int = 0,
    children: tuple[ChildProcess, ...] = (),
    instances: dict[int, tuple[int, ...]] | None = None,
    left: tuple[int, ...] = (),
    logs: tuple[Log, ...] = (),
    files: tuple[AdapterFile, ...] = (),
    level: Level = "normal",
    disk: int = 50 * GIB,
) -> Glance:
    place = Workspace(Path("/w"))
    return Glance(
        place=place,
        run=place.run(state.run_id),
        state=state,
        damaged=0,
        now=now,
        core=core,
        core_memory=40 << 20,
        children=children,
        instances=instances or {},
        left=left,
        logs=logs,
        adapter=Path("/w/adapter"),
        adapter_files=files,
        machine=Pressure(level=level, available=8 * GIB, total=16 * GIB, stalled=None, cpu=0.0, disk_free=disk),
        load=1.0,
    )
