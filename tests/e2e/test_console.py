"""The console in a real terminal, with a real core behind it, driven by keys alone."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from hegelion_core import events as e
from tests.fakes.console import FAST, PATIENCE, PROGRAM, Console, count
from tests.fakes.terminal import Terminal


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    for process in made.processes():
        process.kill()


@pytest.fixture
def terminal(console: Console) -> Iterator[Callable[..., Terminal]]:
    """Opens terminals on the workspace; all of them are closed at the end."""
    opened: list[Terminal] = []

    def open_one(*arguments: str) -> Terminal:
        opened.append(Terminal(console, *arguments))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_a_run_outlives_the_screen_and_ends_in_another(console: Console) -> None:
    """Started by a key, left running, attached to from a second terminal, seen to its end there."""
    console.environment["KIMI_FAKE_SECONDS"] = "0.5"
    arguments = ["--student", str(console.student), "--limit", "6", *FAST]
    first = Terminal(console, *arguments)
    first.wait_for("Nothing yet")
    first.press("r")
    first.wait_for("asks:")
    first.press("q")
    first.wait_for("Keep running")
    first.press("k")
    assert first.wait_for_end() == 0
    first.close()
    console.wait_for(lambda events: count(events, e.SampleAccepted) >= 2)

    second = Terminal(console, *arguments)
    second.wait_for("6 of 6")
    console.wait_for(lambda events: count(events, e.RunEnded) == 1)
    second.wait_for("evaluation.json")
    second.press("q")
    assert second.wait_for_end() == 0
    second.close()
    assert len(console.prompts_done()) == 6
    assert count(console.events(), e.RunOpened) == 1
    console.wait_until_quiet()


def test_a_whole_run_by_keys_alone_and_what_is_left_of_it_can_be_read_later(
    console: Console, terminal: Callable[..., Terminal]
) -> None:
    """Every stage by its key, to the summary; then the same run with a damaged log and settings that are wrong."""
    console.environment |= {"KIMI_FAKE_SECONDS": "0.1", "SSH_CONNECTION": "far away"}
    arguments = ["--student", str(console.student), "--limit", "6", *FAST, "--set", "console.stage_ended=both"]
    screen = terminal(*arguments)
    screen.wait_for("Nothing yet. r runs every stage")
    screen.press("s")
    screen.wait_for("Nothing is running.")
    for ends, (key, done) in enumerate(
        (("g", "6 of 6"), ("c", "✓ convert"), ("t", "✓ train"), ("e", "✓ evaluate")), start=1
    ):
        screen.press(key)
        screen.wait_for(done)
        console.wait_for(at_least(e.RunEnded, ends))
        screen.wait_for("✓ Done")
    screen.wait_for("evaluation.json")
    screen.wait_for("whole traces")
    assert b"\x1b]9;hegelion " in screen.raw
    assert b": The run is done.\x07" in screen.raw
    screen.press("?")
    screen.wait_for("Ask the teacher until the target is reached.")
    screen.press("q")
    screen.press("m")
    screen.wait_for("look through the samples")
    screen.press("q")
    assert screen.wait_for_end() == 0
    console.wait_until_quiet()

    with open(console.run_folder / "events.jsonl", "ab") as log:
        log.write(
            b'{"event":"SampleDreamt","at":1.0,"by":"a newer version"}\n\xff\xfe\x00\n{"event":"StepReported"}\ntorn'
        )
    (console.folder / "hegelion.toml").write_text(
        "[console]\ntheme = 'beige'\n[keys]\nfly = 'x'\ntrain = 'no key'\nrun_all = 'z'\n"
    )
    again = terminal(*arguments)
    again.wait_for("Settings that are left out")
    again.wait_for("2 lines of the event log could not be read.")
    again.wait_for("6 of 6")
    again.wait_for("z Run")
    again.press("q")
    assert again.wait_for_end() == 0


def test_a_run_in_one_terminal_is_steered_and_resumed_from_another(
    console: Console, terminal: Callable[..., Terminal]
) -> None:
    """``--run-all`` here; there, a console without a flag scales it, stops one, stops all, goes on, stops again."""
    console.environment["KIMI_FAKE_SECONDS"] = "10"
    one = terminal(*console.run_all("--limit", "24"))
    one.wait_for("generate: generating samples")
    console.environment["KIMI_FAKE_SECONDS"] = "0.1"  # of the core that is started later, from the other terminal
    other = terminal()
    other.wait_for("generator 2 · ")
    for keys, instances in (("+", 3), ("-", 2), ("+++", 5), ("--", 3)):
        before = count(console.events(), e.InstancesScaled)
        other.press(keys)
        console.wait_for(at_least(e.InstancesScaled, before + len(keys)))
        assert last(console.events(), e.InstancesScaled).count == instances
    other.press("S")
    other.wait_for("Stop generator 1?")
    other.press("s")
    other.wait_for("generator 1 · stopped")
    assert last(console.events(), e.InstancesScaled).numbers == (2, 3)
    other.press("s")
    other.wait_for("Stop the run?")
    other.press("s")
    one.wait_for("Stopped. Run the same command again")
    assert one.wait_for_end() == 130
    other.wait_for("■ Stopped")
    other.wait_for("The core has ended, and nothing was under way.")
    other.press("r")
    other.wait_for("24 of 24")
    other.press("q")
    other.wait_for("Stop and quit")
    other.press("s")
    assert other.wait_for_end() == 0
    assert count(console.events(), e.RunEnded) == 2
    assert len(set(console.prompts_done())) == 24
    console.wait_until_quiet()


def test_two_consoles_resume_a_dead_core_and_stop_at_once(console: Console, terminal: Callable[..., Terminal]) -> None:
    """The core is killed; both screens say so, both resume it, and get the same one; both stop it."""
    console.environment["KIMI_FAKE_SECONDS"] = "1"
    arguments = ["--student", str(console.student), "--limit", "30", *FAST]
    screens = [terminal(*arguments)]
    screens[0].wait_for("Nothing yet")
    screens.append(terminal())
    screens[1].wait_for("generator 1")
    screens[0].press("r")
    console.wait_for(lambda events: count(events, e.SampleAccepted) >= 1)
    os.kill(last(console.events(), e.RunOpened).core_pid, signal.SIGKILL)
    for screen in screens:
        screen.wait_for("The core has ended, while work was under way.")
    for screen in screens:
        screen.press("r")
    console.wait_for(lambda events: count(events, e.RunOpened) == 2 and count(events, e.WorkRequested) == 2)
    accepted = count(console.events(), e.SampleAccepted)
    console.wait_for(lambda events: count(events, e.SampleAccepted) > accepted)
    for screen in screens:
        screen.wait_for("● generate")
        screen.press("s")
        screen.wait_for("Stop the run?")
    for screen in screens:
        screen.press("s")
    for screen in screens:
        screen.wait_for("■ Stopped")
    assert count(console.events(), e.RunEnded) == 1
    assert count(console.events(), e.StageStopped) == 1
    for screen in screens:
        screen.press("D")
        assert screen.wait_for_end() == 0
    assert len(set(console.prompts_done())) == len(console.prompts_done())
    console.wait_until_quiet()


E = TypeVar("E", bound=e.Event)


def at_least(kind: type[e.Event], number: int) -> Callable[[list[e.AnyEvent]], bool]:
    """Whether so many events of a class have happened."""
    return lambda events: count(events, kind) >= number


def last(events: list[e.AnyEvent], kind: type[E]) -> E:
    """The newest event of a class."""
    return [event for event in events if isinstance(event, kind)][-1]


def test_textuals_server_can_show_it_in_a_browser(console: Console) -> None:
    """What textual-serve gives it: pipes in place of a terminal, and Textual's driver for browsers."""
    served = {"TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver", "COLUMNS": "120", "ROWS": "40"}
    process = subprocess.Popen(
        [str(PROGRAM), "--student", str(console.student)],
        cwd=console.folder,
        env={**console.environment, **served},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        painted, deadline = b"", time.monotonic() + PATIENCE
        while b"Nothing yet" not in painted:
            assert time.monotonic() < deadline, painted[-2000:]
            if select.select([process.stdout], [], [], 0.2)[0]:
                painted += os.read(process.stdout.fileno(), 65536)
        leave = b'{"type": "quit"}'
        process.stdin.write(b"M" + len(leave).to_bytes(4, "big") + leave)
        process.stdin.flush()
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
