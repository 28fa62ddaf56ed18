"""The folder of a call: what is asked, and what the teacher wrote. It lives until its answer has been handled."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hegelion_core.teachers.teacher import ERR, OUT, REQUEST, Call

_KEPT = 64 * 1024  # bytes of a call's output that are kept


@dataclass(frozen=True)
class CallFolders:
    """The calls of a run."""

    root: Path
    redact: Callable[[str], str]

    def make(self, call: Call) -> Path:
        """A folder for a call that is about to be made."""
        folder = self.root / call.call_id
        folder.mkdir(parents=True)
        # A request that is torn by a kill was hardly made; whoever reads it drops it.
        (folder / REQUEST).write_bytes(msgspec.json.encode(call))
        return folder

    def left(self) -> Iterator[tuple[Path, Call | None]]:
        """What a killed core left: each folder, and its call where it can be read."""
        for folder in sorted(self.root.iterdir()) if self.root.exists() else ():
            call = None
            with contextlib.suppress(OSError, msgspec.DecodeError):
                call = msgspec.json.decode((folder / REQUEST).read_bytes(), type=Call)
            yield folder, call

    def said(self, folder: Path) -> str:
        """The beginning of what a call wrote, fit to be kept."""
        try:
            with open(folder / OUT, "rb") as file:
                return self.redact(file.read(_KEPT).decode("utf-8", "replace"))
        except OSError:
            return ""

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove a call's folder. Nearly always it holds just the files that every call has."""
        try:
            for name in (REQUEST, OUT, ERR):
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
        except OSError:
            shutil.rmtree(folder)
