"""The one screen of ``--status``: what it tells of a run that works, that died, that failed; and how it is painted."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.commands import status_words
from hegelion_core.commands.repaint import frame
from hegelion_core.event_log import EventLog
from hegelion_core.fold import fold
from hegelion_core.glance import AdapterFile, Glance, Log
from hegelion_core.process_memory import ChildProcess
from hegelion_core.run import CoreLock
from hegelion_core.workspace import Workspace
from hegelion_tui.cli import run
from tests.fakes.glances import GIB, glance
from tests.tui.fake_operations import step

OPENED = e.RunOpened(
    at=0,
    run_id="20260101-000000-generate-aaaaaaaa",
    folder="/w/artifacts/runs/20260101-000000-generate-aaaaaaaa",
    target=4,
    teacher="local",
    student="s",
    source="bundled",
    core_pid=7,
    arguments=("--limit", "4"),
)
BEGUN: list[e.AnyEvent] = [OPENED, e.WorkRequested(at=0, stages=("generate",)), e.StageStarted(at=0, stage="generate")]
ACCEPTED = e.SampleAccepted(at=30, instance=1, prompt_id="p", sample_id="s", accepted=1, seconds=1)
PLANNED = e.TrainingPlanned(
    at=12,
    iters=100,
    rows=9,
    validation_rows=1,
    tokens_per_epoch=10,
    trainable=10,
    target_s=0.01,
    device="cpu",
)


def told(found: Glance) -> str:
    return "\n".join(status_words.lines(found))


def test_a_run_at_work_is_told_with_rate_and_end() -> None:
    text = told(glance(fold([*BEGUN, ACCEPTED]), now=60, core=7))
    assert "at work, core 7" in text
    assert "Samples:   1/4 · 1.0/min · ETA 3m 00s · 100% of answers accepted" in text
    assert "Nothing is wrong." in text


def test_a_core_that_died_is_told_with_the_command_that_goes_on() -> None:
    text = told(glance(fold([*BEGUN, ACCEPTED]), now=60, left=(9,)))
    assert "its core ended without warning" in text
    assert "! The core ended without warning in generate (process 7, killed or the machine went down)." in text
    assert "Go on: hegelion-console generate --workspace /w --limit 4" in text
    assert "Processes of the core that died still run: 9." in text
    assert "/min" not in text, "nothing goes on"


def test_what_failed_is_told_with_its_own_advice() -> None:
    failed = e.StageFailed(at=40, stage="generate", message="No login.", hint="Run kimi.", exit_code=3)
    text = told(glance(fold([*BEGUN, failed, e.RunEnded(at=41, exit_code=3)]), now=60))
    assert "! generate: No login." in text
    assert "Run kimi. Go on: hegelion-console generate" in text


def test_training_processes_logs_and_files_are_told() -> None:
    begun = [OPENED, e.WorkRequested(at=0, stages=("train",)), e.StageStarted(at=10, stage="train"), PLANNED]
    state = fold([*begun, replace(step(10), at=50)])
    found = glance(
        state,
        now=60,
        core=7,
        children=(ChildProcess("train", 8, 3 * GIB, 10.0),),
        logs=(Log("/w/artifacts/logs/train.log", 55.0, ("Step 10: Loss=1", "evil")),),
        files=(
            AdapterFile("adapters.safetensors", 50 << 20, 0.0),
            AdapterFile("weights.safetensors", 20, 0.0, "adapters.safetensors"),
        ),
    )
    text = told(found)
    assert "step 10 of 100" in text
    assert "ETA" in text
    assert "core   7  40.0 MiB" in text
    assert "train  8   3.0 GiB  for 50s" in text
    assert "train.log, 5s ago\n  | Step 10: Loss=1" in text
    assert "adapters.safetensors  50.0 MiB" in text
    assert "weights.safetensors   -> adapters.safetensors" in text
    plain = status_words.plain(found)
    assert plain["standing"] == "at work"
    assert json.dumps(plain), "it can be written as JSON"


def test_a_run_that_wants_no_samples_tells_what_it_is_for() -> None:
    opened = replace(OPENED, run_id="20260101-000000-evaluate-aaaaaaaa")
    text = told(glance(fold([opened, e.WorkRequested(at=0, stages=("evaluate",))]), now=60, core=7))
    assert "s, base against adapter" in text
    assert "0/4" not in text


def test_silence_pressure_and_a_full_disk_are_troubles() -> None:
    found = glance(fold([*BEGUN, ACCEPTED]), now=1000, core=7, level="critical", disk=GIB)
    assert [trouble.what for trouble in status_words.troubles(found)] == [
        "Nothing was heard for 16m 10s.",
        "Memory pressure is critical.",
        "Only 1.0 GiB of disk are free.",
    ]
    assert all(trouble.do for trouble in status_words.troubles(found))


@given(st.lists(st.text("ab é\t", max_size=60), max_size=30), st.integers(20, 50), st.integers(3, 12))
def test_a_frame_paints_over_what_stood_there_and_never_scrolls(rows: list[str], columns: int, lines: int) -> None:
    screen = pyte.Screen(columns, lines)
    screen.reset_mode(7, private=True)  # no line breaks but ours, as --watch sets it
    stream = pyte.Stream(screen)
    for text in ("old\n" * 40, "\n".join(rows)):
        stream.feed(frame(text, columns, lines).replace("\n", "\r\n"))
    shown = screen.display
    assert "old" not in "".join(shown)
    assert shown[-1].startswith("q ends this")
    if rows and rows[0].isascii():
        assert shown[0].rstrip() == rows[0].expandtabs()[:columns].rstrip()


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path)
    folder = place.run(OPENED.run_id)
    folder.path.mkdir(parents=True)
    log = EventLog(folder.events)
    for event in (*BEGUN, ACCEPTED, e.RunEnded(exit_code=0)):
        log.publish(event)
    log.close()
    return place


def test_nothing_is_made_by_looking(place: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.root.rglob("*"))
    assert run(["--status", "--workspace", str(place.root)]) == 0
    assert "not running; done" in capsys.readouterr().out
    assert sorted(place.root.rglob("*")) == before


def test_while_only_the_demo_is_at_work_its_status_is_named(
    place: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.root)
    lock = CoreLock(Workspace(place.root, demo=True))
    assert run(["--status"]) == 0
    assert capsys.readouterr().out.endswith("The demo is open: hegelion-console --status --demo\n")
    lock.release()
    assert run(["--status"]) == 0
    assert "demo" not in capsys.readouterr().out


def watch(place: Workspace, *arguments: str) -> list[str]:
    command = ["--status", "--watch", "--workspace", str(place.root), *arguments]
    return [sys.executable, "-c", f"import sys; from hegelion_tui.cli import run; sys.exit(run({command!r}))"]


@pytest.mark.parametrize("how", ["q", "ctrl+c", "SIGTERM"])
def test_watch_paints_a_terminal_and_gives_it_back(place: Workspace, how: str) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(watch(place), stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    said = read_until(master, b"q ends this")
    assert b"not running; done" in said
    assert b"\x1b[2J" not in said, "the screen is never emptied, so it does not flicker"
    if how == "q":
        os.write(master, b"q")
    else:
        process.send_signal(signal.SIGINT if how == "ctrl+c" else signal.SIGTERM)
    said = read_until(master, b"\x1b[?1049l")
    assert process.wait() == 0
    assert b"\x1b[?25h" in said
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


def read_until(descriptor: int, end: bytes) -> bytes:
    said = b""
    while end not in said:
        ready, _, _ = select.select([descriptor], [], [], 60)
        assert ready, said
        said += os.read(descriptor, 65536)
    return said


def test_watch_into_a_pipe_ends_with_its_reader(place: Workspace) -> None:
    process = subprocess.Popen(watch(place, "--json"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert [look["standing"] for look in looks] == ["done", "done"]
    process.stdout.close()
    assert process.wait() == 0
