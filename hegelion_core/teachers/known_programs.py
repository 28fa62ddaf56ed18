"""What is known of the installed programs from earlier runs: ``teachers.json`` in the workspace. May be deleted.

To ask a program for its version costs seconds, and the canary a request; neither changes until the program does.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec

from hegelion_core.regular import read_regular
from hegelion_core.teachers.kimi_output import Dialect
from hegelion_core.teachers.which_kimi import Kimi
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import make_folder, replace

MAX_AGE = 24 * 3600.0
"""Seconds that a version is believed. A shim of a version manager stays the same file while the version changes."""


class _Program(msgspec.Struct, frozen=True):
    """A program as it was when its version was asked for."""

    file: tuple[str, int, int, int]
    """The file behind all links: path, inode, size in bytes, time of change in ns."""
    version: str
    dialect: Dialect
    at: float


class _Known(msgspec.Struct, frozen=True):
    programs: dict[str, _Program] = {}
    """By the path under which it is started."""
    proved: tuple[str, ...] = ()
    """Versions that obeyed no order in a prompt, with the hash of the agent that they ran as."""


class KnownPrograms:
    """The knowledge of one workspace."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def version(self, program: Path) -> Kimi | None:
        """What the program is, unless it has changed or was looked at too long ago."""
        found = self._read().programs.get(str(program))
        if found is None or not 0 <= time.time() - found.at < MAX_AGE or found.file != _file(program):
            return None
        return Kimi(program, found.version, found.dialect)

    def learn_version(self, kimi: Kimi) -> None:
        """Keep what a program said that it is."""
        if (file := _file(kimi.path)) is not None:
            known = self._read()
            programs = {**known.programs, str(kimi.path): _Program(file, kimi.version, kimi.dialect, time.time())}
            self._write(_Known(programs, known.proved))

    def forget(self, program: Path) -> None:
        """A program is not what it was taken for."""
        known = self._read()
        others = {path: entry for path, entry in known.programs.items() if path != str(program)}
        self._write(_Known(others, known.proved))

    def is_proved(self, what: str) -> bool:
        """Whether this version has passed the canary."""
        return what in self._read().proved

    def learn_proved(self, what: str) -> None:
        """This version has passed the canary."""
        known = self._read()
        self._write(_Known(known.programs, tuple(dict.fromkeys((*known.proved, what)))))

    def _read(self) -> _Known:
        try:
            return msgspec.json.decode(read_regular(self._path), type=_Known)
        except (OSError, *UNREADABLE):
            return _Known()

    def _write(self, known: _Known) -> None:
        with contextlib.suppress(OSError):  # then it is found out again
            make_folder(self._path.parent)
            replace(self._path, msgspec.json.encode(known), durable=False)


def _file(program: Path) -> tuple[str, int, int, int] | None:
    try:
        real = program.resolve(strict=True)
        status = real.stat()
    except OSError:
        return None
    return str(real), status.st_ino, status.st_size, status.st_mtime_ns
