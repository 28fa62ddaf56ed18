"""The event log of a run: append, replay and follow ``events.jsonl``; broadcast to subscribers.

One core writes; any number of faces read. A line that cannot be read is passed over and counted, never fatal. Events
are written without an fsync each: they tell what happened, while the files that they tell of are the truth.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hegelion_core import snapshot, workspace
from hegelion_core.events import AnyEvent, StageFinished, decode, encode
from hegelion_core.fold import apply, fold
from hegelion_core.regular import open_regular
from hegelion_core.run_state import RunState
from hegelion_core.unreadable import UNREADABLE

if TYPE_CHECKING:
    import asyncio

_CHUNK = 1 << 20
SNAPSHOT_EVERY = 5_000
"""Events between snapshots of the state; so many are replayed in some 25 ms."""


class EventReader:
    """Reads whole events from a log that may still grow."""

    def __init__(self, path: Path, offset: int = 0, damaged: int = 0) -> None:
        self.path = path
        self.offset = offset
        """Byte after the last whole line that was read."""
        self.damaged = damaged
        """Lines that could not be read."""

    def read(self) -> list[AnyEvent]:
        """Events since the last call; empty if there are none or the log is not there."""
        return [event for batch in self.batches() for event in batch]

    def batches(self) -> Iterator[list[AnyEvent]]:
        """The same, some thousands at a time."""
        with contextlib.suppress(FileNotFoundError), open_regular(self.path) as file:
            file.seek(self.offset)
            while data := file.read(_CHUNK):
                whole = data[: data.rfind(b"\n") + 1]
                if not whole and len(data) < _CHUNK:
                    break
                if not whole:
                    data += file.readline()
                    whole = data
                self.offset += len(whole)
                file.seek(self.offset)
                yield self._decode(whole)

    def _decode(self, data: bytes) -> list[AnyEvent]:
        found: list[AnyEvent] = []
        for line in data.splitlines():
            try:
                found.append(decode(line))
            except UNREADABLE:
                self.damaged += 1
        return found


class EventLog:
    """The writer's end, with the state so far. Use it as one per run, in the core that holds the run's lock."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._subscribers: set[asyncio.Queue[AnyEvent | None]] = set()
        self._path = path
        self.state, reader = restore(path)
        self.damaged = reader.damaged
        self._unsaved = 0
        self._fd = workspace.open_own(path, os.O_RDWR | os.O_APPEND)
        # What follows the last newline was torn by a kill; the next event must start a line of its own.
        os.ftruncate(self._fd, reader.offset)
        self._offset = reader.offset

    def publish(self, event: AnyEvent) -> None:
        """Stamp, append, fold, broadcast."""
        stamped = msgspec.structs.replace(event, at=self._clock())
        self._append(encode(stamped), durable=isinstance(stamped, StageFinished))
        self.state = apply(self.state, stamped)
        for queue in self._subscribers:
            queue.put_nowait(stamped)
        self._unsaved += 1
        if self._unsaved >= SNAPSHOT_EVERY:
            self._save()

    def _append(self, line: bytes, *, durable: bool) -> None:
        """Raises ``OSError``, and then nothing of it stands in the log: the next event gets a line of its own."""
        try:
            if (written := os.write(self._fd, line)) != len(line):
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes fitted", str(self._path))
            if durable:
                os.fsync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._offset)
            raise
        self._offset += len(line)

    def _save(self) -> None:
        self._unsaved = 0
        snapshot.save(self._path, self.state, self._offset, self.damaged)

    def subscribe(self) -> AsyncGenerator[AnyEvent, None]:
        """Events from this call on, until the log is closed. A subscriber must keep up: nothing bounds what waits."""
        import asyncio  # here: whoever only reads does without, and it takes long to import

        queue: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        self._subscribers.add(queue)
        return self._drain(queue)

    async def _drain(self, queue: asyncio.Queue[AnyEvent | None]) -> AsyncGenerator[AnyEvent, None]:
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._subscribers.discard(queue)

    def hang_up(self) -> None:
        """End every subscription."""
        for queue in self._subscribers:
            queue.put_nowait(None)

    def close(self) -> None:
        """End every subscription; nothing is published afterwards."""
        self.hang_up()
        if self._unsaved:
            self._save()
        os.close(self._fd)


def restore(path: Path) -> tuple[RunState, EventReader]:
    """The state that a log tells, and a reader of what will be appended to it."""
    state, offset, damaged = snapshot.load(path)
    reader = EventReader(path, offset, damaged)
    count = 0
    for batch in reader.batches():
        state = fold(batch, state)
        count += len(batch)
    if count > SNAPSHOT_EVERY:  # the snapshot was deleted, or another version's
        snapshot.save(path, state, reader.offset, reader.damaged)
    return state, reader


def replay(path: Path) -> RunState:
    """The state that a run's log tells, from files alone."""
    return restore(path)[0]
