"""Whether a core is at work in a workspace, and on what: told from files, without asking it."""

from __future__ import annotations

import fcntl
import os
import socket

from hegelion_core.run_state import RunState
from hegelion_core.wire import read_pointer
from hegelion_core.workspace import Workspace, alive


def is_free(place: Workspace) -> bool:
    """Whether no core holds the workspace. Tried for an instant; a core that is at work is not disturbed."""
    try:
        fd = os.open(place.artifacts / ".core.lock", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def core_of(place: Workspace, state: RunState) -> int:
    """Process id of the core that has a run open; 0 if none has.

    Args:
        place: the workspace of the run.
        state: what the run's log tells; it names the core that opened the run last.
    """
    pid = state.core_pid
    # A process id may be used anew, and a dead core's pointer may lie about: the lock alone would not say which run.
    if not alive(pid) or is_free(place):
        return 0
    pointer = read_pointer(place)
    elsewhere = pointer is not None and pointer.pid != pid and alive(pointer.pid)
    return 0 if elsewhere else pid


def answers(path: str) -> bool:
    """Whether a process listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(1.0)
        try:
            end.connect(path)
        except OSError:
            return False
    return True
