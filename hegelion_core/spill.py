"""What grows with the lines of a file, in bounded memory: the newest part is held, the rest lies on the disk.

It lies in an SQLite database without a name, in the temporary folder. The system removes that with the process that
holds it, however it ends.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from hegelion_core.errors import UserError

HELD = 200_000
"""Keys in memory, up to which nothing goes to the disk: some 20 MB."""
CACHE = 16 << 10
"""KiB of a database's pages in memory."""


class SeenKeys:
    """A set of keys, bytes of one length each: what was seen before?"""

    def __init__(self, held: int = HELD) -> None:
        """Empty; ``held`` keys are in memory at most."""
        self._held = held
        self._newest: set[bytes] = set()
        self._older: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._older is not None:
            self._older.close()

    def __contains__(self, key: bytes) -> bool:
        """Whether a key was added.

        Raises:
            UserError: the temporary folder does not serve.
        """
        return key in self._newest or (self._older is not None and self._is_older(self._older, key))

    def add(self, key: bytes) -> None:
        """Add a key, which may be there already.

        Raises:
            UserError: the temporary folder does not serve.
        """
        self._newest.add(key)
        if len(self._newest) >= self._held:
            self._spill()

    def __len__(self) -> int:
        if self._older is None:
            return len(self._newest)
        try:
            number: int = self._spill().execute("SELECT count(*) FROM seen").fetchone()[0]
        except sqlite3.Error as error:
            raise refused(error) from None
        return number

    def smallest(self, count: int) -> bytes:
        """The last of the ``count`` smallest keys, in the order of their bytes; empty for 0. There must be as many.

        Raises:
            UserError: the temporary folder does not serve.
        """
        if count == 0:
            return b""
        if self._older is None:
            return sorted(self._newest)[count - 1]
        try:
            found = self._spill().execute("SELECT key FROM seen ORDER BY key LIMIT 1 OFFSET ?", (count - 1,))
            key: bytes = found.fetchone()[0]
        except sqlite3.Error as error:
            raise refused(error) from None
        return key

    def _is_older(self, older: sqlite3.Connection, key: bytes) -> bool:
        try:
            return older.execute("SELECT 1 FROM seen WHERE key = ?", (key,)).fetchone() is not None
        except sqlite3.Error as error:
            raise refused(error) from None

    def _spill(self) -> sqlite3.Connection:
        """Let the newest be older ones; in their order, since a table takes them in their order quickest."""
        try:
            if self._older is None:
                self._older = open_unnamed("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")
            with self._older as older:
                older.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((key,) for key in sorted(self._newest)))
        except sqlite3.Error as error:
            raise refused(error) from None
        self._newest.clear()
        return self._older


def open_unnamed(table: str) -> sqlite3.Connection:
    """A database with one table, whose pages go to a file without a name as soon as there are more than ``CACHE``.

    Raises:
        sqlite3.Error: see ``refused``.
    """
    opened = sqlite3.connect("")
    try:
        # It is never read again by anyone: nothing has to outlive a fault.
        for name, value in (("journal_mode", "OFF"), ("synchronous", "OFF"), ("cache_size", f"-{CACHE}")):
            opened.execute(f"PRAGMA {name} = {value}")
        opened.execute(table)
    except sqlite3.Error:
        opened.close()
        raise
    return opened


def refused(error: sqlite3.Error) -> UserError:
    """What SQLite says of the temporary folder, in words."""
    return UserError(
        f"{_folder()}: no temporary file can be kept there ({error}).",
        "Make room there, or name a folder that has some in TMPDIR, and run the same command again.",
    )


def _folder() -> str:
    """The folder that SQLite takes."""
    named = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108
    return next((path for path in named if path and Path(path).is_dir() and os.access(path, os.W_OK | os.X_OK)), ".")
