"""What the core's children hold in memory, each with every process below it. Sizes in bytes."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath

import psutil

_INTERPRETERS = ("python", "node", "bun", "bash", "dash", "sh", "env")
_GUARD = "guard"
"""Waits for the core's end and holds next to nothing."""

Below = Mapping[int, Sequence[psutil.Process]]


def resident(core: int, named: Mapping[str, int]) -> dict[str, int]:
    """Resident bytes of each child of the core, by name; what has ended meanwhile is left out.

    Calls to a teacher have no name of their own: they go by their program's, those alike together (``kimi ×3``). What
    processes share counts for each of them.

    Args:
        core: process id of the core.
        named: names and process ids of the children that have a name.
    """
    below: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter(["ppid"]):
        below.setdefault(process.info["ppid"], []).append(process)
    names = {pid: name for name, pid in named.items()}
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for child in below.get(core, ()):
        with contextlib.suppress(psutil.Error):
            name = names.get(child.pid) or program(child.cmdline(), child.name())
            if name != _GUARD:
                sizes[name] += _tree(child, below)
                counts[name] += 1
    return {f"{name} ×{counts[name]}" if counts[name] > 1 else name: size for name, size in sizes.items()}


def program(argv: Sequence[str], name: str) -> str:
    """What a command runs: the script or module that an interpreter was given, or the program itself.

    Args:
        argv: the command; empty if it is not told.
        name: what the system calls the process.
    """
    command = PurePath(argv[0]).name if argv else name
    if command.rstrip("0123456789.") in _INTERPRETERS:
        for option, argument in pairwise(argv):
            if option == "-m":
                return argument.rpartition(".")[2]
            if option == "-c":
                break
            if not argument.startswith("-"):
                return PurePath(argument).stem
    return command


def _tree(root: psutil.Process, below: Below) -> int:
    size, seen, queue = 0, set[int](), [root]
    while queue:
        process = queue.pop()
        if process.pid in seen:  # an id was used anew while they were listed
            continue
        seen.add(process.pid)
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            size += process.memory_info().rss
        queue.extend(below.get(process.pid, ()))
    return size
