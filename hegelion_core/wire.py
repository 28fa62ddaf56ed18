"""How faces and core speak: a Unix socket, one JSON object a line, and a pointer file that says where.

A request is answered by a reply with the same id. Events do not travel: a client reads the run's own files. The socket
lies in a folder that only its owner can enter.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from hegelion_core.events import Stage
from hegelion_core.regular import read_regular
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import Workspace

MAX_SOCKET_PATH = 100
"""Bytes; macOS takes 103."""

Command = Literal[
    "start",
    "stop",
    "stop_instance",
    "scale",
    "scale_by",
    "recount",
    "compare",
    "stop_comparing",
    "ping",
    "release",
]
"""``release``: a core in the background that has neither work nor another face need not wait for one."""


class Pointer(msgspec.Struct, frozen=True):
    """Where the running core is: the content of ``artifacts/core.json``."""

    pid: int
    socket: str
    run: str
    """Folder of the run."""


class Request(msgspec.Struct, frozen=True):
    """A command to the core."""

    id: int
    command: Command
    stages: tuple[Stage, ...] = ()
    instances: int = 0
    """How many; of ``scale_by`` how many more, of ``stop_instance`` which."""
    question: str = ""
    temperature: float = 0.0


class Reply(msgspec.Struct, frozen=True):
    """What became of a command."""

    id: int
    error: str = ""
    hint: str = ""
    exit_code: int = 0


def socket_path(place: Workspace) -> Path:
    """The socket of a workspace's core. Short: a socket's path is limited to 103 bytes on macOS."""
    name = hashlib.sha256(str(place.artifacts.resolve()).encode()).hexdigest()[:16]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "hegelion" / f"{name}.sock"
        if len(os.fsencode(path)) < MAX_SOCKET_PATH and Path(runtime).is_dir():
            return path
    return Path(tempfile.gettempdir()) / f"hegelion-{os.getuid()}" / f"{name}.sock"


def read_pointer(place: Workspace) -> Pointer | None:
    """Where the running core says it is; a core that died may have left it."""
    try:
        return msgspec.json.decode(read_regular(place.core_pointer), type=Pointer)
    except (OSError, *UNREADABLE):
        return None
