"""Is this machine ready? What can be checked without a model or a network; each failure names its fix.

What needs heavier imports or a network is checked by the worker ``hegelion_core.preflight``.
"""

from __future__ import annotations

import os
from pathlib import Path

from hegelion_core import workspace
from hegelion_core.events import CheckFailed, CheckPassed
from hegelion_core.pressure import Pressure, read_pressure
from hegelion_core.settings import BUNDLED, Settings, TrainingSettings
from hegelion_core.training.tracking import missing_library
from hegelion_core.workspace import Workspace

Check = CheckPassed | CheckFailed
GIB = 1 << 30

DISK_GIB = 2.0
"""Free disk for adapters, checkpoints and logs (the guide's figure)."""
DISK_GIB_BUNDLED = 0.5
MEMORY_GIB = 6.0
"""Memory of the machine for a student of 1.5B parameters (the guide's 6 to 8 GB)."""
MEMORY_GIB_BUNDLED = 3.0


def run(place: Workspace, settings: Settings) -> list[Check]:
    """Every check of this module, for a whole run.

    Raises:
        OSError: the disk cannot be asked.
    """
    checks = [
        *machine(place, settings, read_pressure(place.artifacts, interval=0)),
        output_file("sample file", place.resolve(settings.generation.output)),
        output_file("training rows", place.resolve(settings.conversion.output)),
        output_folder("adapter", place.resolve(settings.training.adapter_path)),
        output_folder("runs", place.runs),
        output_folder("logs", place.logs),
    ]
    if settings.training.trainer == "standard":
        checks.append(standard_trainer(settings.training))
    return checks if settings.training.track == "none" else [*checks, tracker(settings.training)]


def machine(place: Workspace, settings: Settings, now: Pressure) -> list[Check]:
    """Whether disk and memory suffice for the student."""
    small = settings.training.model == BUNDLED
    return [
        disk(place.artifacts, now.disk_free, DISK_GIB_BUNDLED if small else DISK_GIB),
        memory(now.total, now.available, MEMORY_GIB_BUNDLED if small else MEMORY_GIB),
    ]


def standard_trainer(settings: TrainingSettings) -> Check:
    """Whether mlx-lm's own trainer is asked for what it can do."""
    if settings.together:
        return CheckFailed(
            name="trainer",
            detail="mlx-lm's own trainer is driven in one process.",
            fix="Leave --standard out to train in several, or --processes, --hosts and --hostfile.",
        )
    return CheckPassed(name="trainer", detail="mlx-lm's own")


def tracker(settings: TrainingSettings) -> Check:
    """Whether the library is there through which metrics shall be tracked."""
    if command := missing_library(settings):
        return CheckFailed(name="tracker", detail=f"The library for {settings.track} is not installed.", fix=command)
    return CheckPassed(name="tracker", detail=settings.track)


def disk(folder: Path, free: int, needed_gib: float) -> Check:
    """Whether the disk that holds ``folder``, with ``free`` bytes, has room."""
    if free < needed_gib * GIB:
        return CheckFailed(
            name="disk",
            detail=f"{free / GIB:.1f} GiB are free for {folder}, {needed_gib:.1f} GiB are needed.",
            fix="Free some space, or work in a folder on another disk (--workspace).",
        )
    return CheckPassed(name="disk", detail=f"{free / GIB:.1f} GiB free, {needed_gib:.1f} GiB needed")


def memory(total: int, available: int, needed_gib: float) -> Check:
    """Whether there is memory in all, in bytes. What other programs hold just now is told, but does not count."""
    if total < needed_gib * GIB:
        return CheckFailed(
            name="memory",
            detail=f"There are {total / GIB:.1f} GiB of memory, {needed_gib:.1f} GiB are needed.",
            fix=f"Choose a smaller student, such as '{BUNDLED}', or a machine with more memory.",
        )
    return CheckPassed(name="memory", detail=f"{total / GIB:.1f} GiB, {available / GIB:.1f} GiB of it free")


def output_file(name: str, path: Path) -> Check:
    """Whether a file can be written at ``path``; its folder is made."""
    if path.is_dir():
        return _blocked(name, path, "is a folder, not a file")
    if path.exists() and not path.is_file():
        return _blocked(name, path, "is no regular file")
    if path.exists() and not os.access(path, os.W_OK):
        return _blocked(name, path, "may not be written")
    if path.is_symlink() and not path.exists():
        return _blocked(name, path, "is a link that leads nowhere")
    # Files with longer names lie beside it (locks, and what is written before it is renamed).
    return _folder(name, path, path.parent, f"{path.name}.verdicts")


def output_folder(name: str, path: Path) -> Check:
    """Whether files can be written in the folder ``path``, which is made."""
    if path.exists() and not path.is_dir():
        return _blocked(name, path, "is a file, not a folder")
    return _folder(name, path, path)


def _folder(name: str, path: Path, folder: Path, prefix: str = "") -> Check:
    """Really writes: permission bits say little on network disks, and nothing to root."""
    try:
        workspace.make_folder(folder)
        # Named so that what a kill leaves of it is known for what it is (workspace.strays).
        beside = prefix or "probe"
        workspace.sweep(folder, beside)
        probe = folder / f".{beside}.{os.getpid()}.tmp"
        try:
            workspace.append(probe, b"x")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return _blocked(name, path, f"cannot be written ({error.strerror})")
    return CheckPassed(name=name, detail=str(path))


def _blocked(name: str, path: Path, fault: str) -> CheckFailed:
    return CheckFailed(
        name=name,
        detail=f"{path} {fault}.",
        fix="Choose another path, or move what is there and mend permissions.",
    )
