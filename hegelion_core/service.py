"""Operations over a Unix socket: the core's end, the client, and the detached core.

One JSON object a line. A request is ``{"id", "command", "arguments"}``; its answer ``{"id", "error", "hint",
"exit_code"}``, ``error`` empty when it went well. Events do not travel: a client reads the run's own files. The socket
lies in a folder that only its owner can enter; a pointer file in the artifacts folder says where.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Literal, Self

import msgspec

from hegelion_core import workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import EventReader
from hegelion_core.events import AnyEvent, Stage
from hegelion_core.operations import Core
from hegelion_core.run_state import RunState, apply
from hegelion_core.workspace import Workspace

POLL = 0.1
"""Seconds between a client's looks at the event log."""
ANSWER_PATIENCE = 5.0
"""Seconds in which a core that is well answers a new client."""
IDLE_PATIENCE = 10.0
"""Seconds that a detached core without work waits for a face."""
START_PATIENCE = 20.0
"""Seconds that a detached core has to open its socket."""

Command = Literal["start", "stop", "scale", "ping"]


class Pointer(msgspec.Struct, frozen=True):
    """Where the running core is: the content of ``artifacts/core.json``."""

    pid: int
    socket: str
    run: str
    """Folder of the run."""


class Request(msgspec.Struct, frozen=True):
    """A command to the core."""

    id: int
    command: Command
    stages: tuple[Stage, ...] = ()
    instances: int = 0


class Reply(msgspec.Struct, frozen=True):
    """What became of a command."""

    id: int
    error: str = ""
    hint: str = ""
    exit_code: int = 0


class Service:
    """The core's end of the socket."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._server: asyncio.Server | None = None
        self._socket = socket_path(core.place)
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def clients(self) -> int:
        """Faces that are connected."""
        return len(self._connections)

    async def open(self) -> None:
        """Listen, and write the pointer."""
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _owned_by_us(self._socket.parent)
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
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
        self._socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in one
        self._connections.add(task)
        try:
            # A connection that was accepted while the service closed is hung up on here.
            while not self._closing and (line := await reader.readline()):
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # gone, a line that is too long, or the core ends: the connection ends either way
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            return Reply(0, f"Not a request: {error}.", exit_code=ExitCode.USAGE)
        try:
            match request.command:
                case "start":
                    await self._core.start(request.stages)
                case "stop":
                    await self._core.stop()
                case "scale":
                    await self._core.scale(request.instances)
                case "ping":
                    pass
        except UserError as error:
            return Reply(request.id, error.message, error.hint, error.exit_code)
        return Reply(request.id)


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
        self._events = EventReader(workspace.RunFolder(Path(pointer.run)).events)
        self._state = RunState()
        for event in self._events.read():
            self._state = apply(self._state, event)

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

    async def scale(self, instances: int) -> None:
        await self._ask("scale", instances=instances)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _ask(self, command: Command, *, stages: tuple[Stage, ...] = (), instances: int = 0) -> None:
        async with self._turn:
            request = Request(self._next_id, command, stages, instances)
            self._next_id += 1
            try:
                self._writer.write(msgspec.json.encode(request) + b"\n")
                await self._writer.drain()
                line = await self._reader.readline()
            except ConnectionError:
                line = b""
        if not line:
            raise UserError("The core is gone.", "Open the console again to go on where it was.")
        reply = msgspec.json.decode(line, type=Reply)
        if reply.error:
            raise UserError(reply.error, reply.hint, ExitCode(reply.exit_code))


def socket_path(place: Workspace) -> Path:
    """The socket of a workspace's core. Short: a socket's path is limited to 103 bytes on macOS."""
    name = hashlib.sha256(str(place.artifacts.resolve()).encode()).hexdigest()[:16]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "hegelion" / f"{name}.sock"
        if len(os.fsencode(path)) < 100 and Path(runtime).is_dir():
            return path
    return Path(tempfile.gettempdir()) / f"hegelion-{os.getuid()}" / f"{name}.sock"


def read_pointer(place: Workspace) -> Pointer | None:
    """Where the running core says it is; a core that died may have left it."""
    try:
        return msgspec.json.decode(place.core_pointer.read_bytes(), type=Pointer)
    except (OSError, msgspec.DecodeError):
        return None


async def connect_or_start(place: Workspace, arguments: Sequence[str]) -> Client:
    """The client of the running core, or of a detached one that is started with these command-line ``arguments``.

    Raises:
        UserError: the core ended at once, or did not open its socket; with its own words.
    """
    if (client := await Client.connect(place)) is not None:
        return client
    log = place.logs / "core.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = _append_to(log)
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
    try:
        async with asyncio.timeout(START_PATIENCE):
            while process.returncode is None:
                if (client := await Client.connect(place)) is not None:
                    return client
                await asyncio.sleep(0.05)
    except TimeoutError:
        process.terminate()
    said = log.read_bytes()[begin:].decode("utf-8", "replace").strip()
    code = process.returncode if process.returncode in set(ExitCode) else ExitCode.FAILED
    raise UserError(said or "The core did not start.", f"See {log}." if not said else "", ExitCode(code or 1))


async def serve_detached(core: Core) -> None:
    """Serve until there is neither work nor a face."""
    service = Service(core)
    await service.open()
    try:
        idle_since = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(0.5)
            now = asyncio.get_running_loop().time()
            if core.busy or service.clients:
                idle_since = now
            elif now - idle_since > IDLE_PATIENCE:
                return
    finally:
        await service.close()


def _append_to(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _owned_by_us(folder: Path) -> None:
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UserError(
            f"{folder}: belongs to someone else, or others can enter it.",
            "Remove that folder, or set XDG_RUNTIME_DIR to a folder of your own.",
            ExitCode.NOT_READY,
        )
