"""A text on the terminal that is painted over itself every few seconds, until ``q`` or Ctrl+C."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The terminal's other screen, so that what stood there comes back; no cursor; no line breaks but ours."""
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_FOOT = "q ends this"


def repaint(look: Callable[[], str], every: float) -> None:
    """Paint what ``look`` gives every so many seconds, until ``q``, Ctrl+C, SIGTERM or the terminal's end."""
    try:
        with _keys() as pressed, _screen():
            while True:
                size = shutil.get_terminal_size()
                _write(frame(look(), size.columns, size.lines))
                if pressed(every):
                    return
    except (KeyboardInterrupt, _Ended):
        pass


def frame(text: str, columns: int, lines: int) -> str:
    """What paints ``text`` over what stood there, without emptying the screen first: so nothing flickers.

    Lines are cut at the screen's edges. The last line of the screen says how this ends.
    """
    rows = [row[:columns] for row in text.expandtabs().splitlines()]
    if len(rows) > lines - 1:
        rows = [*rows[: max(0, lines - 2)], "…"]
    rows += [""] * (lines - 1 - len(rows)) + [_FOOT[:columns]]
    return "\x1b[H" + "\n".join(f"{row}\x1b[K" for row in rows) + "\x1b[J"


class _Ended(Exception):
    """A signal asked for the end."""


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, and the way back from it however this ends."""

    def end(number: int, where: FrameType | None) -> None:
        raise _Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    _write(_ENTER)
    try:
        yield
    finally:
        with contextlib.suppress(_Ended):
            _write(_LEAVE)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A function that waits so many seconds for ``q`` and says whether it was pressed."""
    if not sys.stdin.isatty():
        yield lambda seconds: select.select([], [], [], seconds) is None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def pressed(seconds: float) -> bool:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        if not ready:
            return False
        said = os.read(descriptor, 64)
        return not said or b"q" in said.lower()  # nothing: the terminal is gone

    try:
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
