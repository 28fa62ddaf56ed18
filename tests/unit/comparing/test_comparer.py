"""The core's side, with the real process: asked through the socket, kept, stopped, started again, told of its death."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hegelion_core.client import Client
from hegelion_core.comparing import exchange
from hegelion_core.comparing.comparer import Comparer
from hegelion_core.comparing.exchange import Exchange, Exchanges
from hegelion_core.core import Core
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.service import Service
from hegelion_core.settings import Settings
from hegelion_core.supervisor import Supervisor
from hegelion_core.workspace import RunFolder, Workspace
from tests.fakes.compared import settings


@pytest.fixture(autouse=True)
def _own_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="hc") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield


async def until(run: RunFolder, holds: Callable[[Exchange], bool]) -> Exchange:
    """The newest exchange as soon as ``holds`` is true of it."""
    read = Exchanges(exchange.folder_of(run))
    async with asyncio.timeout(60):
        while True:
            read.refresh()
            if (found := read.all()) and holds(found[0]):
                return found[0]
            await asyncio.sleep(0.02)


def ended(found: Exchange) -> bool:
    return found.progress == "ended"


async def test_a_client_asks_the_real_process_answers_and_stays_for_the_next_question(tmp_path: Path) -> None:
    core = await Core.open(Workspace(tmp_path), settings(tmp_path, tokens=2_000))
    service = Service(core)
    await service.open()
    client = await Client.connect(Workspace(tmp_path))
    assert client is not None
    with pytest.raises(UserError, match="8,000 are possible"):
        await client.compare("x" * 100_000)
    await client.compare("Is it so?")
    await until(core.folder, lambda found: found.adapter.tokens > 3)
    with pytest.raises(UserError, match="A question is being answered"):
        await client.compare("And this?")
    child = core._comparer._child
    await client.stop_comparing()
    found = await until(core.folder, ended)
    assert found.adapter.ending == "stopped"  # this base ends by itself after some tokens, if it gets as far
    assert 3 < found.adapter.tokens < 2_000
    await client.compare("And this?", temperature=0.7)
    found = await until(core.folder, lambda found: found.number == 2 and found.progress == "answering")
    assert found.question.temperature == 0.7
    assert core._comparer._child is child, "the loaded process answers again"
    await client.close()
    await service.close()
    await core.close()
    assert child is not None
    assert not child.running
    assert (await until(core.folder, ended)).failed is None, "what had come is kept, and marked as stopped"


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path / "mark")
    yield made
    await made.close()


def comparer(tmp_path: Path, supervisor: Supervisor, chosen: Settings, *, idle_seconds: float = 300) -> Comparer:
    run = RunFolder(tmp_path / "run")
    run.spool.mkdir(parents=True, exist_ok=True)
    return Comparer(Workspace(tmp_path), run, chosen, supervisor, idle_seconds=idle_seconds)


async def test_a_process_that_dies_is_told_of_and_started_again(tmp_path: Path, supervisor: Supervisor) -> None:
    asked = comparer(tmp_path, supervisor, settings(tmp_path, tokens=2_000))
    await asked.ask("Is it so?", 0.0)
    await until(RunFolder(tmp_path / "run"), lambda found: found.adapter.tokens > 0)
    assert asked._child is not None
    os.kill(asked._child.pid, signal.SIGKILL)
    found = await until(RunFolder(tmp_path / "run"), ended)
    assert found.failed is not None
    assert "The process that answers was ended by SIGKILL" in found.failed.message
    assert found.adapter.tokens > 0, "what had come stays"
    await asked.ask("Again?", 0.0)
    await until(RunFolder(tmp_path / "run"), lambda found: found.number == 2 and found.base.tokens > 0)
    await asked.close()


async def test_without_a_question_it_ends_and_one_that_comes_just_then_is_answered(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    asked = comparer(tmp_path, supervisor, settings(tmp_path), idle_seconds=0)
    await asked.ask("Is it so?", 0.0)
    await until(RunFolder(tmp_path / "run"), ended)
    child = asked._child
    assert child is not None
    asked._lay_down("And this?", 0.0)  # no process is started for it: the one that ends is taken to be there
    assert await child.wait() in (ExitCode.DONE,)
    await until(RunFolder(tmp_path / "run"), lambda found: found.number == 2 and found.progress == "ended")
    await asked.close()


async def test_without_an_adapter_it_says_what_to_do(tmp_path: Path, supervisor: Supervisor) -> None:
    chosen = settings(tmp_path)
    (tmp_path / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(UserError, match="holds no adapter yet") as raised:
        await comparer(tmp_path, supervisor, chosen).ask("Is it so?", 0.0)
    assert (raised.value.hint, raised.value.exit_code) == ("Train first.", ExitCode.NOT_READY)
    assert not exchange.folder_of(RunFolder(tmp_path / "run")).exists()


async def test_what_a_dead_core_left_open_is_closed_and_old_exchanges_go(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(tmp_path)
    first = comparer(tmp_path, supervisor, chosen)
    for number in range(3):
        first._lay_down(f"Question {number}?", 0.0)
    second = comparer(tmp_path, supervisor, chosen)
    read = Exchanges(exchange.folder_of(RunFolder(tmp_path / "run")))
    read.refresh()
    assert [each.failed is not None for each in read.all()] == [True] * 3
    monkeypatch.setattr("hegelion_core.comparing.comparer.KEPT", 2)
    second._lay_down("The last?", 0.0)
    assert exchange.numbers(exchange.folder_of(RunFolder(tmp_path / "run"))) == [3, 4]
