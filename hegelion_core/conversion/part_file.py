"""The rows that are made so far, beside the file that they will become: a killed conversion goes on where it was.

``.<name>.part`` holds rows, ``.<name>.part.journal`` says now and then how far the input was read for how many bytes of
them. The journal is only appended to; its last whole line counts. What stands behind it in the part file is cut off.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.sample_rows import bounded_lines
from hegelion_core.regular import open_regular, refuse_to_replace
from hegelion_core.unreadable import UNREADABLE

SAVE_EVERY = 0.5
"""Seconds between two lines of the journal."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the journal: a moment of the conversion."""

    key: str
    """Of what is made of what; another key is another conversion."""
    offset: int = 0
    """Bytes of the input that were read."""
    line: int = 0
    """Lines of the input that were read."""
    digest: str = ""
    """Of those lines, so that an input that was changed is found out."""
    length: int = 0
    """Bytes of rows."""
    rows: int = 0
    skipped: dict[str, int] = {}
    places: dict[str, list[int]] = {}
    rendered: bool = False
    """Every prompt was rendered by the template itself."""
    judging: bool = False
    """The verdicts are written down on the way."""
    seen: bytes = b""
    """The prompts that have a row since the mark before."""

    def prompts(self) -> Iterator[bytes]:
        """Each of them (``rows.prompt_key``)."""
        return (self.seen[at : at + _PROMPT] for at in range(0, len(self.seen), _PROMPT))


_PROMPT = 8
"""Bytes of a prompt's key."""


class PartFile:
    """The part file of a target and its journal, held by one process."""

    def __init__(self, target: Path) -> None:
        """Use ``open``."""
        self._target = target
        self._path = target.with_name(f".{target.name}.part")
        self._journal = target.with_name(f".{target.name}.part.journal")
        self._file = os.fdopen(workspace.open_own(self._path, os.O_RDWR), "r+b", buffering=1 << 20)
        self._new = bytearray()
        self._saved_at = time.monotonic()

    @classmethod
    @contextlib.contextmanager
    def open(cls, target: Path) -> Iterator[PartFile]:
        """Hold the part file of ``target``, whose folder is made if need be.

        Raises:
            UserError: it cannot be written, or another process holds it.
        """
        try:
            workspace.make_folder(target.parent)
            refuse_to_replace(target)
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            part = cls(target)
            with contextlib.closing(part._file) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield part
        except BlockingIOError:
            raise UserError(
                f"{target}: another conversion is writing it.", "Wait for its end, or end it.", ExitCode.NOT_READY
            ) from None
        except OSError as error:
            raise _cannot_write(target, error) from None

    def marks(self) -> Iterator[Mark]:
        """The journal as far as it is whole, one after the other: it grows with the rows."""
        with contextlib.suppress(*UNREADABLE, FileNotFoundError), open_regular(self._journal) as file:
            for line, _ in bounded_lines(file):
                if not line.endswith(b"\n"):
                    break
                yield _decoder.decode(line)

    def resume(self, mark: Mark) -> bool:
        """Go on behind ``mark``; whether its rows are there."""
        if self._file.seek(0, os.SEEK_END) < mark.length:
            return False
        self._file.truncate(mark.length)
        self._file.seek(mark.length)
        return True

    def restart(self) -> None:
        """Begin with no rows."""
        self._journal.unlink(missing_ok=True)
        self._new.clear()
        self._file.seek(0)
        self._file.truncate()

    def write(self, prompt: bytes, row: bytes) -> None:
        """Add a row."""
        self._file.write(row)
        self._new += prompt

    @property
    def due(self) -> bool:
        """Whether it is time for a mark."""
        return time.monotonic() - self._saved_at >= SAVE_EVERY

    def save(self, mark: Mark) -> None:
        """Write down how far it is; durable when this returns."""
        self._sync()
        whole = msgspec.structs.replace(mark, length=self._file.tell(), seen=bytes(self._new))
        workspace.append(self._journal, msgspec.json.encode(whole) + b"\n")
        self._new.clear()
        self._saved_at = time.monotonic()

    def whole(self) -> Path:
        """The part file, with all rows in it."""
        self._sync()
        return self._path

    def finish(self) -> None:
        """Let it take the place of the target."""
        self._sync()
        self._path.replace(self._target)
        self._journal.unlink(missing_ok=True)
        workspace.sync_folder(self._target.parent)

    def discard(self) -> None:
        """Leave no trace."""
        self._journal.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _cannot_write(target: Path, error: OSError) -> UserError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return UserError(
        f"{target}: cannot be written ({error.strerror}).",
        "Free some disk space and run the same command again."
        if full
        else "Give an output file in a folder that you may write to.",
        ExitCode.USAGE if error.errno == errno.EISDIR else ExitCode.FAILED,
    )


_decoder: msgspec.json.Decoder[Mark] = msgspec.json.Decoder(Mark)
