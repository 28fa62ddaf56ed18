"""Files that a user named, or that lie where others may write: regular ones are read or replaced, and nothing else.

To open a pipe would wait for whoever writes into it, and a device may never end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from hegelion_core.errors import ExitCode, UserError


def open_regular(path: Path, buffering: int = -1) -> BinaryIO:
    """Open a file to be read; links are followed. ``buffering`` is ``open``'s.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        return open(fd, "rb", buffering)
    except BaseException:
        os.close(fd)
        raise


def read_regular(path: Path) -> bytes:
    """All that a file holds; as ``open_regular``."""
    with open_regular(path) as file:
        return file.read()


def refuse_to_replace(path: Path) -> None:
    """Raise if what stands where a file is to be put is a pipe or a device: root would take it from the system.

    Raises:
        UserError: it is.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: is no regular file, so it is not replaced.", "Name another file.", ExitCode.USAGE)
