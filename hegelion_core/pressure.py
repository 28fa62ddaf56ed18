"""How hard the machine is pressed: memory by the system's own measure, processors, disk, and what the children hold.

On Linux: PSI (the share of time in which work stalled for memory) and MemAvailable, within the limit of the cgroup and
of those above it. PSI stays near 0 without swap until it is too late, and it may be absent, so both are judged. On
macOS: the kernel's memory pressure level. Sizes in bytes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import psutil

from hegelion_core.gpu import Gpu, GpuReader
from hegelion_core.process_memory import resident

Level = Literal["normal", "warning", "critical"]

_STALLED: tuple[tuple[float, Level], ...] = ((40.0, "critical"), (10.0, "warning"))
"""Percent of the last 10 s in which some task waited for memory."""
_AVAILABLE: tuple[tuple[float, Level], ...] = ((0.04, "critical"), (0.10, "warning"))
"""Share of the memory that is still available."""
_MACOS_LEVELS: dict[str, Level] = {"1": "normal", "2": "warning", "4": "critical"}
_SEVERITY: tuple[Level, ...] = ("normal", "warning", "critical")


@dataclass(frozen=True)
class Pressure:
    """One reading. ``stalled`` (percent of the last 10 s) is ``None`` where the system does not tell."""

    level: Level
    available: int
    total: int
    stalled: float | None
    cpu: float
    """Percent of all processors, 0 to 100."""
    disk_free: int
    gpus: tuple[Gpu, ...] = ()
    children: dict[str, int] = field(default_factory=dict)
    """Resident bytes of the core's children, each with all below it, by name."""


@dataclass(frozen=True)
class Memory:
    """Bytes of memory: all that this process could have, and what of it is available."""

    available: int
    total: int


def read_pressure(
    folder: Path,
    interval: float | None = 0.2,
    *,
    gpus: GpuReader | None = None,
    core: int = 0,
    children: Mapping[str, int] | None = None,
) -> Pressure:
    """Read everything; blocks for ``interval`` seconds, over which the processor is measured, and somewhat longer.

    Without an interval it is measured since the last call, and is 0 in the first one.

    Args:
        folder: a folder on the disk that matters; if it is not there yet, the nearest one above it.
        interval: seconds.
        gpus: reads the graphics processors.
        core: process id of the core whose children's memory matters; 0: of none.
        children: names and process ids of those of its children that have a name.

    Raises:
        OSError: the disk cannot be asked.
    """
    system = psutil.virtual_memory()
    memory = Memory(system.available, system.total)
    stalled: float | None = None
    kernel: Level = "normal"
    if sys.platform == "linux":
        memory = within_cgroup(memory, _text(Path("/proc/self/cgroup")), Path("/sys/fs/cgroup"))
        stalled = parse_psi(_text(Path("/proc/pressure/memory")))
    elif sys.platform == "darwin":
        kernel = _macos_level()
    return Pressure(
        level=max(kernel, judge(memory, stalled), key=_SEVERITY.index),
        available=memory.available,
        total=memory.total,
        stalled=stalled,
        cpu=psutil.cpu_percent(interval=interval),
        disk_free=psutil.disk_usage(str(_nearest(folder))).free,
        gpus=gpus.read() if gpus is not None else (),
        children=resident(core, children or {}) if core else {},
    )


class LevelWatch:
    """Says when a level is worth telling: once when it gets worse, and again only after a time of calm."""

    CALM = 30
    """Readings at a lower level in a row after which it may be told again."""

    def __init__(self) -> None:
        self._told: Level = "normal"
        self._lower = 0

    def worsened(self, level: Level) -> bool:
        """Whether this reading's level is to be told."""
        now, told = _SEVERITY.index(level), _SEVERITY.index(self._told)
        self._lower = self._lower + 1 if now < told else 0
        if now > told or self._lower >= self.CALM:
            self._told, self._lower = level, 0
        return now > told


def judge(memory: Memory, stalled: float | None) -> Level:
    """The level that available memory and stalls amount to, the worse of the two."""
    # macOS keeps little memory "available" on purpose and tells its own level; its kernel is the judge there.
    share = memory.available / memory.total if memory.total and sys.platform != "darwin" else 1.0
    by_share: Level = next((level for limit, level in _AVAILABLE if share < limit), "normal")
    by_stalls: Level = next((level for limit, level in _STALLED if (stalled or 0.0) >= limit), "normal")
    return max(by_share, by_stalls, key=_SEVERITY.index)


def parse_psi(text: str) -> float | None:
    """``avg10`` of the ``some`` line of a PSI file, in percent; ``None`` if it is not there."""
    found = re.search(r"^some .*?avg10=(\d+(?:\.\d+)?)", text, re.MULTILINE | re.ASCII)
    return float(found[1]) if found else None


def oom_kills() -> int | None:
    """How many processes the Linux kernel has ended for want of memory since it started; ``None``: it does not say."""
    found = re.search(r"^oom_kill (\d+)$", _text(Path("/proc/vmstat")), re.MULTILINE | re.ASCII)
    return int(found[1]) if found else None


def within_cgroup(memory: Memory, membership: str, mount: Path) -> Memory:
    """``memory`` within the tightest limit of this process's cgroup and those above it, version 1 or 2.

    Args:
        memory: what the whole machine has.
        membership: the text of ``/proc/self/cgroup``.
        mount: where cgroups are mounted.
    """
    for folder, version in _cgroups(membership, mount):
        limit = _number(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        used = _number(folder / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
        if limit is None or used is None or limit >= memory.total:  # version 1 says "no limit" by a huge number
            continue
        # Files that were read and may be dropped at any time count as used, though they are available.
        used -= _inactive_files(_text(folder / "memory.stat"))
        memory = Memory(min(memory.available, max(0, limit - used)), limit)
    return memory


def _cgroups(membership: str, mount: Path) -> Iterator[tuple[Path, int]]:
    """Folders of the memory cgroup and those above it. In a container the path may lie outside what is mounted."""
    for line in membership.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root, version = (mount / "memory", 1) if controllers else (mount, 2)
        inner = PurePosixPath(path).relative_to("/") if path.startswith("/") else PurePosixPath(path)
        for part in (inner, *inner.parents):
            yield root / part, version


def _inactive_files(stat: str) -> int:
    fields = dict(pair for line in stat.splitlines() if len(pair := line.split()) == 2)
    value = fields.get("total_inactive_file", fields.get("inactive_file", "0"))
    return int(value) if value.isdigit() else 0


def _macos_level() -> Level:
    try:
        command = ["sysctl", "-n", "kern.memorystatus_vm_pressure_level"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "normal"
    return _MACOS_LEVELS.get(said.strip(), "normal")


def _nearest(folder: Path) -> Path:
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
