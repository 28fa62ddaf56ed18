"""Standard output and standard error, whatever they are: words that cannot be written do not end hours of work."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import TextIO

from hegelion_core.discreet_streams import keep_credentials_from
from hegelion_core.errors import UserError


def prepare() -> None:
    """Make both streams usable: one that is closed leads nowhere, and what an encoding cannot show is replaced.

    Standard error holds no credentials from here on: it has tracebacks, and whatever libraries say.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    keep_credentials_from("stderr")


def write(stream: TextIO, text: str) -> None:
    """Write at once; if the other end is gone, or its disk is full, the stream leads nowhere from here on."""
    _try_to_write(stream, text)


def write_result(text: str) -> bool:
    """Write what a command is there for on standard output; a reader that wants no more of it is no fault.

    Returns:
        Whether anyone still reads.

    Raises:
        UserError: it could not be written.
    """
    error = _try_to_write(sys.stdout, text)
    if error is not None and not isinstance(error, BrokenPipeError):
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(f"Standard output cannot be written ({why}).", "Make room, or send it elsewhere.")
    return error is None


def _try_to_write(stream: TextIO, text: str) -> OSError | ValueError | None:
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError) as error:
        # The interpreter's last flush must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None
