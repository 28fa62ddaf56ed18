"""A terminal in which a program of ours runs."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pyte
import pytest

from tests.fakes.console import PATIENCE, PROGRAM, Console

COLUMNS, LINES = 120, 40


class Terminal:
    """A terminal of a given size in which a program runs."""

    def __init__(self, console: Console, *arguments: str) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        """Everything that the program wrote."""
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
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl+C is one
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
            if not self._read(0.2):
                pytest.fail(f"{text!r} did not come before the end:\n{self.text}")

    def _read(self, seconds: float) -> bool:
        """Take what the program has painted within ``seconds``; ``False`` when it has closed its end."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return False
            self.raw += data
            self._stream.feed(data)
        return True

    def wait_for_end(self) -> int:
        """Read on until the program ends; its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            if not self._read(0.1):
                break
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
