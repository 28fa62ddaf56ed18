"""A chat template is a program of whoever made the model: what it may cost to render one prompt.

Jinja's sandbox keeps it from everything but time and memory. Those are bounded here: processor time by a timer (in the
main thread, where signals are heard), memory by a limit on the process (on Linux, where it is kept).
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

SECONDS = 5.0
"""Of the process's own time for one prompt; an ordinary template takes a thousandth."""
MEMORY = 1 << 30
"""Bytes for one prompt, beyond what the process has."""
LENGTH = 1 << 20
"""Characters that it may write around the texts it is given."""


class TooCostly(Exception):
    """A template takes too much time or memory, or writes too much."""

    def __init__(self, what: str) -> None:
        """``what`` is in words that follow the template's name."""
        super().__init__(what)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Render in here.

    Raises:
        TooCostly: it takes too much.
    """
    try:
        with _in_time(), _in_memory():
            yield
    except MemoryError:
        raise TooCostly(f"takes more than {MEMORY >> 30} GiB of memory for a prompt") from None


def refuse_flood(rendered: str, given: int) -> str:
    """What a template wrote for texts of ``given`` characters.

    Raises:
        TooCostly: it is far longer than they are. (Some templates write a text twice.)
    """
    if len(rendered) > LENGTH + 4 * given:
        raise TooCostly(f"writes {len(rendered):,} characters around {given:,}")
    return rendered


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise TooCostly(f"takes more than {SECONDS:g} s of processor time for a prompt")

    before = signal.signal(signal.SIGVTALRM, end)
    # Again and again: Jinja takes an error in what it computes beforehand for a reason to compute it later.
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextlib.contextmanager
def _in_memory() -> Iterator[None]:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = int(statm.read_bytes().split()[0]) * os.sysconf("SC_PAGE_SIZE") + MEMORY
    limits = [limit for limit in (wanted, before, most) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))
