"""The core's end of the socket, and the detached core."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.core import Core
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.wire import Command, Pointer, Reply, Request, socket_path

ANSWER_PATIENCE = 5.0
"""Seconds in which answers that are under way are still given when the core ends."""
MAX_FACES = 64
"""Connections at once; each takes a descriptor, which the core's own work must not run out of."""
IDLE_PATIENCE = 10.0
"""Seconds that a detached core without work waits for a face."""


class Service:
    """The core's end of the socket."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._server: asyncio.Server | None = None
        self._socket = socket_path(core.place)
        self._connections: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._closing = False
        self.released = False
        """Someone said that no other face is to be waited for."""

    @property
    def clients(self) -> int:
        """Faces that are connected."""
        return len(self._connections)

    async def open(self) -> None:
        """Listen, and write the pointer."""
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _closed_to_others(self._socket.parent)
        self._socket.unlink(missing_ok=True)  # left by a core that died; we hold the workspace's lock
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._socket)
        finally:
            os.umask(before)
        pointer = Pointer(os.getpid(), str(self._socket), str(self._core.folder.path))
        workspace.replace(self._core.place.core_pointer, msgspec.json.encode(pointer))

    async def close(self) -> None:
        """Hang up on everyone and remove socket and pointer."""
        self._closing = True
        self._core.place.core_pointer.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
            # Whoever asked for the stop that ends this core is told that it went well.
            if self._answering:
                await asyncio.wait(self._answering, timeout=ANSWER_PATIENCE)
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
        self._socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in one
        if len(self._connections) >= MAX_FACES:
            writer.close()
            return
        self._connections.add(task)
        try:
            # A connection that was accepted while the service closed is hung up on here.
            while not self._closing and (line := await reader.readline()):
                self._answering.add(task)
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await writer.drain()
                self._answering.discard(task)
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # gone, a line that is too long, or the core ends: the connection ends either way
        finally:
            self._connections.discard(task)
            self._answering.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = msgspec.json.decode(line, type=Request)
        except UNREADABLE as error:
            return Reply(0, f"Not a request: {error}.", exit_code=ExitCode.USAGE)
        try:
            await self._do(request)
        except UserError as error:
            return Reply(request.id, error.message, error.hint, error.exit_code)
        return Reply(request.id)

    async def _do(self, request: Request) -> None:
        core = self._core
        work: dict[Command, Callable[[], Awaitable[None]]] = {
            "start": lambda: core.start(request.stages),
            "stop": core.stop,
            "stop_instance": lambda: core.stop_instance(request.instances),
            "scale": lambda: core.scale(request.instances),
            "scale_by": lambda: core.scale_by(request.instances),
            "recount": core.recount,
            "compare": lambda: core.compare(request.question, request.temperature),
            "stop_comparing": core.stop_comparing,
            "release": self._release,
            "ping": _nothing,
        }
        await work[request.command]()

    async def _release(self) -> None:
        self.released = True


async def _nothing() -> None:
    """A face asks whether the core is there."""


async def serve_detached(core: Core) -> None:
    """Serve until there is neither work nor a face.

    Raises:
        OSError: the run's own files cannot be written any more.
    """
    service = Service(core)
    await service.open()
    try:
        idle_since = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(0.5)
            now = asyncio.get_running_loop().time()
            if core.broken:
                await core.wait()
            if core.busy or service.clients:
                idle_since = now
            elif service.released or now - idle_since > IDLE_PATIENCE:
                return
    finally:
        await service.close()


def _closed_to_others(folder: Path) -> None:
    """Make sure that nobody else can enter the socket's folder, which may lie in a folder that all share."""
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode) or status.st_uid != os.getuid():
        raise UserError(
            f"{folder}: belongs to someone else.",
            "Set XDG_RUNTIME_DIR to a folder of your own.",
            ExitCode.NOT_READY,
        )
    if status.st_mode & 0o077:
        folder.chmod(0o700)
