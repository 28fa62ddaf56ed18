"""The socket: commands reach the core, events reach the client through the run's files, the owner alone gets in."""

from __future__ import annotations

import asyncio
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.client import Client
from hegelion_core.core import Core
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import by_hand
from hegelion_core.generation.store import SampleStore
from hegelion_core.service import Service
from hegelion_core.settings import Settings
from hegelion_core.wire import read_pointer, socket_path
from hegelion_core.workspace import Workspace
from tests.unit.generation.test_store import sample


@pytest.fixture(autouse=True)
def _own_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A short one: pytest's own folders are too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="hc") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


def settings(tmp_path: Path) -> Settings:
    """A student that is none, so that a run ends in its check within moments."""
    return Settings.model_validate(
        {"generation": {"teacher": "local", "dataset": "bundled"}, "training": {"model": str(tmp_path / "nowhere")}}
    )


async def open_service(tmp_path: Path) -> tuple[Core, Service]:
    core = await Core.open(Workspace(tmp_path), settings(tmp_path))
    service = Service(core)
    await service.open()
    return core, service


async def test_a_client_steers_the_core_and_sees_its_events(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    client = await Client.connect(Workspace(tmp_path))
    assert client is not None
    assert client.state.run_id == core.folder.id
    await client.scale(5)
    await client.start(("convert",))
    seen: list[e.AnyEvent] = []
    async for event in client.events():
        seen.append(event)
        if isinstance(event, e.RunEnded):
            break
    assert any(isinstance(event, e.StageFailed) for event in seen)
    assert client.state == core.state
    await client.close()
    await service.close()
    await core.close()


async def test_a_refusal_reaches_the_client_in_words(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    client = await Client.connect(Workspace(tmp_path))
    assert client is not None
    with pytest.raises(UserError, match="65 instances") as raised:
        await client.scale(65)
    await client.scale(64)
    with pytest.raises(UserError, match="65 instances"):
        await client.scale_by(1)
    await client.scale_by(-1)
    await client.scale_by(1)
    assert raised.value.hint
    await client.close()
    await service.close()
    await core.close()


async def test_two_clients_that_stop_at_once_both_get_an_answer(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    clients = [await Client.connect(Workspace(tmp_path)) for _ in range(2)]
    await core.start(("check",))
    await asyncio.gather(*(client.stop() for client in clients if client is not None))
    assert not core.busy
    await service.close()
    await core.close()


async def test_events_end_when_the_core_is_gone(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    client = await Client.connect(Workspace(tmp_path))
    assert client is not None
    await service.close()
    await core.close()
    async with asyncio.timeout(10):
        assert [event async for event in client.events()] == []
    with pytest.raises(UserError, match="gone"):
        await client.stop()


async def test_a_pointer_and_a_socket_of_a_dead_core_lead_nowhere_and_are_replaced(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    path = socket_path(place)
    path.parent.mkdir(parents=True, mode=0o700)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    place.artifacts.mkdir()
    place.core_pointer.write_text(f'{{"pid": 1, "socket": "{path}", "run": "x"}}')
    assert await Client.connect(place) is None
    core, service = await open_service(tmp_path)
    client = await Client.connect(place)
    assert client is not None
    await client.close()
    await service.close()
    await core.close()
    assert read_pointer(place) is None
    assert not path.exists()


async def test_only_the_owner_can_reach_the_socket(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    path = socket_path(Workspace(tmp_path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(str(path)) <= 103
    await service.close()
    path.parent.chmod(0o777)
    again = Service(core)
    await again.open()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await again.close()
    await core.close()


async def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = socket_path(Workspace(tmp_path)).parent
    folder.symlink_to(tmp_path)
    core = await Core.open(Workspace(tmp_path), settings(tmp_path))
    with pytest.raises(UserError, match="belongs to someone else"):
        await Service(core).open()
    await core.close()


async def test_a_second_core_in_a_workspace_is_refused(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    with pytest.raises(UserError, match="at work"):
        await Core.open(Workspace(tmp_path), settings(tmp_path))
    await core.start(("convert",))
    await core.wait()
    await service.close()
    await core.close()
    again = await Core.open(Workspace(tmp_path), settings(tmp_path))
    assert again.state.openings == 2
    await again.close()


@pytest.mark.parametrize("line", [b"nonsense\n", b"{}\n", b'{"id":1,"command":"explode"}\n', b'{"id":"x"}\n'])
async def test_nonsense_on_the_socket_is_answered_and_does_no_harm(tmp_path: Path, line: bytes) -> None:
    core, service = await open_service(tmp_path)
    reader, writer = await asyncio.open_unix_connection(socket_path(Workspace(tmp_path)))
    writer.write(line)
    assert b"Not a request" in await reader.readline()
    writer.close()
    await service.close()
    await core.close()


async def test_a_line_without_end_is_hung_up_on(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    reader, writer = await asyncio.open_unix_connection(socket_path(Workspace(tmp_path)))
    writer.write(b"x" * 200_000)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    client = await Client.connect(Workspace(tmp_path))
    assert client is not None
    await client.close()
    await service.close()
    await core.close()


async def test_decisions_made_in_another_process_are_counted_when_asked(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    place = Workspace(tmp_path)
    client = await Client.connect(place)
    assert client is not None
    store = SampleStore(place.resolve(core_samples(core)))
    for number in range(3):
        store.append(sample(f"Should city {number} ban cars?"), 9)
    await client.recount()
    assert core.state.accepted == 3
    by_hand.decide(store, store.line(1), "reject")
    await client.recount()
    assert core.state.accepted == 2
    async for event in client.events():
        if isinstance(event, e.SamplesCounted) and event.accepted == 2:
            break
    assert client.state.accepted == 2
    await client.close()
    await service.close()
    await core.close()


def core_samples(core: Core) -> Path:
    return Settings.model_validate_json(core.folder.settings.read_bytes()).generation.output


async def test_a_stop_by_two_faces_lets_a_stage_save_what_it_has(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    clients = [await Client.connect(Workspace(tmp_path)) for _ in range(2)]
    began, saving = asyncio.Event(), asyncio.Event()
    saved: list[bool] = []

    async def work() -> str:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            saving.set()
            await asyncio.sleep(0.1)  # a second cancellation would end this
            saved.append(True)
        return ""

    core._pipeline._work["check"] = work
    await core.start(("check",))
    await asyncio.wait_for(began.wait(), 10)
    stops = [asyncio.create_task(client.stop()) for client in clients if client is not None]
    await asyncio.wait_for(saving.wait(), 10)
    await asyncio.gather(*stops)
    assert saved == [True]
    assert core.state.exit_code == 130
    assert core.state.stages["check"].status == "stopped"
    with pytest.raises(UserError, match="Nothing is being generated"):
        await core.stop_instance(1)
    await service.close()
    await core.close()


async def test_what_answers_nonsense_is_no_core(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    path = socket_path(place)
    path.parent.mkdir(parents=True, mode=0o700)

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\n")

    server = await asyncio.start_unix_server(babble, path)
    place.artifacts.mkdir()
    place.core_pointer.write_text(f'{{"pid": 1, "socket": "{path}", "run": "x"}}')
    assert await Client.connect(place) is None
    server.close()


async def test_a_run_that_was_opened_and_never_used_leaves_no_folder(tmp_path: Path) -> None:
    core, service = await open_service(tmp_path)
    await service.close()
    await core.close()
    assert list(Workspace(tmp_path).runs.iterdir()) == []


@pytest.mark.parametrize("kept", ["compare.jsonl", "spool/calls"])
async def test_a_run_that_holds_something_stays(tmp_path: Path, kept: str) -> None:
    core, service = await open_service(tmp_path)
    (core.folder.path / kept).touch()
    await service.close()
    await core.close()
    assert (core.folder.path / kept).exists()


async def test_an_unused_run_that_took_an_earlier_ones_place_stays(tmp_path: Path) -> None:
    first = await Core.open(Workspace(tmp_path), settings(tmp_path))
    await first.start(("convert",))
    await first.wait()
    await first.close()
    anew = await Core.open(Workspace(tmp_path), settings(tmp_path), new=True)
    await anew.close()
    assert anew.folder.path.is_dir()  # else the next start would go on with the first, whose outputs were moved


async def test_an_exit_code_of_another_version_is_a_failure(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    path = socket_path(place)
    path.parent.mkdir(parents=True, mode=0o700)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"id":1}\n')
        await reader.readline()
        writer.write(b'{"id":2,"error":"No.","exit_code":76}\n')
        writer.close()

    server = await asyncio.start_unix_server(refuse, path)
    place.artifacts.mkdir()
    place.core_pointer.write_text(f'{{"pid": 1, "socket": "{path}", "run": "x"}}')
    client = await Client.connect(place)
    assert client is not None
    with pytest.raises(UserError, match="No") as refused:
        await client.stop()
    assert refused.value.exit_code == ExitCode.FAILED
    await client.close()
    server.close()
