"""Child processes: each in a process group of its own, standard input closed, output in files, ended for sure."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import psutil

from hegelion_core import guard, workspace

ORPHAN_PATIENCE = guard.GRACE + 3.0
"""Seconds that a new core waits for the guard of a dead one before it ends the orphans itself."""


class _Record(msgspec.Struct, frozen=True):
    """What is written down of a child, so that a later core knows it again: ids are reused, start times are not."""

    name: str
    pid: int
    started: float


class Child:
    """A running child process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, ended: Callable[[Child], None]) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._ended = ended
        self._waiter = asyncio.ensure_future(self._wait())

    @property
    def running(self) -> bool:
        return not self._waiter.done()

    async def wait(self) -> int:
        """The return code, negative for a signal."""
        return await asyncio.shield(self._waiter)

    async def stop(self, grace: float = 5.0) -> None:
        """Ask the group to end, wait ``grace`` seconds, kill it; returns when it is gone."""
        if not self.running:
            return
        _signal_group(self.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), grace)
        except TimeoutError:
            _signal_group(self.pid, signal.SIGKILL)
            await self.wait()

    async def _wait(self) -> int:
        code = await self._process.wait()
        # What the child left behind in its group ends with it.
        _signal_group(self.pid, signal.SIGKILL)
        self._ended(self)
        return code


class Supervisor:
    """Spawns children and answers for their end."""

    def __init__(self, records: Path) -> None:
        """``records`` is the folder in which running children are written down."""
        self._records = records
        self._records.mkdir(parents=True, exist_ok=True)
        self._children: dict[int, Child] = {}
        self._guard: subprocess.Popen[str] | None = None

    async def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: Path,
        stderr: Path | None = None,
    ) -> Child:
        """Start a child. Its output is appended to the files; without ``stderr`` both go to ``stdout``.

        Raises:
            OSError: the program is not there or cannot be run.
        """
        with contextlib.ExitStack() as files:
            out = files.enter_context(_open_output(stdout))
            err = files.enter_context(_open_output(stderr)) if stderr else out
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
            )
        self._tell_guard(f"+{process.pid}")
        child = Child(name, process, self._forget)
        self._children[child.pid] = child
        with contextlib.suppress(psutil.NoSuchProcess):
            record = _Record(name, child.pid, psutil.Process(child.pid).create_time())
            workspace.replace(self._record(child.pid), msgspec.json.encode(record))
        return child

    async def close(self) -> None:
        """Stop every child, then the guard."""
        await asyncio.gather(*(child.stop() for child in list(self._children.values())))
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()
            await asyncio.to_thread(self._guard.wait)
            self._guard = None

    def _forget(self, child: Child) -> None:
        self._children.pop(child.pid, None)
        self._record(child.pid).unlink(missing_ok=True)
        if self._guard is not None:
            self._tell_guard(f"-{child.pid}")

    def _record(self, pid: int) -> Path:
        return self._records / f"{pid}.json"

    def _tell_guard(self, line: str) -> None:
        if self._guard is None or self._guard.poll() is not None:
            self._guard = _start_guard()
            for pid in self._children:
                _write_line(self._guard, f"+{pid}")
        _write_line(self._guard, line)


async def end_orphans(records: Path, say: Callable[[str], None]) -> None:
    """Make sure that no child of a core that died is left. Waits for that core's guard first, and says so."""
    if not (orphans := _orphans(records)):
        return
    names = ", ".join(sorted({process_name for process_name, _ in orphans}))
    say(f"An earlier core ended without warning; waiting for its processes to end ({names}).")
    deadline = asyncio.get_running_loop().time() + ORPHAN_PATIENCE
    while orphans and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.1)
        orphans = [(name, process) for name, process in orphans if _alive(process)]
    for _, process in orphans:
        _signal_group(process.pid, signal.SIGKILL)


def _orphans(records: Path) -> list[tuple[str, psutil.Process]]:
    found: list[tuple[str, psutil.Process]] = []
    for path in records.glob("*.json"):
        with contextlib.suppress(psutil.NoSuchProcess, msgspec.DecodeError):
            record = msgspec.json.decode(path.read_bytes(), type=_Record)
            process = psutil.Process(record.pid)
            # Start times are known to a hundredth of a second, and drift by that when the clock is set.
            if abs(process.create_time() - record.started) < 1.0 and _alive(process):
                found.append((record.name, process))
        path.unlink(missing_ok=True)
    return found


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal_group(group: int, number: int) -> None:
    # macOS answers EPERM for a group in which only zombies are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _open_output(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "ab")


def _start_guard() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def _write_line(process: subprocess.Popen[str], line: str) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
