"""Fails, shortens or ends at the n-th call of the system that matches; for any Python with this folder on its path.

``HEGELION_FAULT`` holds a JSON object: ``root`` (only paths below it are looked at), ``role`` (``core``, or a part of
the command line of the process that is meant), ``log`` (a file that gets a line when the fault happened), and

- ``op``, ``path``, ``nth``: the calls that are counted, a regular expression for the path, which of them is struck;
- ``act``: the name of an error; ``short``: half is written; ``kill``: SIGKILL before the call; ``kill_after``: after
  it; ``tear``: half is written, then SIGKILL; ``power``: what was never synced is lost, then SIGKILL; ``hold``:
  SIGSTOP, and whoever started this decides; ``jump``: the clock moves by ``seconds``; ``trace``: it writes calls down;
- ``lasting``: every later call fails too.

Kept to the standard library, and small: it is part of the start of every process.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

T = TypeVar("T")
VARIABLE, CORE = "HEGELION_FAULT", "core"
_write, _fsync, _open, _truncate, _time = os.write, os.fsync, os.open, os.truncate, time.time
_io_open = io.open


class Injector:
    """Counts calls, and strikes at one."""

    def __init__(self) -> None:
        self.armed = False
        self._offset = 0.0
        self._done = False

    def arm(self, told: str, role: str) -> None:
        """From now on; ``told`` is the variable's content."""
        given = json.loads(told)
        if (given["role"] != role) if given["role"] == CORE else (given["role"] not in role):
            return
        if os.path.exists(given["log"]):
            return  # a worker was struck already, and this is the one after it
        self._root = str(given["root"])
        self._log = str(given["log"])
        self._op = str(given["op"])
        self._path = re.compile(given["path"])
        self._left = int(given["nth"])
        self._act = str(given["act"])
        self._lasting = bool(given.get("lasting", False))
        self._seconds = float(given.get("seconds", 0.0))
        self._pid = os.getpid()
        self._durable: dict[str, int] = {}
        self._done = False
        self.armed = True

    def call(self, op: str, path: str, real: Callable[[], T], half: Callable[[], T] | None = None) -> T:
        """Make a call, or what becomes of it."""
        if not self.armed or not path.startswith(self._root) or os.getpid() != self._pid or self._act == "jump":
            return real()
        if self._act == "trace":
            self._note(op, path)
            return real()
        if self._act == "power":
            self._remember(op, path)
        if not self._strikes(op, path):
            return self._made(op, path, real)
        if not self._done:
            self._done = True
            self._note(op, path)
        return self._strike(op, path, real, half)

    def _strikes(self, op: str, path: str) -> bool:
        if (self._done and not self._lasting) or self._op not in ("any", op) or not self._path.search(path):
            return False
        self._left -= 1
        return self._left <= 0

    def _strike(self, op: str, path: str, real: Callable[[], T], half: Callable[[], T] | None) -> T:
        if self._act == "hold":
            os.kill(self._pid, signal.SIGSTOP)
            return self._made(op, path, real)
        if self._act == "short" and half is not None:
            return half()
        if self._act == "tear" and half is not None:
            half()
        if self._act == "kill_after":
            real()
        if self._act == "power":
            self._lose()
        if self._act in ("kill", "kill_after", "tear", "power"):
            os.kill(self._pid, signal.SIGKILL)
        number = getattr(errno, self._act if self._act.startswith("E") else "EIO")
        raise OSError(number, os.strerror(number), path)

    def _made(self, op: str, path: str, real: Callable[[], T]) -> T:
        made = real()
        if self._act == "power" and op == "fsync" and os.path.isfile(path):
            self._durable[path] = os.path.getsize(path)
        return made

    def _remember(self, op: str, path: str) -> None:
        """How much of a file is safe: what was there before, and what was synced."""
        if op in ("open", "write") and path not in self._durable:
            self._durable[path] = os.path.getsize(path) if os.path.isfile(path) else 0

    def moved(self, source: str, target: str) -> None:
        """A file has another name; what of it is safe stays the same."""
        if self.armed and source in self._durable:
            self._durable[target] = self._durable.pop(source)

    def _lose(self) -> None:
        for path, size in self._durable.items():
            if os.path.isfile(path) and os.path.getsize(path) > size:
                _truncate(path, size)

    def now(self) -> float:
        """The time, after the jump if it came."""
        if self.armed and self._act == "jump" and not self._done:
            self._left -= 1
            if self._left <= 0:
                self._done = True
                self._offset = self._seconds
                self._note("time", "")
        return _time() + self._offset

    def _note(self, op: str, path: str) -> None:
        fd = _open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        _write(fd, f"{op} {path[len(self._root) :]}\n".encode())
        os.close(fd)


injector = Injector()


def path_of(fd: int) -> str:
    """The path of an open file; empty where the system does not tell."""
    try:
        if sys.platform == "darwin":
            import fcntl

            return fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).partition(b"\0")[0].decode()
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _named(path: Any, dir_fd: int | None = None) -> str:
    if isinstance(path, int):
        return path_of(path)
    text = os.fsdecode(path)
    return os.path.join(path_of(dir_fd) if dir_fd is not None else os.getcwd(), text)


def _wrap_calls() -> None:
    def writing(fd: int, data: ReadableBuffer) -> int:
        if not injector.armed:
            return _write(fd, data)
        view = memoryview(data).cast("B")
        return injector.call("write", path_of(fd), lambda: _write(fd, view), lambda: _write(fd, view[: _part(view)]))

    def syncing(fd: Any) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        injector.call("fsync", path_of(number) if injector.armed else "", lambda: _fsync(number))

    def opening(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def real() -> int:
            return _open(path, flags, mode, dir_fd=dir_fd)

        if not injector.armed or not flags & (os.O_WRONLY | os.O_RDWR):
            return real()
        return injector.call("open", _named(path, dir_fd), real)

    link = os.symlink

    def linking(source: Any, target: Any, *rest: Any, **named: Any) -> None:
        injector.call("symlink", _named(target) if injector.armed else "", lambda: link(source, target, *rest, **named))

    _put({"write": writing, "fsync": syncing, "open": opening, "symlink": linking})
    _put({name: _on_one(name.replace("remove", "unlink"), getattr(os, name)) for name in _ONE_PATH})
    _put({name: _on_two(getattr(os, name)) for name in ("rename", "replace")})


_ONE_PATH = ("mkdir", "unlink", "remove", "rmdir", "ftruncate", "truncate", "chmod")


def _put(calls: dict[str, Callable[..., Any]]) -> None:
    """Let each take the place of the call of its name, also where ``os`` tells what that can do."""
    for name, call in calls.items():
        for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if getattr(os, name) in able:
                able.add(call)
        setattr(os, name, call)


def _on_one(op: str, made: Callable[..., None]) -> Callable[..., None]:
    def call(path: Any, *rest: Any, **named: Any) -> None:
        if not injector.armed:
            return made(path, *rest, **named)
        return injector.call(op, _named(path, named.get("dir_fd")), lambda: made(path, *rest, **named))

    return call


def _on_two(made: Callable[..., None]) -> Callable[..., None]:
    def call(source: Any, target: Any, *rest: Any, **named: Any) -> None:
        if not injector.armed:
            return made(source, target, *rest, **named)

        def real() -> None:
            made(source, target, *rest, **named)
            injector.moved(_named(source), _named(target))

        return injector.call("rename", _named(target), real)

    return call


def _part(data: memoryview) -> int:
    """Bytes of what is written of a write that is cut: a write of nothing would be none."""
    return max(1, len(data) // 2)


class _File(io.FileIO):
    """A file whose writes are counted."""

    def write(self, data: ReadableBuffer, /) -> int:
        view, write = memoryview(data).cast("B"), super().write
        return injector.call("write", str(self.name), lambda: write(view), lambda: write(view[: _part(view)]))


def _open_file(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """``open``, with a ``_File`` at the bottom where something is written below the root."""

    def real() -> Any:
        return _io_open(file, mode, buffering, encoding, errors, newline, closefd, opener)

    if not injector.armed or not set(mode) & set("wax+") or buffering == 0:
        return real()
    path = _named(file)
    if not path.startswith(injector._root):
        return real()

    def counted() -> Any:
        raw = _File(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        raw.name = path
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        if "b" in mode:
            return buffer
        text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)
        text.mode = mode  # type: ignore[misc]
        return text

    return counted() if isinstance(file, int) else injector.call("open", path, counted)


def _wrap_files() -> None:
    builtins.open = io.open = _open_file
    time.time = injector.now


_wrap_calls()
_wrap_files()
if VARIABLE in os.environ:
    injector.arm(os.environ[VARIABLE], " ".join(sys.orig_argv))
