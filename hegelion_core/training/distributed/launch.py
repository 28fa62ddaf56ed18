"""The core's one child of a training in several processes: it starts and outlives them.

``python -m hegelion_core.training.distributed.launch <job file>`` runs ``mlx.launch`` in its own process. That starts
``training.worker`` with the same job once per process, on other machines by ssh. What ``mlx.launch`` lacks is here:
it dies of the SIGTERM that asks the processes to save, tells nobody how they ended, waits for ever for one that
hangs, and without anything to read keeps a core busy.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

import msgspec
import psutil

from hegelion_core import events, workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models.blas import has_cuda
from hegelion_core.training.distributed.hosts import HERE, Group, plan_group, read_host_file
from hegelion_core.worker import Worker, main

GRACE = 15.0
"""Seconds that the others have when one process has ended: they end together, or find that one is gone, in less."""
PORTS = range(20_000, 32_000)
"""Below those that Linux and macOS hand out by themselves."""
PIPE = 1 << 17
"""Bytes; more than a pipe holds."""
MEMORY_DEATHS = {-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS}
"""Ends of a process that may come of memory: the launcher ends likewise, so that the core can tell."""


def work(worker: Worker) -> None:
    """Run the group to its end.

    Raises:
        UserError: the settings ask for a group that cannot be.
        SystemExit: a process ended without reporting why.
    """
    settings = worker.settings.training
    given = None
    if settings.hostfile is not None:
        path = worker.workspace.resolve(settings.hostfile)
        given = read_host_file(_read(path), str(path))
    group = plan_group(settings, given, _own_names(), cuda=has_cuda())
    if group.backend == "mpi" and shutil.which("mpirun") is None:
        raise UserError(
            "Training over MPI: there is no mpirun.", "Install MPI, or leave --backend out.", ExitCode.USAGE
        )
    hostfile = worker.run.spool / "train.hosts.json"
    workspace.replace(hostfile, msgspec.json.encode(group.hosts))
    print(f"{group.size} processes train together over {group.backend}.", flush=True)  # noqa: T201 - a worker's log
    arguments = [
        *group.arguments(str(hostfile), free_ports(group.size)),
        *("--cwd", str(worker.workspace.root), "--env", f"HEGELION_GROUP={_init_name(group)}:{group.each}"),
        *("--", sys.executable, "-u", "-m", "hegelion_core.training.worker", sys.argv[1]),
    ]
    codes = _run(arguments, group, worker.run.spool)
    if _explained(worker):
        return
    if worker.stop_requested.is_set() and set(codes) <= {ExitCode.INTERRUPTED, -signal.SIGTERM}:
        return
    if deaths := [code for code in codes if code in MEMORY_DEATHS]:
        _end_like(-deaths[0])
    # Not a UserError: the core looks at how a trainer without a word ended, and whether it reported a want of memory.
    sys.exit(f"A process of the group ended with {' and '.join(map(str, codes)) or 'no word'}.")


def free_ports(count: int, ports: range = PORTS) -> int:
    """A port of this machine that is free now, as are the ``count`` - 1 behind it."""
    random = SystemRandom()
    while True:
        first = random.choice(ports)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HERE, port))
        except OSError:
            return False
    return True


def _run(arguments: list[str], group: Group, spool: Path) -> list[int]:
    """``mlx.launch``; returns the exit codes, other than 0, of processes that ended by themselves, in their order."""
    (program,) = importlib.metadata.entry_points(group="console_scripts", name="mlx.launch")
    launch: Callable[[], None] = program.load()
    _quiet_standard_input()
    log = _Log()
    ended = threading.Event()
    folder = spool / "train.launch"  # mlx.launch leaves small files behind
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.environ["TMPDIR"] = str(folder)
    if group.backend != "mpi":
        threading.Thread(target=_end_the_rest, args=(group.size, log, ended), daemon=True).start()
    sys.argv[1:], sys.stderr, before = arguments, log, (sys.argv[1:], sys.stderr)
    try:
        launch()
    finally:
        ended.set()
        sys.argv[1:], sys.stderr = before
        shutil.rmtree(folder, ignore_errors=True)
    return log.codes


class _Log(io.TextIOWrapper):
    """Standard error for ``mlx.launch``, which tells there alone, and in colours, how a process ended."""

    def __init__(self) -> None:
        super().__init__(os.fdopen(os.dup(2), "wb"), encoding="utf-8", errors="replace", write_through=True)
        self.codes: list[int] = []
        self.listening = True

    def write(self, text: str) -> int:
        if self.listening and (found := re.search(r"rank \d+ exited with code (-?\d+)", text)):
            self.codes.append(int(found[1]))
        super().write(re.sub(r"\033\[\d+m", "", text))
        self.flush()
        return len(text)


def _quiet_standard_input() -> None:
    """Give this process, and so ``mlx.launch``, a standard input that fills the pipes to the processes, and then rests.

    ``mlx.launch`` looks whether there is something to read, and whether a process would take it, without a pause
    while either is so: an end of file, or an empty pipe to a process, costs a whole core (tried).
    """
    reader, writer = os.pipe()
    os.dup2(reader, 0)
    os.close(reader)
    threading.Thread(target=os.write, args=(writer, b"\n" * PIPE), daemon=True).start()


def _end_the_rest(size: int, log: _Log, ended: threading.Event) -> None:
    """Once all processes were there and one has ended, kill what is left after ``GRACE``: it hangs."""
    started: list[psutil.Process] = []
    while len(started) < size:
        if ended.wait(0.2):
            return
        started = psutil.Process().children()
    while all(process.is_running() for process in started):
        if ended.wait(0.5):
            return
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if ended.wait(0.5):
            return
    log.listening = False  # what follows is our doing
    for process in started:
        if process.is_running():
            print(f"Process {process.pid} of the group hangs and is killed.", file=sys.stderr)  # noqa: T201
            process.kill()


def _explained(worker: Worker) -> bool:
    """Whether the processes reported the end of the training themselves, good or bad."""
    reports = worker.run.reports("train").read_bytes().splitlines() if worker.run.reports("train").exists() else []
    ends = (events.TrainingFinished, events.WorkerFailed)
    return any(isinstance(events.decode(line), ends) for line in reports)


def _end_like(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _init_name(group: Group) -> str:
    """The backend as ``mx.distributed.init`` calls it."""
    return group.backend.removesuffix("-ring")


def _own_names() -> set[str]:
    addresses = {address.address for many in psutil.net_if_addrs().values() for address in many}
    return {"localhost", HERE, "::1", socket.gethostname(), socket.gethostname().split(".")[0], *addresses}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).", "Check --hostfile.", ExitCode.USAGE) from None


if __name__ == "__main__":
    main(work)
