"""Whether a run's folder is as we left it. Whoever planted a link in it would choose what is written and removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.workspace import RunFolder

_KEPT = "outputs"
"""In which lie earlier outputs, just as they were; nothing is written or removed there."""


def check(run: RunFolder) -> None:
    """See that a run's folder holds files of its own and folders alone, and links only to what lies in it.

    Raises:
        UserError: it does not; it names the first that is in the way.
    """
    if run.path.is_symlink():
        raise _refusal(run.path, "is a link")
    home = run.path.resolve()
    for entry in _entries(run.path):
        path = Path(entry.path)
        if entry.is_symlink():
            if not path.resolve().is_relative_to(home):
                raise _refusal(path, "is a link that leads out of the run's folder")
        elif entry.is_dir(follow_symlinks=False):
            continue
        elif not entry.is_file(follow_symlinks=False):
            raise _refusal(path, "is neither a file nor a folder")
        elif _names(entry) > 1:
            raise _refusal(path, "is a hard link: the file has another name")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything in a folder and below, but for what is kept. Other processes may be at work there."""
    waiting = [folder]
    while waiting:
        where = waiting.pop()
        with contextlib.suppress(FileNotFoundError), os.scandir(where) as found:
            for entry in found:
                yield entry
                if entry.is_dir(follow_symlinks=False) and not (where == folder and entry.name == _KEPT):
                    waiting.append(Path(entry.path))


def _names(entry: os.DirEntry[str]) -> int:
    """How many names a file has; none if it is gone."""
    try:
        return entry.stat(follow_symlinks=False).st_nlink
    except FileNotFoundError:
        return 0


def _refusal(path: Path, what: str) -> UserError:
    return UserError(
        f"{path}: {what}, which no run makes.",
        "If you did not put it there, trust nothing in this folder. Remove it, then run the same command again.",
        ExitCode.USAGE,
    )
