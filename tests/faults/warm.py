"""Commands without their start-up: a process that has imported everything forks one for each command line.

What runs in the child is the command as a user calls it, in a session, a folder and an environment of its own. Nothing
but the imports is shared: no file is open, no thread runs, no setting was read.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

INJECT = Path(__file__).parent / "inject"
_MODULES = (
    *("hegelion_tui.cli", "hegelion_core.commands.stage", "hegelion_core.commands.headless"),
    *("hegelion_core.commands.convert", "hegelion_core.commands.stop", "hegelion_core.commands.run_all"),
    *("hegelion_core.conversion.convert", "hegelion_core.conversion.rendering", "hegelion_core.report.write"),
    *("hegelion_core.teachers.kimi", "hegelion_core.teachers.openai_api", "hegelion_core.generation.sources"),
    *("openai", "openai.types.chat", "openai.resources.chat.completions", "openai.resources.models", "httpx2"),
    *("asyncio", "encodings.idna", "stringprep", "tempfile", "uuid", "difflib", "html", "statistics"),
)


@dataclass(frozen=True)
class Order:
    """What is to be run."""

    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    output: str
    """File that standard output and standard error are appended to."""
    terminal: str = ""
    """A terminal that becomes the child's own, in place of the file."""
    file_size: int = 0
    """Bytes beyond which no file of it can grow; 0: no limit."""


class Warm:
    """The process that forks; a context manager."""

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "PYTHONPATH": str(INJECT), "OPENBLAS_NUM_THREADS": "1"}
        environment.pop("HEGELION_FAULT", None)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env=environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket = ours
        self._replies = ours.makefile("rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._replies.close()
        self._socket.close()
        self._process.wait()

    def start(self, order: Order) -> Started:
        """Fork a command."""
        return Started(self, self._ask(order.__dict__))

    def poll(self, pid: int) -> int | None:
        """The exit code of a command that has ended, negative for a signal."""
        code = self._ask({"poll": pid})
        return None if code == _RUNS else code

    def _ask(self, request: dict[str, object]) -> int:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        return int(self._replies.readline())


class Started:
    """A command that runs."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self.pid = pid
        self._warm = warm
        self._code: int | None = None
        self._end = os.pidfd_open(pid) if sys.platform == "linux" else -1
        """Can be read from when it has ended."""

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        return self._look(0.0)

    def _look(self, seconds: float) -> int | None:
        """The same, after waiting so long for it."""
        if self._code is not None:
            return self._code
        if self._end < 0:
            time.sleep(min(seconds, 0.005))
        elif not select.select([self._end], [], [], seconds)[0]:
            return None
        self._code = self._warm.poll(self.pid)
        if self._code is not None and self._end >= 0:
            os.close(self._end)
        return self._code

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """The exit code, or none if it has not ended after so many seconds."""
        deadline = time.monotonic() + seconds
        while (code := self._look(max(0.0, deadline - time.monotonic()))) is None and time.monotonic() < deadline:
            continue
        return code


# In the other process

_RUNS = 1000
"""In place of an exit code."""


def serve(end: socket.socket) -> None:
    """Fork what is asked for until the other end hangs up."""
    for name in _MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with end, end.makefile("rb") as requests:
        for line in requests:
            request = cast("dict[str, object]", json.loads(line))
            if "poll" in request:
                reply = _poll(cast(int, request["poll"]))
            elif (reply := os.fork()) == 0:
                end.close()
                _become(Order(**json.loads(line)))
            end.sendall(b"%d\n" % reply)


def _poll(pid: int) -> int:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else _RUNS


def _become(order: Order) -> None:
    """Run the command in this process, and end."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    target = order.terminal or order.output
    out = os.open(target, os.O_RDWR if order.terminal else os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if order.terminal:
        fcntl.ioctl(out, termios.TIOCSCTTY, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    for name, fd in (("stdout", 1), ("stderr", 2)):  # those of the parent are buffered for what they were opened on
        setattr(sys, name, open(fd, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    time.tzset()
    if order.file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_size, order.file_size))
    code = 70
    try:
        import sitecustomize  # type: ignore[import-not-found]

        from hegelion_tui import cli

        sys.argv = ["hegelion-console", *order.arguments]
        if told := order.environment.get("HEGELION_FAULT"):
            sitecustomize.injector.arm(told, sitecustomize.CORE)
        code = cli.run(list(order.arguments))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.path.remove(str(Path(__file__).resolve().parent))
    serve(socket.socket(fileno=int(sys.argv[1])))
