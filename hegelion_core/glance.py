"""A run at a glance: what its files, its processes and the machine tell at one moment. Light and quick.

Nothing is asked of the core, so a glance works while nothing runs and after a crash as well. Sizes in bytes, times in
seconds since the epoch.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from hegelion_core import gpu, process_memory
from hegelion_core.event_log import EventReader, restore
from hegelion_core.fold import fold
from hegelion_core.presence import core_of, is_free
from hegelion_core.pressure import Pressure, read_pressure
from hegelion_core.process_memory import ChildProcess
from hegelion_core.regular import open_regular, read_regular
from hegelion_core.run_state import RunState
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.wire import read_pointer
from hegelion_core.workspace import RunFolder, Workspace, alive

LOGS, LINES = 3, 3
"""How many logs are looked at, those that were written last, and how many lines of each."""
_TAIL = 8192
"""Bytes at a log's end in which its last lines are looked for."""
GPU_PATIENCE = 0.1
"""Seconds that graphics processors have to tell of themselves: a driver that sleeps may take much longer to wake."""
_ADAPTER_PATH = Path("artifacts/adapters/hegelion_1.5b_v1")


class Log(msgspec.Struct, frozen=True):
    """The end of a log."""

    path: str
    written_at: float
    lines: tuple[str, ...]


class AdapterFile(msgspec.Struct, frozen=True):
    """A file of the adapter's folder; ``link`` says what it leads to, if it is a link."""

    name: str
    size: int
    written_at: float
    link: str = ""


@dataclass(frozen=True)
class Glance:
    """A run and its surroundings at one moment."""

    place: Workspace
    run: RunFolder
    state: RunState
    damaged: int
    """Lines of the event log that could not be read."""
    now: float
    core: int
    """Process id of the core that has the run open; 0: none has."""
    core_memory: int
    children: tuple[ChildProcess, ...]
    instances: dict[int, tuple[int, ...]]
    """Number of a generator instance to the process ids of its calls, where its teacher is a program."""
    left: tuple[int, ...]
    """Process ids of children that outlived a core that died."""
    logs: tuple[Log, ...]
    adapter: Path
    adapter_files: tuple[AdapterFile, ...]
    machine: Pressure
    """Without the load of the processors, which takes time to measure."""
    load: float
    """Processes that ran or wanted to, on the average of the last minute."""


class Onlooker:
    """Looks at the newest run again and again; of its log only what is new is read."""

    def __init__(self, place: Workspace) -> None:
        self._place = place
        self._gpus = _Gpus()
        self._reader: EventReader | None = None
        self._state = RunState()

    def look(self, now: float) -> Glance | None:
        """The run that a core has open, or that was at work last, as it is now; ``None``: there is no run."""
        run = _at_work(self._place) or self._place.newest_run()
        if run is None:
            return None
        self._gpus.begin()
        state, damaged = self._read(run)
        core = core_of(self._place, state)
        children = process_memory.children(core, state.children) if core else []
        adapter = self._place.resolve(_adapter_path(run))
        return Glance(
            place=self._place,
            run=run,
            state=state,
            damaged=damaged,
            now=now,
            core=core,
            core_memory=_memory(core),
            children=tuple(children),
            instances=_instances(run, state, children),
            left=tuple(_left(state)) if not core else (),
            logs=tuple(_logs(self._place.logs, state.opened_at)),
            adapter=adapter,
            adapter_files=tuple(_files(adapter)),
            machine=read_pressure(run.path, interval=None, gpus=self._gpus),
            load=os.getloadavg()[0],
        )

    def _read(self, run: RunFolder) -> tuple[RunState, int]:
        if self._reader is None or self._reader.path != run.events:
            self._state, self._reader = restore(run.events)
        else:
            self._state = fold(self._reader.read(), self._state)
        return self._state, self._reader.damaged


def _at_work(place: Workspace) -> RunFolder | None:
    pointer = read_pointer(place)
    if pointer is None or not alive(pointer.pid) or is_free(place):
        return None
    run = RunFolder(Path(pointer.run))
    return run if run.events.exists() else None


class _Gpus:
    """Reads the graphics processors beside everything else, and does without them if they take too long."""

    def __init__(self) -> None:
        self._opened: gpu.GpuReader | None = None
        self._found: tuple[gpu.Gpu, ...] = ()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin to read, unless the last reading still goes on."""
        if self._thread is None or not self._thread.is_alive():
            # Not waited for at the end of the process, unlike the threads of a pool.
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def read(self) -> tuple[gpu.Gpu, ...]:
        """What was read; of the reading before, if this one takes too long."""
        if self._thread is not None:
            self._thread.join(GPU_PATIENCE)
        return self._found

    def _work(self) -> None:
        self._opened = self._opened or gpu.open_reader()
        self._found = self._opened.read()


def _memory(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else 0
    except psutil.Error:
        return 0


def _instances(run: RunFolder, state: RunState, children: Sequence[ChildProcess]) -> dict[int, tuple[int, ...]]:
    asked_by = {prompt: number for number, instance in state.instances.items() for prompt in instance.in_flight}
    found: dict[int, tuple[int, ...]] = {}
    for child in children if asked_by else ():
        number = asked_by.get(_prompt_of(child.pid, run.calls))
        if number is not None:
            found[number] = (*found.get(number, ()), child.pid)
    return found


def _prompt_of(pid: int, calls: Path) -> str:
    """Id of the prompt that a call's process answers: it writes into the call's folder, which is named for it."""
    with contextlib.suppress(psutil.Error):
        for file in psutil.Process(pid).open_files():
            folder = Path(file.path).parent
            if folder.parent == calls:
                return folder.name.rpartition("-")[0]
    return ""


def _left(state: RunState) -> list[int]:
    """Which of the children that never ended still run: an id alone might be another process's by now."""
    found: list[int] = []
    for pid in state.children.values():
        try:
            process = psutil.Process(pid)
            if state.opened_at - 1 <= process.create_time() <= state.updated_at + 1:
                found.append(pid)
        except psutil.Error:
            continue
    return found


def _logs(folder: Path, since: float) -> list[Log]:
    """The ends of the logs that were written last, since the run was opened; the last one first."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob("*.log"):
        try:
            written = path.stat()
        except OSError:
            continue
        if written.st_mtime >= since - 1 and written.st_size:
            found.append((written.st_mtime, path))
    return [Log(str(path), at, tail(path)) for at, path in sorted(found, reverse=True)[:LOGS]]


def tail(path: Path, lines: int = LINES) -> tuple[str, ...]:
    """The last lines of a text file that say something; of one that cannot be read, none."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    # What overwrites itself on a terminal, such as a progress bar, has only its last state.
    said = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return tuple([line for line in said if line.strip()][-lines:])


def _adapter_path(run: RunFolder) -> Path:
    """Where the run's adapter is, or goes."""
    try:
        settings = msgspec.json.decode(read_regular(run.settings), type=_Settings)
    except (OSError, *UNREADABLE):
        return _ADAPTER_PATH
    return Path(settings.training.adapter_path)


class _Training(msgspec.Struct):
    adapter_path: str = str(_ADAPTER_PATH)


class _Settings(msgspec.Struct):
    training: _Training = msgspec.field(default_factory=_Training)


def _files(folder: Path) -> list[AdapterFile]:
    found: list[AdapterFile] = []
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        for path in paths:
            status = path.lstat()
            link = os.readlink(path) if path.is_symlink() else ""  # noqa: PTH115 - as it is written
            if path.is_file() or link:
                found.append(AdapterFile(path.name, status.st_size, status.st_mtime, link))
    except OSError:
        return found
    return found
