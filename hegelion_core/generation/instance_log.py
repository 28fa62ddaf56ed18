"""The log of a generator instance: lines for people, without credentials."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from hegelion_core import workspace

Write = Callable[[str], None]
"""Writes a text, each of its lines as one of the log's; blank ones are left out."""
_SHOWN = 300  # characters of a prompt that are shown


@dataclass(frozen=True)
class InstanceLogs:
    """The logs of all instances."""

    path: Callable[[int], Path]
    """The file of an instance."""
    redact: Callable[[str], str]

    @contextlib.contextmanager
    def open(self, instance: int) -> Iterator[Write]:
        """Write to an instance's log.

        Raises:
            OSError: it cannot be written.
        """
        path = self.path(instance)
        workspace.make_folder(path.parent)
        with open(workspace.open_own(path, os.O_WRONLY | os.O_APPEND), "a", encoding="utf-8") as file:
            yield lambda text: _write_lines(file, self.redact(text))


def labelled(write: Write, prompt_id: str) -> Write:
    """Where calls share a log, each line says whose it is."""
    return prefixed(write, f"[{prompt_id[2:6]}] ")


def prefixed(write: Write, label: str) -> Write:
    """The same with a label before each line."""
    return lambda text: write("\n".join(label + line for line in text.split("\n")))


def shortened(text: str) -> str:
    """A prompt as a log shows it, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} [... {len(text):,} characters in all]"


def _write_lines(file: TextIO, text: str) -> None:
    now = time.strftime("%H:%M:%S")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    file.write("".join(f"{now} {line}\n" for line in lines if line))
    file.flush()
