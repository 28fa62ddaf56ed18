"""Writes the report of a run."""

from __future__ import annotations

import time
from pathlib import Path

from hegelion_core import workspace
from hegelion_core.events import RunEnded
from hegelion_core.report.collect import collect
from hegelion_core.report.page import page
from hegelion_core.workspace import RunFolder, Workspace


def write(place: Workspace, folder: RunFolder, target: Path | None = None, *, exit_code: int | None = None) -> Path:
    """Write the report of a run, in place of an earlier one; blocks, 100,000 samples for seconds.

    Args:
        place: the workspace.
        folder: the run.
        target: the file; by default ``report.html`` in the run's folder.
        exit_code: of the work that is about to end; none: as the events say.

    Returns:
        The file.

    Raises:
        OSError: a file cannot be read or written; an earlier report is as it was.
    """
    now = time.time()
    ended = RunEnded(at=now, exit_code=exit_code) if exit_code is not None else None
    html = page(collect(place, folder, now, ended=ended))
    path = target or folder.report
    workspace.replace(path, html.encode("utf-8", "replace"), mode=0o600 if target is None else workspace.SHARED)
    return path
