"""The trainer's memory: its limit, how hard the machine is pressed, and how running out of it looks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import psutil

from hegelion_core import events, pressure
from hegelion_core.settings import memory_bytes

GIB = 1 << 30
LOOK_EVERY = 5.0
"""Seconds between looks at the machine's pressure; the trainer's own size is looked at after every step."""
WORDS: dict[pressure.Level, str] = {
    "normal": "Memory is no longer short",
    "warning": "Memory is getting short",
    "critical": "Memory is about to run out",
}
SEVERITY: dict[pressure.Level, events.Level] = {"normal": "info", "warning": "warning", "critical": "error"}


def ran_out(error: BaseException) -> bool:
    """Whether an error is a failed allocation; mlx raises plain ``RuntimeError`` for its own."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(
        re.search(r"alloc|out of memory|insufficient memory", str(error), re.I)
    )


def apply_limit(limit: str | None, processes: int = 1) -> int | None:
    """Tell MLX its limit, in bytes, a part of that of all ``processes`` on this machine; returns it.

    On Metal MLX waits for memory to come free at the limit, and keeps what it uses resident. On a processor MLX knows
    no limit: there ``Watch`` looks at the trainer's resident size.
    """
    total = psutil.virtual_memory().total
    wanted = None if limit is None else memory_bytes(limit, total) // processes
    if mx.metal.is_available():
        most = int(mx.device_info()["max_recommended_working_set_size"]) // processes
        mx.set_wired_limit(min(wanted or most, most))
    if wanted is not None:
        mx.set_memory_limit(wanted)
        mx.set_cache_limit(wanted // 4)
    return wanted


class Watch:
    """Called after each step; says when the machine's pressure changes, and ends a trainer that is over its limit."""

    def __init__(
        self,
        folder: Path,
        limit: int | None,
        say: Callable[[str], None],
        report: Callable[[events.Event], None],
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[Path], pressure.Pressure] = lambda folder: pressure.read_pressure(folder, 0),
        resident: Callable[[], int] = lambda: psutil.Process().memory_info().rss,
    ) -> None:
        """``folder`` is on the disk that matters; ``limit`` in bytes; ``resident`` gives the trainer's own size."""
        self._folder, self._limit, self._say, self._report = folder, limit, say, report
        self._clock, self._read, self._resident = clock, read, resident
        self._level: pressure.Level = "normal"
        self._next_look = clock()

    def __call__(self) -> None:
        """Look.

        Raises:
            MemoryError: the trainer is larger than its limit.
        """
        if self._limit is not None and (size := self._resident()) > self._limit:
            raise MemoryError(f"the trainer holds {size / GIB:.2f} GiB, its limit is {self._limit / GIB:.2f} GiB")
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + LOOK_EVERY
            self._look()

    def _look(self) -> None:
        seen = self._read(self._folder)
        if seen.level == self._level:
            return
        self._level = seen.level
        given_back = ""
        if seen.level != "normal":
            given_back = f"; MLX gives back {mx.get_cache_memory() / GIB:.2f} GiB that it kept for later"
            mx.clear_cache()
        text = (
            f"{WORDS[seen.level]}: {seen.available / GIB:.1f} of {seen.total / GIB:.1f} GiB are available{given_back}."
        )
        self._say(text)
        self._report(events.NoticePosted(text=text, level=SEVERITY[seen.level]))
