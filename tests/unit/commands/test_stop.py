"""``hegelion-console stop`` where there is nothing to stop, and where a core does not answer."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hegelion_core import client
from hegelion_core.commands import stop
from hegelion_core.errors import ExitCode
from hegelion_core.run import CoreLock
from hegelion_core.wire import Pointer
from hegelion_core.workspace import Workspace
from hegelion_tui.cli import run

Capture = pytest.CaptureFixture[str]


def call(place: Workspace, *arguments: str) -> int:
    return run(["stop", *arguments, "--workspace", str(place.root)])


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def silent_core(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A core that holds the workspace, takes connections and says nothing."""
    monkeypatch.setattr(client, "ANSWER_PATIENCE", 0.05)
    monkeypatch.setattr(stop, "ANSWER_PATIENCE", 0.1)
    lock = CoreLock(place)
    folder = place.run("20260101-000000-generate-aaaaaaaa")
    folder.path.mkdir(parents=True)
    folder.events.touch()
    with tempfile.TemporaryDirectory(prefix="hc") as short, socket.socket(socket.AF_UNIX) as end:
        end.bind(f"{short}/s")
        end.listen()
        place.core_pointer.write_bytes(msgspec.json.encode(Pointer(os.getpid(), f"{short}/s", str(folder.path))))
        yield
    lock.release()


def test_nothing_runs(place: Workspace, capsys: Capture) -> None:
    for what in ((), ("generate",), ("train",), ("all",)):
        assert call(place, *what) == ExitCode.DONE
        assert capsys.readouterr().out == "Nothing runs.\n"
    assert call(place, "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == {"stopped": [], "core_ended": True}
    assert not place.artifacts.exists(), "asking makes nothing"


def test_what_can_be_stopped_is_told(place: Workspace, capsys: Capture) -> None:
    assert call(place, "convert") == ExitCode.USAGE
    assert "'generate', 'train', 'all'" in capsys.readouterr().err


@pytest.mark.usefixtures("silent_core")
def test_a_core_that_does_not_answer_is_named(place: Workspace, capsys: Capture) -> None:
    assert call(place) == ExitCode.NOT_READY
    told = capsys.readouterr().err
    assert "does not answer" in told
    assert f"kill {os.getpid()}" in told


@pytest.mark.parametrize("what", [(), ("train",), ("generate",)])
def test_the_demo_is_not_stopped_unasked_but_named(
    place: Workspace, capsys: Capture, what: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = CoreLock(Workspace(place.root, demo=True))
    assert call(place, *what) == ExitCode.DONE
    told = f"The demo is open. To stop that: hegelion-console stop --demo --workspace {place.root}"
    assert capsys.readouterr().out == f"Nothing runs.\n{told}\n"
    monkeypatch.chdir(place.root)
    assert run(["stop", *what]) == ExitCode.DONE
    assert capsys.readouterr().out == "Nothing runs.\nThe demo is open. To stop that: hegelion-console stop --demo\n"
    lock.release()


def test_the_real_job_is_named_where_the_demo_was_meant(place: Workspace, capsys: Capture) -> None:
    lock = CoreLock(place)
    assert call(place, "train", "--demo") == ExitCode.DONE
    lock.release()
    told = f"The real job is open. To stop that: hegelion-console stop --workspace {place.root}"
    assert capsys.readouterr().out == f"Nothing runs.\n{told}\n"
