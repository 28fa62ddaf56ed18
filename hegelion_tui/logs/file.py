"""A log on disk, by byte offsets: any part of a file of any size, without reading the rest of it.

The file is looked at in blocks. A line belongs to the block that it begins in, and ends at its newline; a block without
any newline ends the line that runs through it, so that a line is never longer than two blocks, from whichever side it
is read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

BLOCK = 64 * 1024
"""Bytes of a block."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line as it stands in the file, without its newline."""

    offset: int
    data: bytes
    end: int
    """Where the next line begins."""
    whole: bool = True
    """Whether it can't become longer."""


class LogFile:
    """A file that another process appends to. ``size`` is what the last ``look`` found."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.modified = 0.0
        """Seconds since 1970."""
        self._inode: int | None = None

    def look(self) -> bool:
        """Notice how large the file is now; whether it was cut or replaced, so that offsets mean other lines.

        Raises:
            OSError: it cannot be read; that it is not there is no error.
        """
        try:
            found = self.path.stat()
            size, inode = found.st_size, found.st_ino
            self.modified = found.st_mtime
        except FileNotFoundError:
            size, inode = 0, None
        other = size < self.size or (self._inode is not None and inode != self._inode)
        if size and not self.size:
            os.close(os.open(self.path, os.O_RDONLY))  # say so at once if it may not be read
        if self.path.is_dir():
            raise IsADirectoryError(21, "Is a directory", str(self.path))
        self.size, self._inode = size, inode
        return other

    def read(self, start: int, count: int) -> bytes:
        """Bytes that were there at the last look; fewer, if the file was cut since."""
        count = min(count, self.size - start)
        if count <= 0:
            return b""
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except OSError:
            return b""  # the next look says what is the matter
        try:
            return os.pread(fd, count, start)
        finally:
            os.close(fd)

    def lines(self, block: int, start: int = 0, last: int = 0) -> list[RawLine]:
        """The lines that begin in ``block``, from ``start`` on, which must be where a line begins or before the block.

        The last one of the file is not whole while its newline is missing. Those before the ``last`` so many may be
        left out, if it is given: a block has hundreds.
        """
        begin = block * BLOCK
        data = self.read(begin, 2 * BLOCK)
        own, more = data[:BLOCK], data[BLOCK:]
        at = start - begin if start > begin else self._first(begin, own)
        found: list[RawLine] = []
        end = own.rfind(b"\n") + 1
        if at < end:
            texts = own[at : end - 1].rsplit(b"\n", last or -1)
            if 0 < last < len(texts):
                at += len(texts.pop(0)) + 1
            for text in texts:
                found.append(RawLine(begin + at, text, begin + at + len(text) + 1))
                at += len(text) + 1
        if at >= len(own):
            return found
        text = own[at:]
        if len(own) < BLOCK:
            found.append(RawLine(begin + at, text, begin + len(own), whole=False))
        elif end == 0:
            found.append(RawLine(begin + at, text, begin + BLOCK))
        elif (newline := more.find(b"\n")) >= 0:
            found.append(RawLine(begin + at, text + more[:newline], begin + BLOCK + newline + 1))
        else:
            found.append(RawLine(begin + at, text + more, begin + len(data), whole=len(more) == BLOCK))
        return found

    def _first(self, begin: int, own: bytes) -> int:
        """Where in a block its first line begins; its end if none does."""
        if begin == 0:
            return 0
        before = self.read(begin - BLOCK, BLOCK)
        if before.endswith(b"\n") or b"\n" not in before:
            return 0
        newline = own.find(b"\n")
        return newline + 1 if newline >= 0 else len(own)

    @property
    def blocks(self) -> int:
        """Blocks that the file has, the last one maybe not full."""
        return -(-self.size // BLOCK)
