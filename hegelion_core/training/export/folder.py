"""A result folder that is there whole or not at all, and that never takes another's place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from hegelion_core import workspace
from hegelion_core.errors import ExitCode, UserError

MARK = "hegelion_export.json"
"""Says what the folder was made of; only a folder that holds it is replaced."""


def refuse(target: Path, adapter: Path) -> None:
    """Raise if an export may not be written there; asked before the long work.

    Raises:
        UserError: it is a file, a folder with something else in it, or lies within the adapter's.
    """
    hint = "Name another folder (--output)."
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is a file.", hint, ExitCode.USAGE)
    if target.resolve().is_relative_to(adapter.resolve()):
        raise UserError(f"{target}: lies in the adapter's own folder.", hint, ExitCode.USAGE)
    if target.is_dir() and not (target / MARK).is_file() and any(target.iterdir()):
        raise UserError(f"{target}: holds something else, so it is not replaced.", hint, ExitCode.USAGE)


@contextlib.contextmanager
def made_whole(target: Path, mark: Mapping[str, str]) -> Iterator[Path]:
    """A folder to write into; when all went well it takes the place of ``target``, with ``mark`` in it.

    Raises:
        OSError: it cannot be written; what was there is untouched.
    """
    target = target.resolve()
    beside, old = (target.with_name(f".{target.name}.{kind}") for kind in ("tmp", "old"))
    for left in (beside, old):  # of a kill
        shutil.rmtree(left, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        workspace.replace(
            beside / MARK, json.dumps(mark, indent=2, ensure_ascii=False).encode() + b"\n", mode=workspace.SHARED
        )
        for path in beside.rglob("*"):
            if path.is_file():
                _sync(path)
        if target.exists():
            target.rename(old)
        beside.rename(target)
        workspace.sync_folder(target.parent)
    finally:
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
