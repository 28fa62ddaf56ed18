"""What a dead core leaves, made by real files, locks and processes; and what takes it away."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core import guard
from hegelion_core.doctor import leftovers
from hegelion_core.doctor.case import Case
from hegelion_core.doctor.finding import Finding
from hegelion_core.errors import UserError
from hegelion_core.event_log import EventLog
from hegelion_core.generation.store import SampleStore
from hegelion_core.presence import answers, is_free
from hegelion_core.run import CoreLock
from hegelion_core.settings import Settings
from hegelion_core.wire import socket_path
from hegelion_core.workspace import Workspace
from tests.unit.generation.test_store import sample


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = Workspace(tmp_path / "lab")
    found.artifacts.mkdir(parents=True)
    return found


def case(place: Workspace) -> Case:
    return Case.open(place, Settings())


def mend(finding: Finding) -> str:
    assert finding.remedy is not None
    return finding.remedy.apply(lambda line: None)


def point(place: Workspace, path: Path, run: Path) -> None:
    place.core_pointer.write_text(json.dumps({"pid": os.getpid(), "socket": str(path), "run": str(run)}))


@pytest.fixture
def listening(place: Workspace) -> Iterator[Path]:
    """A socket on which somebody listens."""
    path = socket_path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))
        end.listen()
        yield path


def test_nothing_is_left(place: Workspace) -> None:
    here = case(place)
    for check in (leftovers.lock, leftovers.pointer, leftovers.orphans, leftovers.torn_line, leftovers.stray_files):
        assert check(here).level == "ok"
    assert leftovers.event_log(here) is None


def test_a_pointer_and_a_socket_without_a_core_are_removed(place: Workspace, listening: Path) -> None:
    point(place, listening, place.runs / "x")
    assert case(place).core == os.getpid()
    assert leftovers.pointer(case(place)).level == "ok"
    dead = socket_path(place)
    dead.unlink()  # the file that a killed core leaves: nobody listens there any more
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(dead))
    assert not answers(str(dead))
    found = leftovers.pointer(case(place))
    assert found.level == "warning"
    assert "artifacts/core.json" in mend(found)
    assert not dead.exists()
    assert not place.core_pointer.exists()
    assert leftovers.pointer(case(place)).level == "ok"
    mend(found)  # again does no harm


def test_a_lock_that_is_held_by_one_who_does_not_answer(place: Workspace) -> None:
    point(place, place.root / "gone.sock", place.runs / "x")
    stale = leftovers.pointer(case(place))
    held = CoreLock(place)
    try:
        found = leftovers.lock(case(place))
        assert found.level == "warning"
        assert "does not answer" in found.found
        assert leftovers.pointer(case(place)).level == "ok", "it may be a core that is starting"
        with pytest.raises(UserError, match="at work"):
            mend(stale)
        assert place.core_pointer.exists()
    finally:
        held.release()
    assert leftovers.lock(case(place)).level == "ok"
    CoreLock(place).release()  # looking has not taken it


def test_looking_at_the_lock_leaves_no_trace(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "new")
    assert is_free(place)
    assert not place.artifacts.exists()
    place.artifacts.mkdir(parents=True)
    with open(place.artifacts / ".core.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not is_free(place)


def test_processes_of_a_dead_core_are_ended(place: Workspace) -> None:
    run = place.run("1-run-all-x")
    run.spool.mkdir(parents=True)
    EventLog(run.events).close()
    run.mark.write_text("mark-of-a-test")
    environment = {**os.environ, guard.MARK: "mark-of-a-test"}
    child = subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)
    try:
        found = leftovers.orphans(case(place))
        assert found.level == "warning"
        assert str(child.pid) in found.found
        assert found.remedy is not None
        assert found.remedy.asks
        assert mend(found) == "They are ended."
        assert child.wait(10) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()


def test_a_torn_last_line_gets_its_end_and_nothing_is_lost(place: Workspace) -> None:
    path = place.artifacts / "data" / "hegelion_kimi_training_data.jsonl"
    SampleStore(path).append(sample("Should cars be banned?"), 10)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"instruction": "half')
    found = leftovers.torn_line(case(place))
    assert found.level == "warning"
    assert mend(found).endswith("kept in hegelion_kimi_training_data.rejected.jsonl.")
    assert path.read_bytes() == whole
    assert b"half" in SampleStore(path).rejected_path.read_bytes()
    assert leftovers.torn_line(case(place)).level == "ok"
    path.write_bytes(whole[:-1])
    assert mend(leftovers.torn_line(case(place))).endswith("It is a sample.")
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"whole\n"])
def test_a_file_that_ends_well(place: Workspace, content: bytes) -> None:
    path = place.artifacts / "data" / "hegelion_kimi_training_data.jsonl"
    path.parent.mkdir()
    path.write_bytes(content)
    assert leftovers.torn_line(case(place)).level == "ok"


def test_half_written_files_of_dead_processes_only(place: Workspace) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, alive = (place.artifacts / f".core.json.{pid}.tmp" for pid in (gone.pid, os.getpid()))
    for path in (dead, alive, place.artifacts / ".hidden"):
        path.touch()
    found = leftovers.stray_files(case(place))
    assert found.level == "warning"
    assert dead.name in found.found
    mend(found)
    assert sorted(path.name for path in place.artifacts.iterdir()) == sorted([".hidden", alive.name])


def test_damaged_lines_of_the_event_log_are_counted(place: Workspace) -> None:
    run = place.run("1-run-all-x")
    run.path.mkdir(parents=True)
    log = EventLog(run.events)
    log.publish(e.NoticePosted(text="hello"))
    log.close()
    found = leftovers.event_log(case(place))
    assert found is not None
    assert found.level == "ok"
    with open(run.events, "ab") as file:
        file.write(b"{what?\n")
    found = leftovers.event_log(case(place))
    assert found is not None
    assert found.level == "note"
    assert found.found.startswith("1 lines of artifacts/runs/1-run-all-x/events.jsonl")
