"""The console in a real terminal, with a real core behind it, driven by keys alone."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from hegelion_core import events as e
from tests.fakes.console import FAST, PATIENCE, PROGRAM, Console, count

COLUMNS, LINES = 120, 40


class Terminal:
    """A terminal of a given size in which a program runs."""

    def __init__(self, console: Console, *arguments: str) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [str(PROGRAM), *arguments],
            cwd=console.folder,
            env={**console.environment, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    @property
    def text(self) -> str:
        return "\n".join(self._screen.display)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read what the program paints until ``text`` stands on the screen."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} did not come:\n{self.text}"
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self._stream.feed(os.read(self._master, 65536))
                except OSError:  # the program closed its end
                    pytest.fail(f"{text!r} did not come before the end:\n{self.text}")

    def wait_for_end(self) -> int:
        """Read on until the program ends; its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self._stream.feed(os.read(self._master, 65536))
                except OSError:
                    break
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    for process in made.processes():
        process.kill()


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
