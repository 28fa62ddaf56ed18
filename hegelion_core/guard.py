"""The guard: ends every process of a core that is gone, however it went.

It is run as a script by the supervisor, with the core's mark, and waits on a pipe. When the pipe closes, the core is
gone (macOS has no parent-death signal). Its processes are known by the mark in their environment, which every
descendant inherits: so none is missed that the core had no time to write down.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil

MARK = "HEGELION_CORE_MARK"
"""The variable that tells whose child a process is."""
GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL."""
SETTLE = 0.3
"""Seconds of quiet after which nothing more is expected: a child is between fork and exec for milliseconds."""


def marked(mark: str) -> list[psutil.Process]:
    """The living processes with this mark. Those of other users cannot be looked at and are not ours."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end(mark: str) -> None:
    """Terminate the groups of all marked processes, kill what is left after ``GRACE``; returns when none is left."""
    deadline = time.monotonic() + GRACE
    quiet_since = time.monotonic()
    asked: set[int] = set()
    while time.monotonic() - quiet_since < SETTLE:
        for process in marked(mark):
            quiet_since = time.monotonic()
            if quiet_since > deadline:
                signal_group(process.pid, signal.SIGKILL)
            elif process.pid not in asked:
                asked.add(process.pid)
                signal_group(process.pid, signal.SIGTERM)
        time.sleep(0.05)


def signal_group(pid: int, number: int) -> None:
    """Signal a process and, if it leads one, its group."""
    # macOS answers EPERM for a group in which only zombies are left.
    for send in (os.killpg, os.kill):
        try:
            send(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def main() -> None:
    """Wait until the pipe on standard input closes, then end what the core left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    end(sys.argv[1])


if __name__ == "__main__":
    main()
