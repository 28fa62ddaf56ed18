"""Who does which prompt: claims that the kernel frees when their holder dies.

A claim is a lock on one byte of the output's claims file, at an offset that is the prompt's id. Instances in one
process share the ``Claims``; other processes on the same output are kept away by the kernel. No timed leases: clocks
jump, and a dead holder's lock is gone at once.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path

from hegelion_core import workspace

_LAST = (1 << 63) - 1
"""The highest offset that a file can have."""
# struct flock of the system: Linux has type, whence, start, length, pid; macOS start, length, pid, type, whence.
_LINUX, _DARWIN = struct.Struct("@hhqqi4x"), struct.Struct("@qqihh")


class Claims:
    """The claims of one process on the prompts of one output.

    POSIX drops all of a process's locks on a file when it closes any descriptor of that file, so a process has one
    ``Claims`` an output.
    """

    def __init__(self, output: Path) -> None:
        workspace.make_folder(output.parent)
        self._fd = workspace.open_own(output.with_name(f".{output.name}.claims"), os.O_RDWR)
        self._held: set[str] = set()

    def take(self, prompt_id: str) -> bool:
        """Claim a prompt; false if anyone, here or in another process, holds it."""
        if prompt_id in self._held:
            return False
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(prompt_id))
        except (BlockingIOError, PermissionError):
            return False
        self._held.add(prompt_id)
        return True

    def release(self, prompt_id: str) -> None:
        """Give a prompt back."""
        self._held.discard(prompt_id)
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _offset(prompt_id))

    def held_elsewhere(self) -> int:
        """How many prompts other processes hold now."""
        count = start = 0
        while start <= _LAST and (found := _lock_of_others(self._fd, start)) is not None:
            begin, length = found
            length = length or 1  # a lock on the last byte there can be is told as one without an end
            count += length
            start = begin + length
        return count

    def close(self) -> None:
        """Give all back."""
        self._held.clear()
        os.close(self._fd)


def _offset(prompt_id: str) -> int:
    # A file offset has 63 bits; the id is 64 bits of a hash.
    return int(prompt_id.removeprefix("p-"), 16) >> 1


def _lock_of_others(fd: int, start: int) -> tuple[int, int] | None:
    """Start and length of the first lock at ``start`` or beyond that another process holds."""
    if sys.platform == "darwin":
        asked = _DARWIN.pack(start, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
        begin, length, _, kind, _ = _DARWIN.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    else:
        asked = _LINUX.pack(fcntl.F_WRLCK, os.SEEK_SET, start, 0, 0)
        kind, _, begin, length, _ = _LINUX.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else (begin, length)
