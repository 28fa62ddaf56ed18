"""``Operations`` through a core in another process. Light, since the console waits for it before its first paint."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec

from hegelion_core import workspace
from hegelion_core.comparing.exchange import checked
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import restore
from hegelion_core.events import AnyEvent, Stage
from hegelion_core.fold import apply
from hegelion_core.run_state import RunState
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.wire import Command, Pointer, Reply, Request, read_pointer
from hegelion_core.workspace import Workspace

POLL = 0.1
"""Seconds between a client's looks at the event log."""
ANSWER_PATIENCE = 5.0
"""Seconds in which a core that is well answers a new client."""
START_PATIENCE = 20.0
"""Seconds that a detached core has to open its socket."""
LOSER_PATIENCE = 5.0
"""Seconds in which the core of another face, that was faster, is looked for."""


class Client:
    """Operations through a core in another process."""

    def __init__(
        self, place: Workspace, pointer: Pointer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._place = place
        self.pointer = pointer
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._next_id = 1
        self._state, self._events = restore(workspace.RunFolder(Path(pointer.run)).events)

    @classmethod
    async def connect(cls, place: Workspace) -> Self | None:
        """The client of this workspace's core; ``None`` if none answers."""
        pointer = read_pointer(place)
        if pointer is None:
            return None
        try:
            reader, writer = await asyncio.open_unix_connection(pointer.socket)
        except OSError:
            return None
        client = cls(place, pointer, reader, writer)
        try:
            async with asyncio.timeout(ANSWER_PATIENCE):
                await client._ask("ping")
        except (UserError, TimeoutError):
            await client.close()
            return None
        return client

    @property
    def place(self) -> Workspace:
        return self._place

    @property
    def state(self) -> RunState:
        return self._state

    @property
    def connected(self) -> bool:
        """Whether the core still has its end open."""
        reader = self._reader
        return not reader.at_eof() and reader.exception() is None and not self._writer.is_closing()

    async def events(self) -> AsyncGenerator[AnyEvent, None]:
        """Events from now on, until the core is gone and its log is read to the end."""
        while True:
            connected = self.connected
            for event in self._events.read():
                self._state = apply(self._state, event)
                yield event
            if not connected:
                return
            await asyncio.sleep(POLL)

    async def start(self, stages: Sequence[Stage]) -> None:
        await self._ask("start", stages=tuple(stages))

    async def stop(self) -> None:
        await self._ask("stop")

    async def stop_instance(self, number: int) -> None:
        await self._ask("stop_instance", instances=number)

    async def scale(self, instances: int) -> None:
        await self._ask("scale", instances=instances)

    async def scale_by(self, change: int) -> None:
        await self._ask("scale_by", instances=change)

    async def recount(self) -> None:
        await self._ask("recount")

    async def compare(self, question: str, temperature: float = 0.0) -> None:
        # Checked here too: what is too long for the socket's line would not be answered but hung up on.
        await self._ask("compare", question=checked(question, temperature), temperature=temperature)

    async def stop_comparing(self) -> None:
        await self._ask("stop_comparing")

    async def release(self) -> None:
        """Let a core in the background end as soon as it has neither work nor a face, and not wait for another one."""
        with contextlib.suppress(UserError):  # it is gone already, or of an earlier version
            await self._ask("release")

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _ask(
        self,
        command: Command,
        *,
        stages: tuple[Stage, ...] = (),
        instances: int = 0,
        question: str = "",
        temperature: float = 0.0,
    ) -> None:
        async with self._turn:
            request = Request(self._next_id, command, stages, instances, question, temperature)
            self._next_id += 1
            try:
                self._writer.write(msgspec.json.encode(request) + b"\n")
                await self._writer.drain()
                line = await self._reader.readline()
            except (ConnectionError, ValueError):  # hung up, or a line without an end
                line = b""
        if not line:
            raise UserError("The core is gone.", "Open the console again to go on where it was.")
        try:
            reply = msgspec.json.decode(line, type=Reply)
        except UNREADABLE:
            raise UserError(
                "What answers at the core's socket is no core of ours.", f"Remove {self.place.core_pointer}."
            ) from None
        if reply.error:
            code = ExitCode(reply.exit_code) if reply.exit_code in set(ExitCode) else ExitCode.FAILED
            raise UserError(reply.error, reply.hint, code)


async def connect_or_start(place: Workspace, arguments: Sequence[str]) -> Client:
    """The client of the running core, or of a detached one that is started with these command-line ``arguments``.

    Raises:
        UserError: the core ended at once, or did not open its socket; with its own words.
    """
    if (client := await Client.connect(place)) is not None:
        return client
    log = place.logs / "core.log"
    try:
        workspace.make_folder(log.parent)
        file = workspace.open_own(log, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise UserError(
            f"{log}: cannot be written ({error.strerror}).", "Choose another folder with --workspace.", ExitCode.USAGE
        ) from None
    begin = log.stat().st_size
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hegelion_core.commands.core",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    finally:
        os.close(file)
    if (client := await _reach(place, START_PATIENCE, lambda: process.returncode is None)) is not None:
        return client
    if process.returncode is None:
        process.terminate()
    # Two faces may have started one at once: the core of the slower one finds the workspace taken.
    lost = process.returncode == ExitCode.NOT_READY
    if lost and (client := await _reach(place, LOSER_PATIENCE, lambda: True)) is not None:
        return client
    said = log.read_bytes()[begin:].decode("utf-8", "replace").strip()
    code = process.returncode if process.returncode in set(ExitCode) else ExitCode.FAILED
    raise UserError(said or "The core did not start.", f"See {log}." if not said else "", ExitCode(code or 1))


async def _reach(place: Workspace, seconds: float, worth_waiting: Callable[[], bool]) -> Client | None:
    """The client of this workspace's core as soon as it answers."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while worth_waiting():
                if (client := await Client.connect(place)) is not None:
                    return client
                await asyncio.sleep(0.05)
    return None
