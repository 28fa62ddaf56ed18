"""The state that a run's log tells, opened at once however long the log is.

Beside ``events.jsonl`` lies a snapshot: the state after so many bytes of it. It is a cache. One that was written by
another version of the fold, or that does not fit the log, is not used, and it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.fold import fold
from hegelion_core.regular import read_regular
from hegelion_core.run_state import RunState
from hegelion_core.unreadable import UNREADABLE

_TAIL = 256  # bytes before the offset by which the log is known again
_DECIDING = ("events", "fold", "run_state", "snapshot")


class Snapshot(msgspec.Struct, frozen=True):
    """What the log told up to a byte."""

    version: str
    """``fingerprint()`` of the code that folded it."""
    offset: int
    tail: bytes
    """The last bytes before ``offset``."""
    damaged: int
    """Lines up to there that could not be read."""
    state: RunState


@cache
def fingerprint() -> str:
    """16 hex digits that change with the code that decides what a log means."""
    digest = hashlib.sha256()
    for name in _DECIDING:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def save(log: Path, state: RunState, offset: int, damaged: int) -> None:
    """Keep the state after the first ``offset`` bytes of ``log``. What keeps it from being written does no harm."""
    with contextlib.suppress(OSError):
        kept = Snapshot(fingerprint(), offset, _tail(log, offset), damaged, state)
        workspace.replace(path_of(log), msgspec.msgpack.encode(kept), durable=False)


def load(log: Path) -> tuple[RunState, int, int]:
    """State, offset and damaged lines of the snapshot; those of an empty log where there is none that fits."""
    with contextlib.suppress(OSError, *UNREADABLE):
        kept = msgspec.msgpack.decode(read_regular(path_of(log)), type=Snapshot)
        if kept.version == fingerprint() and kept.offset > 0 and _tail(log, kept.offset) == kept.tail:
            return kept.state, kept.offset, kept.damaged
    return fold(()), 0, 0


def path_of(log: Path) -> Path:
    return log.with_name(f"{log.stem}.snapshot")


def _tail(log: Path, offset: int) -> bytes:
    """The bytes before ``offset``; fewer than there should be where the log is shorter."""
    begin = max(0, offset - _TAIL)
    fd = os.open(log, os.O_RDONLY)
    try:
        return os.pread(fd, offset - begin, begin)
    finally:
        os.close(fd)
