"""Standard output and standard error, whatever they are: words that cannot be written do not end hours of work."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import TextIO


def prepare() -> None:
    """Make both streams usable: one that is closed leads nowhere, and what an encoding cannot show is replaced."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def write(stream: TextIO, text: str) -> None:
    """Write at once; if the other end is gone, or its disk is full, the stream leads nowhere from here on."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        # The interpreter's last flush must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
