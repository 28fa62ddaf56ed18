"""What is seen of a run from files, processes and the machine."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core import events as e
from hegelion_core import glance
from hegelion_core.event_log import EventLog
from hegelion_core.glance import Onlooker, tail
from hegelion_core.gpu import Gpu, NoGpus
from hegelion_core.run import CoreLock
from hegelion_core.workspace import Workspace

RUN = "20260101-000000-generate-aaaaaaaa"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def log(place: Workspace) -> EventLog:
    """The log of a run that this process has open."""
    run = place.run(RUN)
    run.calls.mkdir(parents=True)
    log = EventLog(run.events)
    log.publish(
        e.RunOpened(
            run_id=RUN,
            folder=str(run.path),
            target=9,
            teacher="kimi",
            student="s",
            source="p",
            core_pid=os.getpid(),
        )
    )
    log.publish(e.WorkRequested(stages=("generate",)))
    return log


def test_a_call_is_known_to_be_its_instances(place: Workspace, log: EventLog) -> None:
    log.publish(e.SampleRequested(instance=2, prompt_id="p-1"))
    folder = place.run(RUN).calls / "p-1-0123abcd"
    folder.mkdir()
    lock = CoreLock(place)
    with open(folder / "out", "wb") as out, subprocess.Popen(["sleep", "60"], stdout=out) as call:
        seen = Onlooker(place).look(time.time())
        call.kill()
    lock.release()
    assert seen is not None
    assert seen.core == os.getpid()
    assert seen.instances == {2: (call.pid,)}
    assert [child.name for child in seen.children if child.pid == call.pid] == ["sleep"]
    assert seen.core_memory > 0


def test_children_that_outlived_their_core_are_seen(place: Workspace, log: EventLog) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        log.publish(e.ChildStarted(name="train", pid=child.pid))
        seen = Onlooker(place).look(time.time())
        child.kill()
    assert seen is not None
    assert (seen.core, seen.left) == (0, (child.pid,)), "nobody holds the workspace"


def test_looking_again_reads_on_and_a_newer_run_is_seen(place: Workspace, log: EventLog) -> None:
    onlooker = Onlooker(place)
    assert Onlooker(Workspace(place.root, demo=True)).look(time.time()) is None
    first = onlooker.look(time.time())
    log.publish(e.SamplesCounted(path="samples", accepted=5))
    second = onlooker.look(time.time())
    assert first is not None
    assert second is not None
    assert (first.state.accepted, second.state.accepted) == (0, 5)
    newer = place.run("20260102-000000-train-bbbbbbbb")
    newer.path.mkdir()
    EventLog(newer.events).close()
    os.utime(newer.events, (time.time() + 60, time.time() + 60))
    third = onlooker.look(time.time())
    assert third is not None
    assert (third.run, third.state.accepted) == (newer, 0)


def test_logs_of_this_opening_and_the_adapters_files_are_seen(place: Workspace, log: EventLog) -> None:
    place.logs.mkdir()
    for name, age in (("generator_1.log", 0), ("generator_2.log", 5), ("old.log", 90_000)):
        (place.logs / name).write_text("first\n\nsecond\r  50%\r 100%\nthird\nfourth\n")
        os.utime(place.logs / name, (time.time() + 9 - age,) * 2)
    adapter = place.root / "artifacts/adapters/hegelion_1.5b_v1"
    adapter.mkdir(parents=True)
    (adapter / "adapters.safetensors").write_bytes(b"12345")
    (adapter / "weights.safetensors").symlink_to("adapters.safetensors")
    seen = Onlooker(place).look(time.time())
    assert seen is not None
    assert [Path(end.path).name for end in seen.logs] == ["generator_1.log", "generator_2.log"]
    assert seen.logs[0].lines == (" 100%", "third", "fourth")
    assert [(file.name, file.link) for file in seen.adapter_files] == [
        ("adapters.safetensors", ""),
        ("weights.safetensors", "adapters.safetensors"),
    ]
    assert seen.adapter_files[0].size == 5


@given(st.binary(max_size=300))
def test_a_logs_end_can_be_told_whatever_is_in_it(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".log") as file:
        file.write(content)
        file.flush()
        assert len(tail(Path(file.name))) <= glance.LINES


def test_graphics_processors_that_do_not_answer_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    awake = threading.Event()

    class Sleepy(NoGpus):
        def read(self) -> tuple[Gpu, ...]:
            awake.wait()
            return (Gpu("G", 1.0, 1, 1),)

    monkeypatch.setattr("hegelion_core.gpu.open_reader", Sleepy)
    monkeypatch.setattr(glance, "GPU_PATIENCE", 0.01)
    gpus = glance._Gpus()
    gpus.begin()
    assert gpus.read() == ()
    awake.set()
    monkeypatch.setattr(glance, "GPU_PATIENCE", 60)
    assert gpus.read() == (Gpu("G", 1.0, 1, 1),)
