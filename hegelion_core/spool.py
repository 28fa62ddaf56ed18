"""Following files that a child process writes: spools, logs and reports."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

MAX_LINE = 64 * 1024
"""Characters of a line that are handed on; the file keeps the whole of it."""
_CHUNK = 1 << 18


class LineReader:
    """Whole lines from a file that grows. Decodes UTF-8 with replacement; starts anew if the file was cut."""

    def __init__(self, path: Path, offset: int = 0, longest: int = MAX_LINE) -> None:
        """Lines are cut after ``longest`` characters."""
        self.path = path
        self._longest = longest
        self.offset = offset
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def read(self) -> list[str]:
        """The lines that are new and whole; empty if there are none or the file is not there."""
        try:
            size = self.path.stat().st_size  # most looks find nothing new, and this is the cheapest of looks
            if size == self.offset:
                return []
            if size < self.offset:
                self.offset, self._rest = 0, ""
            fd = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        try:
            data = os.pread(fd, _CHUNK, self.offset)
        finally:
            os.close(fd)
        self.offset += len(data)
        *lines, rest = (self._rest + self._decoder.decode(data)).split("\n")
        self._rest = rest[: self._longest]
        return [line[: self._longest].removesuffix("\r") for line in lines]

    def drain(self) -> Iterator[list[str]]:
        """What is new, in batches, until the file has been read to its end."""
        while True:
            before = self.offset
            lines = self.read()
            if self.offset == before:
                return
            yield lines

    def finish(self) -> list[str]:
        """What is left without a newline."""
        rest, self._rest = self._rest, ""
        return [rest] if rest else []


async def follow(
    path: Path, ended: Callable[[], bool], interval: float = 0.05, offset: int = 0
) -> AsyncIterator[list[str]]:
    """Batches of lines as they are appended, until ``ended()`` is true and the file is drained.

    Args:
        path: the file; it need not be there yet.
        ended: true when the writer has ended.
        interval: seconds between looks at a quiet file. (A look costs one ``open`` and ``seek``; notification would
            need another mechanism on each system.)
        offset: byte at which to begin.
    """
    reader = LineReader(path, offset)
    while True:
        last = ended()
        while lines := reader.read():
            yield lines
            await asyncio.sleep(0)
        if last:
            break
        await asyncio.sleep(interval)
    if lines := reader.finish():
        yield lines
