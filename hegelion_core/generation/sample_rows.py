"""The lines of a sample file, one after the other, and its samples again by their places. Bounded memory."""

from __future__ import annotations

import contextlib
import os
import stat
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from hegelion_core.dialectic.contract import read_sample
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.sample import Sample
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE

MAX_LINE = 8 << 20
"""Bytes of a line; a longer one is no sample and is passed over without being held."""
THROUGH = 256 << 10
"""Bytes of a buffer."""
_BOM = b"\xef\xbb\xbf"


class SampleRows:
    """Reads a sample file as it was when it was opened; what others append meanwhile is left for later."""

    def __init__(self, file: BinaryIO, read: Callable[[bytes], Sample] = lambda line: read_row(line)) -> None:
        """``read`` makes a sample of a line."""
        self._file = file
        self._read = read
        self.size = os.fstat(file.fileno()).st_size
        self._offsets = array("Q")
        self._lines = array("Q")

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Number (from 1), offset and content of each line that is not blank; the content of one that is too long
        is cut after ``MAX_LINE`` bytes."""
        offset = number = 0
        while offset < self.size:
            self._file.seek(offset)
            line = self._file.readline(MAX_LINE)
            length = len(line) + (self._rest() if len(line) == MAX_LINE and not line.endswith(b"\n") else 0)
            number += 1
            if not length:  # someone cut the file
                return
            if line.strip():
                yield number, offset, line
            offset += length

    def keep(self, number: int, offset: int) -> int:
        """Remember where a sample stands; returns its index, by which it is found again."""
        self._lines.append(number)
        self._offsets.append(offset)
        return len(self._lines) - 1

    def line_of(self, index: int) -> int:
        return self._lines[index]

    def sample(self, index: int) -> Sample | None:
        """The sample again; none if someone changed the file meanwhile."""
        self._file.seek(self._offsets[index])
        with contextlib.suppress(*UNREADABLE, SampleFault):
            return self._read(self._file.readline(MAX_LINE))
        return None

    def _rest(self) -> int:
        """The length of what is left of a line."""
        length = 0
        while part := self._file.readline(MAX_LINE):
            length += len(part)
            if part.endswith(b"\n"):
                break
        return length


def read_row(line: bytes, *, by_hand: bool = False, output: str | None = None) -> Sample:
    """``read_sample`` of a line that may begin with a byte order mark."""
    return read_sample(line.removeprefix(_BOM), by_hand=by_hand, output=output)


@contextlib.contextmanager
def open_samples(path: Path, buffering: int = -1) -> Iterator[BinaryIO]:
    """A sample file, to be read; ``buffering`` is ``open``'s: ``THROUGH`` pays where it is read from end to end.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            what = "is a folder" if stat.S_ISDIR(status.st_mode) else "is no regular file"
            raise UserError(f"{path}: {what}.", "Give the sample file itself.", ExitCode.USAGE)
        file = open_regular(path, buffering)
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such sample file.",
            "Generate samples first (hegelion-console generate), or give another sample file.",
            ExitCode.USAGE,
        ) from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}).", "Give a sample file that you may read.", ExitCode.USAGE
        ) from None
    with file:
        yield file


def bounded_lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Each line and its length in the file; of one that is too long to be a sample only its beginning."""
    while line := file.readline(MAX_LINE):
        length = len(line)
        if length == MAX_LINE and not line.endswith(b"\n"):
            while rest := file.readline(MAX_LINE):
                length += len(rest)
                if rest.endswith(b"\n"):
                    break
            line += b"\n"
        yield line, length
