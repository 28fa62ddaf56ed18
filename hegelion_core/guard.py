"""The guard: ends every process group when the core is gone, however it went.

It is run as a script by the supervisor and reads ``+<group>`` and ``-<group>`` lines from a pipe. When the pipe closes,
the core is gone (macOS has no parent-death signal): it terminates what is left, waits, and kills. Standard library
only, and started without site-packages, so that it is small and quick.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL."""


def _signal(group: int, number: int) -> bool:
    """Whether the group is (still) there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def main() -> None:
    """Watch the pipe on standard input until it closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    alive = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = {group for group in alive if _signal(group, 0)}
    for group in alive:
        _signal(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
