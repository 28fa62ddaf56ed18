"""What a core that died left behind. A new run takes care of it by itself; here it is told, and can be done at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hegelion_core import guard, workspace
from hegelion_core.doctor.case import Case
from hegelion_core.doctor.finding import Finding, Remedy, Say
from hegelion_core.presence import is_free
from hegelion_core.regular import open_regular, read_regular
from hegelion_core.wire import socket_path
from hegelion_core.workspace import Workspace

_BY_ITSELF = "The next run does it by itself."


def lock(case: Case) -> Finding:
    """Whether the workspace is free, or held by a core that answers nobody."""
    if case.core:
        return Finding("lock", "ok", f"held by core {case.core}, which answers")
    if is_free(case.place):
        return Finding("lock", "ok", "no core holds this workspace; a dead one's lock is freed by the system")
    pid = case.state.core_pid
    where = case.shown(case.place.artifacts)
    return Finding(
        "lock", "warning", f"A core holds {where}, but does not answer; it may have begun just now.",
        f"Look again in a moment. If it stays so, end it: kill {pid or 'its process'}.",
    )  # fmt: skip


def pointer(case: Case) -> Finding:
    """Whether a dead core's socket and pointer lie about."""
    place = case.place
    left = [path for path in (place.core_pointer, socket_path(place)) if os.path.lexists(path)]
    if case.core or not left or not is_free(place):
        return Finding("socket", "ok", "none is left by a dead core" if not case.core else "in use")

    def do(say: Say) -> str:
        with _no_core(place):
            for path in left:
                path.unlink(missing_ok=True)
        return f"Removed {_paths(case, left)}."

    remedy = Remedy(f"Remove {_paths(case, left)}.", do)
    return Finding("socket", "warning", f"Left by a core that is gone: {_paths(case, left)}.", _BY_ITSELF, remedy)


def orphans(case: Case) -> Finding:
    """Whether processes of a dead core are still at work."""
    run = case.run
    mark = _read(run.mark) if run is not None and not case.core and is_free(case.place) else ""
    left = guard.marked(mark) if mark else []
    if not left:
        return Finding("processes", "ok", "none is left by a dead core")

    def do(say: Say) -> str:
        with _no_core(case.place):
            guard.end(mark)
        return "They are ended."

    pids = ", ".join(str(process.pid) for process in left)
    remedy = Remedy(f"End the processes {pids}.", do, asks=True)
    return Finding("processes", "warning", f"Left by a core that is gone: {pids}.", _BY_ITSELF, remedy)


def torn_line(case: Case) -> Finding:
    """Whether the sample file's last line has an end."""
    path = case.place.resolve(case.settings.generation.output)
    if not _is_torn(path):
        return Finding("last line", "ok", "the sample file ends with a whole line" if path.exists() else "no file yet")

    def do(say: Say) -> str:
        from hegelion_core.generation.store import SampleStore

        store = SampleStore(path)
        before, rows = store.accepted, len(store)
        store.mend()
        if len(store) == rows:
            return f"It was no whole line: what there was of it is kept in {store.rejected_path.name}."
        return "The line has an end now. " + (
            "It is a sample." if store.accepted > before else "It counts for nothing."
        )

    why = " yet." if case.core else "; whoever wrote it was killed."
    return Finding(
        "last line", "note" if case.core else "warning", f"The last line of {case.shown(path)} has no end{why}",
        "Generation mends it by itself; nothing of it is lost.",
        None if case.core else Remedy("End the line, or keep what is torn of it in the rejected file.", do),
    )  # fmt: skip


def stray_files(case: Case) -> Finding:
    """Whether killed writers left files beside those that they meant to replace."""
    folders = list(_folders(case))
    left = [path for folder in folders for path in workspace.strays(folder)]
    if not left:
        return Finding("half-written files", "ok", "none is left by a dead process")

    def do(say: Say) -> str:
        for folder in folders:
            workspace.sweep(folder)
        return f"Removed {len(left)}; what they should have replaced is as it was."

    remedy = Remedy(f"Remove {_paths(case, left)}.", do)
    return Finding("half-written files", "warning", f"{len(left)}: {_paths(case, left)}.", _BY_ITSELF, remedy)


def event_log(case: Case) -> Finding | None:
    """Whether the run's log can be read."""
    if case.run is None:
        return None
    if case.damaged:
        return Finding(
            "event log", "note", f"{case.damaged:,} lines of {case.shown(case.run.events)} could not be read.",
            "They are passed over: by another version, or damaged. Samples and checkpoints are files of their own.",
        )  # fmt: skip
    return Finding("event log", "ok", "every line can be read")


@contextlib.contextmanager
def _no_core(place: Workspace) -> Iterator[None]:
    """Keep cores out meanwhile; raises ``UserError`` while one is at work."""
    from hegelion_core.run import CoreLock  # brings the sample contract, which no check needs

    held = CoreLock(place)
    try:
        yield
    finally:
        held.release()


def _folders(case: Case) -> Iterator[Path]:
    settings, place = case.settings, case.place
    yield place.artifacts
    yield place.resolve(settings.generation.output).parent
    yield place.resolve(settings.conversion.output).parent
    yield place.resolve(settings.training.adapter_path)
    if case.run is not None:
        yield case.run.path
        yield case.run.spool


def _is_torn(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            if not file.seekable() or not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return read_regular(path).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _paths(case: Case, paths: list[Path]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(case.shown(path) for path in paths[:3]) + more
