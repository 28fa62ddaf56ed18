"""What the core's children hold in memory, each with every process below it. Sizes in bytes."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePath

import psutil

_INTERPRETERS = ("python", "node", "bun", "bash", "dash", "sh", "env")
_GUARD = "guard"
"""Waits for the core's end and holds next to nothing."""


@dataclass(frozen=True)
class ChildProcess:
    """A child of the core, as the system tells of it now."""

    name: str
    pid: int
    memory: int
    """Resident bytes, with every process below it. What processes share counts for each of them."""
    since: float
    """Seconds since the epoch at which it began."""


def children(core: int, named: Mapping[str, int]) -> list[ChildProcess]:
    """The children of a core that live, the oldest first.

    Calls to a teacher have no name of their own: they go by their program's.

    Args:
        core: process id of the core.
        named: names and process ids of the children that have a name.
    """
    names = {pid: name for name, pid in named.items()}
    sizes: Counter[int] = Counter()
    found: list[ChildProcess] = []
    top: dict[int, int] = {}  # of each process below the core, which child it belongs to
    for process in _below(core):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            parent = process.ppid()
            child = top[process.pid] = top.get(parent, process.pid)
            sizes[child] += process.memory_info().rss
            if parent == core:
                name = names.get(process.pid) or program(process.cmdline(), process.name())
                found.append(ChildProcess(name, process.pid, 0, process.create_time()))
    found = [replace(one, memory=sizes[one.pid]) for one in found if one.name != _GUARD]
    return sorted(found, key=lambda one: (one.since, one.pid))


def resident(core: int, named: Mapping[str, int]) -> dict[str, int]:
    """Resident bytes of the children of the core, by name, those alike together (``kimi ×3``); as ``children``."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for child in children(core, named):
        sizes[child.name] += child.memory
        counts[child.name] += 1
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


def _below(core: int) -> list[psutil.Process]:
    """Every process below the core, each after its parent."""
    try:
        return psutil.Process(core).children(recursive=True)
    except psutil.Error:
        return []
