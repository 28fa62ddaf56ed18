"""The socket, spoken to by a program that means no good, or is broken: the core works on, and so do its other faces."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from hegelion_core.client import Client
from hegelion_core.core import Core
from hegelion_core.service import MAX_FACES, Service
from hegelion_core.settings import Settings
from hegelion_core.wire import Reply, Request, socket_path
from hegelion_core.workspace import Workspace
from tests.hostile.texts import ANY_LINE, LINES, STEERING

REPLIES = msgspec.json.Decoder(Reply)
SETTINGS = Settings.model_validate({"generation": {"teacher": "kimi-cli"}})
WRONG = (
    b'{"id":1,"command":"rm -rf"}',
    b'{"id":"1","command":"ping"}',
    b'{"id":1,"command":"start","stages":["sudo"]}',
    b'{"id":1,"command":"start","stages":{"generate":1}}',
    b'{"id":1,"command":"scale","instances":-1}',
    b'{"id":1,"command":"scale","instances":1000000000}',
    b'{"id":1,"command":"scale_by","instances":-9223372036854775808}',
    b'{"id":1,"command":"stop_instance","instances":1e308}',
    b'{"id":1,"command":"compare","question":"","temperature":-1}',
    b'{"id":1,"command":"compare","question":"x","temperature":1e308}',
    b'{"id":1}',
    b'{"command":"ping"}',
)


@pytest.fixture(autouse=True)
def _own_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A short one: pytest's own folders are too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="hc") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    """A core that serves; in the end it must still answer."""
    made = await Core.open(Workspace(tmp_path), SETTINGS)
    service = Service(made)
    await service.open()
    yield made
    client = await Client.connect(made.place)
    assert client is not None
    await client.scale(2)
    await client.close()
    assert not made.busy
    await service.close()
    await made.close()


async def _connect(core: Core) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(socket_path(core.place))


async def _answer(core: Core, line: bytes) -> Reply | None:
    """What is answered to a line; nothing if the core hangs up."""
    reader, writer = await _connect(core)
    try:
        writer.write(line + b"\n")
        found = await reader.readline()
        return REPLIES.decode(found) if found else None
    except ConnectionError:
        return None
    finally:
        writer.close()


async def test_wrong_messages_are_answered_with_an_error(core: Core) -> None:
    for line in (*WRONG, *LINES.values()):
        reply = await _answer(core, line.replace(b"\n", b" "))
        assert reply is None or reply.error or line in WRONG[5:7], line
        assert reply is None or "\n" not in reply.error


async def test_any_message_is_answered_or_hung_up_on(core: Core) -> None:
    loop = asyncio.get_running_loop()

    @given(ANY_LINE)
    @settings(max_examples=40)
    def send(line: bytes) -> None:
        asyncio.run_coroutine_threadsafe(_answer(core, line.replace(b"\n", b" ")), loop).result(10)

    await asyncio.to_thread(send)


async def test_a_message_without_end_is_hung_up_on(core: Core) -> None:
    reader, writer = await _connect(core)
    with pytest.raises(ConnectionError):
        await _write_without_end(reader, writer)
    writer.close()


async def _write_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        writer.write(b"x" * (1 << 16))
        await writer.drain()
    raise ConnectionResetError


async def test_a_torn_message_and_a_sudden_end_are_nothing(core: Core) -> None:
    for piece in (b"", b"{", b'{"id":1,"command":"ping"}', b"\0", STEERING.encode()):
        _, writer = await _connect(core)
        writer.write(piece)
        writer.transport.abort()


async def test_a_face_that_never_reads_its_answers_holds_up_nobody(core: Core) -> None:
    _, writer = await _connect(core)
    ping = msgspec.json.encode(Request(1, "ping")) + b"\n"
    writer.write(ping * 20_000)
    assert await _answer(core, ping.strip()) == Reply(1)
    writer.transport.abort()


async def test_there_is_an_end_to_connections(core: Core) -> None:
    held = [await _connect(core) for _ in range(MAX_FACES + 20)]
    ping = msgspec.json.encode(Request(1, "ping")) + b"\n"
    answered = 0
    for reader, writer in held:
        try:
            writer.write(ping)
            answered += bool(await reader.readline())
        except ConnectionError:
            continue
    assert answered == MAX_FACES
    for _, writer in held:
        writer.close()
    while await _answer(core, ping.strip()) is None:
        await asyncio.sleep(0.01)
