"""Child processes: each in a process group of its own, standard input closed, output in files, ended for sure."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hegelion_core import guard, workspace
from hegelion_core.regular import read_regular

ORPHAN_PATIENCE = guard.GRACE + 3.0
"""Seconds that a new core waits for the guard of a dead one before it ends the orphans itself."""


class Child:
    """A running child process."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], ended: Callable[[Child], None]) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._ended = ended
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        _when_ended(process, self._end)

    @property
    def running(self) -> bool:
        return not self._code.done()

    async def wait(self) -> int:
        """The return code, negative for a signal."""
        return await asyncio.shield(self._code)

    async def ended_within(self, seconds: float) -> bool:
        """Whether it has ended after at most so many seconds."""
        done, _ = await asyncio.wait((self._code,), timeout=seconds)
        return bool(done)

    async def stop(self, grace: float = 5.0) -> None:
        """Ask the group to end, wait ``grace`` seconds, kill it; returns when it is gone."""
        if not self.running:
            return
        guard.signal_group(self.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), grace)
        except TimeoutError:
            guard.signal_group(self.pid, signal.SIGKILL)
            await self.wait()

    def _end(self) -> None:
        code = self._process.wait()
        # What the child left behind in its group ends with it (macOS: EPERM where only zombies are left).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._ended(self)
        self._code.set_result(code)


class Supervisor:
    """Spawns children and answers for their end."""

    def __init__(self, note: Path) -> None:
        """``note`` is the file in which this core's mark is kept, so that a later core knows its children again."""
        self._mark = uuid.uuid4().hex
        note.write_text(self._mark, "ascii")
        self._note = note
        self._children: set[Child] = set()
        self._guard: subprocess.Popen[bytes] | None = None

    async def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: Path,
        stderr: Path | None = None,
        max_file: int | None = None,
    ) -> Child:
        """Start a child. Its output is appended to the files; without ``stderr`` both go to ``stdout``.

        ``max_file`` is how large, in bytes, it may make any file (on Linux; elsewhere there is no such limit).

        Raises:
            OSError: the program is not there or cannot be run.
        """
        self._keep_guard()
        process = _start(argv, cwd, {**env, guard.MARK: self._mark}, stdout, stderr)
        if max_file is not None:
            _limit_files(process.pid, max_file)
        child = Child(name, process, self._children.discard)
        self._children.add(child)
        return child

    async def close(self) -> None:
        """Stop every child, then the guard."""
        await asyncio.gather(*(child.stop() for child in list(self._children)))
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            await asyncio.to_thread(self._guard.wait)
        self._note.unlink(missing_ok=True)

    def _keep_guard(self) -> None:
        """Start the guard before the first child, and again should anyone have ended it."""
        if self._guard is None or self._guard.poll() is not None:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", guard.__file__, self._mark],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )


def _start(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], stdout: Path, stderr: Path | None
) -> subprocess.Popen[bytes]:
    out = _open_output(stdout)
    try:
        err = _open_output(stderr) if stderr else out
        try:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd, env=env, start_new_session=True
            )
        finally:
            if err != out:
                os.close(err)
    finally:
        os.close(out)


def _limit_files(pid: int, size: int) -> None:
    """Let a child make no file larger than ``size`` bytes, nor than this process may itself."""
    if sys.platform != "linux":
        return
    _, own = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = size if own == resource.RLIM_INFINITY else min(size, own)
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))


def _when_ended(process: subprocess.Popen[bytes], tell: Callable[[], None]) -> None:
    """Have the event loop call ``tell`` once, when a child has ended.

    Linux tells of it through a descriptor. Elsewhere a thread waits. (asyncio's own subprocesses take more processor
    time: they are made for pipes, which no child of ours has.)
    """
    loop = asyncio.get_running_loop()
    if sys.platform != "linux":
        threading.Thread(target=_wait_in_thread, args=(process, loop, tell), daemon=True).start()
        return
    descriptor = os.pidfd_open(process.pid)

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        tell()

    loop.add_reader(descriptor, ended)


def _wait_in_thread(
    process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, tell: Callable[[], None]
) -> None:
    process.wait()
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(tell)


async def end_orphans(note: Path, say: Callable[[str], None]) -> None:
    """Make sure that no child of a core that died is left. Waits for that core's guard first, and says so."""
    if (mark := _left_mark(note)) is None:
        return
    deadline = asyncio.get_running_loop().time() + ORPHAN_PATIENCE
    said = False
    while await asyncio.to_thread(guard.marked, mark):
        if not said:
            say("An earlier core ended without warning; its processes are being ended first.")
            said = True
        if asyncio.get_running_loop().time() > deadline:
            await asyncio.to_thread(guard.end, mark)
        await asyncio.sleep(0.1)


def _left_mark(note: Path) -> str | None:
    """The mark of a core that could not take its note away."""
    try:
        return read_regular(note).decode("ascii", "replace")
    except FileNotFoundError:
        return None


def _open_output(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND
    try:
        return workspace.open_own(path, flags)
    except FileNotFoundError:
        workspace.make_folder(path.parent)
        return workspace.open_own(path, flags)
