"""Where a call's pieces go as they come: its ``out`` first, then memory, then the log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from hegelion_core.dialectic.parsing import clean
from hegelion_core.teachers.openai_stream import Line, Reply, encode

_THINKING_EVERY = 15.0  # seconds between two lines about thinking
_MAX_LINE = 4096  # characters of a line of text before it is logged in parts


class Spool:
    """Keeps every line of a call. A context manager: the file is open inside."""

    def __init__(self, path: Path, log: Callable[[str], None], clock: Callable[[], float]) -> None:
        """``log`` gets the text line by line and, now and then, that the model thinks; ``clock`` is in seconds."""
        self.reply = Reply()
        self._path = path
        self._log = log
        self._clock = clock
        self._rest = ""
        self._next = 0.0

    def __enter__(self) -> Self:
        self._out = open(self._path, "ab")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()

    def add(self, line: Line) -> None:
        """Keep a line. Raises ``OSError`` where the disk takes no more."""
        self._out.write(encode(line))
        self._out.flush()
        self.reply.add(line)
        if line.thinking and (now := self._clock()) >= self._next:
            self._log(f"thinking ... {self.reply.thought} characters")
            self._next = now + _THINKING_EVERY
        if line.text:
            self._tell(line.text)

    def end(self, line: Line) -> None:
        """Keep the last line of a whole answer, and log what is left of its text."""
        self.add(line)
        self._tell("\n")

    def _tell(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > _MAX_LINE:
            lines, self._rest = [*lines, self._rest], ""
        for part in lines:
            if said := clean(part).strip():
                self._log(said)
