"""A run: its identity, its folder, its lock and its event log.

A run is identified by its settings, its inputs' hashes and its output paths, so the same command again finds the same
run. Settings that change how, not what, are left out of the identity.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from pathlib import Path

import msgspec
from pydantic import ValidationError

from hegelion_core import again, events, own_folder, runs, snapshot, workspace
from hegelion_core.again import Kind
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import EventLog
from hegelion_core.generation import verdicts
from hegelion_core.generation.decisions import decisions_path
from hegelion_core.regular import read_regular
from hegelion_core.settings import BUNDLED, DEFAULT_LIMIT, Settings
from hegelion_core.workspace import RunFolder, Workspace

_RELEVANT: dict[Kind, tuple[str, ...]] = {
    "run-all": ("generation", "teacher", "conversion", "training", "evaluation"),
    "generate": ("generation", "teacher"),
    "convert": ("generation", "conversion", "training"),
    "train": ("conversion", "training"),
    "evaluate": ("conversion", "training", "evaluation"),
}
HOW = {
    "generation": {
        *("instances", "max_attempts", "first_line_timeout", "silence_timeout", "total_timeout", "quota_wait")
    },
    "teacher": {"batch", "key_variable"},
    "training": {
        *("report_every", "sample_every", "sample_prompts", "sample_tokens"),
        *("memory_limit", "allow_shorter", "micro_batch_size", "grad_checkpoint", "track"),
        *("processes", "hosts", "hostfile", "backend", "port"),
    },
}
"""Settings that do not change what a run makes, but for rounding."""


class CoreLock:
    """One core a workspace; the kernel frees it when the core dies."""

    def __init__(self, place: Workspace) -> None:
        """Raises ``UserError`` while another core holds it, and if the artifacts folder cannot be used."""
        try:
            workspace.make_folder(place.artifacts)
            self._fd = workspace.open_own(place.artifacts / ".core.lock", os.O_RDWR)
        except OSError as error:
            raise UserError(
                f"{place.artifacts}: cannot be written ({error.strerror}).",
                "Choose a folder that you can write to with --workspace.",
                ExitCode.USAGE,
            ) from None
        if not _take(self._fd):
            os.close(self._fd)
            raise UserError(
                f"A core is at work in {place.artifacts} already.",
                "Watch it with 'hegelion-console', or end it with 'hegelion-console stop' first.",
                ExitCode.NOT_READY,
            ) from None

    def release(self) -> None:
        """Let another core in."""
        os.close(self._fd)


def _take(fd: int) -> bool:
    """Take a lock, if nobody holds it for longer than one holds it who only looks whether it is free."""
    for _ in range(10):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def open_run(place: Workspace, settings: Settings, kind: Kind, *, new: bool = False) -> RunFolder:
    """The folder of the run with this identity, made if there is none.

    With ``new`` the outputs of the earlier run are moved into its folder, and a run of the same identity starts afresh.

    Raises:
        UserError: something lies in the folder that no run makes.
    """
    found = find_run(place, settings, kind)
    if found is not None:
        own_folder.check(found)
    if found is not None and not new:
        _lay_out(found, settings)
        return found
    if found is not None:
        _retire(place, settings, found, kind)
    identity = identify(place, settings, kind)
    folder = place.run(f"{_stamp(place)}-{kind}-{identity}")
    _lay_out(folder, settings)
    return folder


def _lay_out(folder: RunFolder, settings: Settings) -> None:
    """Make what is missing of a run's folder: all of it, or what a kill while it was made left undone."""
    workspace.make_folder(folder.spool)
    folder.path.chmod(0o700)
    if not folder.settings.exists():
        workspace.replace(folder.settings, settings.model_dump_json(indent=2).encode())


def discard_unused(place: Workspace, folder: RunFolder) -> None:
    """Remove a run that was opened and never used, so that looking around leaves no run behind.

    It stays if it holds more than an opening makes, or took the place of an earlier run of its identity, which would be
    found in its stead.

    Raises:
        OSError: the system refuses.
    """
    made = {folder.settings.name, folder.events.name, snapshot.path_of(folder.events).name, folder.spool.name}
    inside = {path.name for path in folder.path.iterdir()}
    earlier = len(list(place.runs.glob(f"*-{folder.id.split('-', 2)[-1]}"))) > 1
    if inside <= made and not any(folder.spool.iterdir()) and not earlier:
        runs.take_away(place, folder)


def find_run(place: Workspace, settings: Settings, kind: Kind) -> RunFolder | None:
    """The newest run with this identity."""
    found = sorted(place.runs.glob(f"*-{kind}-{identify(place, settings, kind)}")) if place.runs.exists() else []
    return RunFolder(found[-1]) if found else None


def reread(folder: RunFolder) -> tuple[Settings, Kind]:
    """The settings with which a run began, and its kind.

    Raises:
        UserError: they cannot be read, or another version wrote them.
    """
    kind = folder.id.split("-", 2)[-1].rpartition("-")[0]
    try:
        if kind in _RELEVANT:
            return Settings.model_validate_json(read_regular(folder.settings)), kind
    except (OSError, ValidationError):
        pass
    raise UserError(
        f"{folder.settings}: the settings of the run cannot be read, or another version wrote them.",
        "Open the console again, with the flags that you want.",
        ExitCode.USAGE,
    )


def identify(place: Workspace, settings: Settings, kind: Kind) -> str:
    """Eight hex digits: a hash of the settings that matter and of the content of input files."""
    tree = {
        section: {
            k: v for k, v in getattr(settings, section).model_dump(mode="json").items() if k not in HOW.get(section, ())
        }
        for section in _RELEVANT[kind]
    }
    inputs = [path for path in (settings.generation.prompt_file, settings.evaluation.prompts) if path is not None]
    hashes = {str(path): _hash_or_absent(place.resolve(path)) for path in inputs}
    return hashlib.sha256(msgspec.json.encode([kind, tree, hashes], order="sorted")).hexdigest()[:8]


def opened(place: Workspace, folder: RunFolder, settings: Settings, log: EventLog, version: str) -> events.RunOpened:
    """The first event of an opening."""
    generation = settings.generation
    source = str(generation.prompt_file) if generation.prompt_file else generation.dataset
    return events.RunOpened(
        run_id=folder.id,
        folder=str(folder.path),
        target=generation.limit or (0 if generation.prompt_file else DEFAULT_LIMIT),
        teacher=generation.teacher,
        student="SmolLM2-135M-Instruct" if settings.training.model == BUNDLED else settings.training.model,
        source="bundled prompts" if source == BUNDLED else source,
        core_pid=os.getpid(),
        resumed=log.state.openings > 0,
        demo=place.demo,
        version=version,
        arguments=again.arguments(place, settings, again.kind_of(folder.id)),
    )


def outputs(place: Workspace, settings: Settings, kind: Kind) -> list[Path]:
    """What a run of this kind makes, besides its own folder."""
    made: dict[str, Path] = {
        "generate": settings.generation.output,
        "convert": settings.conversion.output,
        "train": settings.training.adapter_path,
    }
    return [place.resolve(path) for stage, path in made.items() if kind in ("run-all", stage)]


def _retire(place: Workspace, settings: Settings, folder: RunFolder, kind: Kind) -> None:
    kept = folder.path / "outputs"
    workspace.make_folder(kept)
    for path in outputs(place, settings, kind):
        for part in (path, path.with_suffix(".rejected.jsonl"), decisions_path(path)):
            if part.exists():
                part.rename(kept / part.name)
        verdicts.cache_path(path).unlink(missing_ok=True)


def _stamp(place: Workspace) -> str:
    """A time that no run of this workspace has in its name yet."""
    while True:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        if not place.runs.exists() or not any(place.runs.glob(f"{stamp}-*")):
            return stamp
        time.sleep(0.1)


def _hash_or_absent(path: Path) -> str:
    try:
        return workspace.sha256(path) if path.is_file() else "absent"  # a pipe or a device would never end
    except OSError:
        return "absent"
