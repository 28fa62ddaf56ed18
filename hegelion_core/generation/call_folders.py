"""The folder of a call: what is asked, and what the teacher wrote. It lives until its answer has been handled.

A folder whose call is over waits elsewhere for the next one: new folders and files are what a file system is slow at,
the more so the more were deleted lately. Only the file for answers is always a new one, so a process that outlived its
call and its group writes into nobody else's answer.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.regular import open_regular, read_regular
from hegelion_core.teachers.teacher import ERR, OUT, REQUEST, Call
from hegelion_core.unreadable import UNREADABLE

_KEPT = 64 * 1024  # bytes of a call's output that are kept


class CallFolders:
    """The calls of a run."""

    def __init__(self, root: Path, redact: Callable[[str], str]) -> None:
        """``root`` holds the folders of the calls that are being made; beside it lie those for the next ones."""
        self._root = root
        self._redact = redact
        self._spare_root = root.with_name("spare")
        self._spare: list[Path] = []
        self._numbers = itertools.count(1)

    def make(self, call: Call) -> Path:
        """A folder for a call that is about to be made.

        Raises:
            OSError: it could not be made.
        """
        spare = self._spare.pop() if self._spare else self._new()
        _overwrite(spare / REQUEST, msgspec.json.encode(call))
        return spare.rename(self._root / call.call_id)  # so nobody sees half a request

    def remove(self, folder: Path) -> None:
        """Put a call's folder away. Nearly always it holds just the files that every call has."""
        spare = folder.rename(self._spare_root / folder.name)  # first: without an answer it would be a call that waits
        try:
            (spare / OUT).unlink(missing_ok=True)
            _remove_if_used(spare / ERR)
        except OSError:
            shutil.rmtree(spare)
        else:
            self._spare.append(spare)

    def left(self) -> Iterator[tuple[Path, Call | None]]:
        """What a killed core left: each folder, and its call where it can be read."""
        for folder in sorted(self._root.iterdir()) if self._root.exists() else ():
            call: Call | None = None
            with contextlib.suppress(OSError, *UNREADABLE):
                call = msgspec.json.decode(read_regular(folder / REQUEST), type=Call)
            # Calls name files and folders: one that is not named for its folder is none of ours.
            yield folder, call if call is not None and call.call_id == folder.name else None

    def said(self, folder: Path) -> str:
        """The beginning of what a call wrote, fit to be kept."""
        try:
            with open_regular(folder / OUT) as file:
                return self._redact(file.read(_KEPT).decode("utf-8", "replace"))
        except OSError:
            return ""

    def close(self) -> None:
        """Delete the folders that wait for a next call, also those of a killed core."""
        self._spare.clear()
        shutil.rmtree(self._spare_root, ignore_errors=True)

    def _new(self) -> Path:
        workspace.make_folder(self._root)
        folder = self._spare_root / str(next(self._numbers))
        workspace.make_folder(folder)
        return folder


def _overwrite(path: Path, data: bytes) -> None:
    """Write a small file anew, by one that is there already; ext4 hurries a file to the disk that is emptied first."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _remove_if_used(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size:
            path.unlink()
