"""The runs of a workspace: listed, found by the beginning of their id, compared, removed. Light: no pydantic."""

from __future__ import annotations

import contextlib
import difflib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from hegelion_core import guard
from hegelion_core.again import Kind, kind_of, typed
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.event_log import replay
from hegelion_core.presence import core_of, is_free
from hegelion_core.redaction import Redactor
from hegelion_core.regular import read_regular
from hegelion_core.run_state import RunState, generation_seconds
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.wire import read_pointer
from hegelion_core.workspace import RunFolder, Workspace, alive

Standing = Literal[
    "at work", "idle", "not started", "died", "done", "stopped", "failed", "bad input", "not ready", "waits for quota"
]
"""Where a run stands. ``idle``: a core has it open without work; ``died``: its core ended without a word."""

_BY_CODE: dict[int, Standing] = {
    ExitCode.DONE: "done",
    ExitCode.USAGE: "bad input",
    ExitCode.NOT_READY: "not ready",
    ExitCode.COME_BACK_LATER: "waits for quota",
    ExitCode.INTERRUPTED: "stopped",
}
_REMOVED = ".removed"
"""How the name of a folder ends that is being removed; it begins with a dot, so it is no run any more."""

Setting = str | int | float | bool | None | list[str]


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A run in figures. Times in seconds since the epoch, durations in seconds, losses in nats per token."""

    id: str
    kind: Kind
    standing: Standing
    core: int
    """Process id of the core that has it open; 0: none."""
    opened_at: float
    updated_at: float
    folder: str
    size: int
    """Bytes of everything in its folder; what links lead to is not counted."""
    teacher: str
    student: str
    samples: int
    """Accepted samples in its sample file, whoever wrote them, when the run last counted."""
    target: int
    acceptance: float | None
    """Share of the answers that met the contract, 0 to 1."""
    requests: int
    tokens: int
    """That the teacher wrote, where known."""
    generation_seconds: float
    rows: int | None
    step: int | None
    loss: float | None
    """Of the last reported step."""
    validation: float | None
    """The last validation loss."""
    best_validation: float | None
    s: float | None
    """Share of the update's cost at the last reported step, 0 to 1."""
    training_seconds: float | None
    base_loss: float | None
    """Of the evaluation, on held-out rows."""
    adapter_loss: float | None
    base_traces: float | None
    """Share of whole traces, 0 to 1."""
    adapter_traces: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs: the settings that differ, and the figures of both."""

    settings: dict[str, tuple[Setting, Setting]]
    first: RunFacts
    second: RunFacts


def standing(state: RunState, core: int) -> Standing:
    """Where a run stands. ``core``: process id of the core that has it open; 0: none."""
    if state.active:
        return "at work" if core else "died"
    if core:
        return "idle"
    if state.exit_code is None:
        return "not started"
    return _BY_CODE.get(state.exit_code, "failed")


def facts(place: Workspace, run: RunFolder) -> RunFacts:
    """The figures of a run, from its files alone."""
    state = replay(run.events)
    core = core_of(place, state)
    last = state.steps[-1] if state.steps else None
    losses = [value.loss for value in state.validations]
    train, found = state.stages["train"], state.evaluation
    measured = found is not None and found.validation_rows > 0
    return RunFacts(
        id=run.id,
        kind=kind_of(run.id),
        standing=standing(state, core),
        core=core,
        opened_at=state.opened_at,
        updated_at=state.updated_at,
        folder=str(run.path),
        size=size_of(run.path),
        teacher=state.teacher,
        student=state.student,
        samples=state.accepted,
        target=state.target,
        acceptance=state.acceptance,
        requests=state.requests,
        tokens=state.tokens,
        generation_seconds=generation_seconds(state, state.updated_at),
        rows=state.rows,
        step=last.step if last else None,
        loss=last.loss if last else None,
        validation=losses[-1] if losses else None,
        best_validation=min(losses, default=None),
        s=last.s if last else None,
        training_seconds=train.ended - train.started if train.started is not None and train.ended is not None else None,
        base_loss=found.base_loss if found is not None and measured else None,
        adapter_loss=found.adapter_loss if found is not None and measured else None,
        base_traces=found.base_traces if found is not None and found.prompts else None,
        adapter_traces=found.adapter_traces if found is not None and found.prompts else None,
    )


def find(place: Workspace, name: str | None) -> RunFolder:
    """The run whose id is ``name`` or begins so; without a name, the one that was at work last.

    Raises:
        UserError: there is no run, or none or several have such an id.
    """
    runs = place.all_runs()
    if not runs:
        hint = f"Start one: {typed(place, '--run-all')}"
        raise UserError(f"No run in {place.artifacts} yet.", hint, ExitCode.NOT_READY)
    if name is None:
        return runs[0]
    same = [run for run in runs if run.id == name] or [run for run in runs if name and run.id.startswith(name)]
    if len(same) != 1:
        raise UserError(
            f"{name}: {'no run has' if not same else f'{len(same)} runs have'} an id that begins so.",
            _nearest(name, [run.id for run in same or runs]),
            ExitCode.USAGE,
        )
    return same[0]


def _nearest(name: str, ids: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, ids, n=3, cutoff=0.3) or ids[:3]
    return f"There is {', '.join(near)}{' and more' if len(ids) > len(near) else ''}."


def settings_of(run: RunFolder) -> dict[str, Setting]:
    """``section.name`` to value, as the run had them; what looks like a credential is left out.

    Raises:
        UserError: the run's settings file cannot be read.
    """
    try:
        tree = msgspec.json.decode(read_regular(run.settings), type=dict[str, dict[str, Setting]])
    except (OSError, *UNREADABLE) as error:
        raise UserError(
            f"{run.settings}: cannot be read ({error}).", "The run's other files are as they were."
        ) from None
    redact = Redactor(os.environ)
    return {
        f"{section}.{name}": redact(value) if isinstance(value, str) else value
        for section, values in tree.items()
        for name, value in values.items()
    }


def compare(place: Workspace, first: RunFolder, second: RunFolder) -> Comparison:
    """Two runs beside each other; a setting that one of them does not have counts as none.

    Raises:
        UserError: the settings of one cannot be read.
    """
    one, other = settings_of(first), settings_of(second)
    return Comparison(
        settings={
            name: (one.get(name), other.get(name))
            for name in dict.fromkeys((*one, *other))
            if one.get(name) != other.get(name)
        },
        first=facts(place, first),
        second=facts(place, second),
    )


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder and below; what links lead to is not counted."""
    size = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # gone meanwhile
                inside = entry.is_dir(follow_symlinks=False)
                size += size_of(Path(entry.path)) if inside else entry.stat(follow_symlinks=False).st_size
    return size


def check_removable(place: Workspace, run: RunFolder) -> None:
    """Refuse what must not be removed.

    Raises:
        UserError: the run's folder is a link, a core has the run open, or processes of it still run.
    """
    if run.path.is_symlink():
        hint = "Remove the link itself, or what it leads to, by hand."
        raise UserError(f"{run.path}: is a link; what lies elsewhere is not removed.", hint, ExitCode.USAGE)
    core = core_of(place, replay(run.events))
    if core:
        hint = "Stop it first: hegelion-console stop."
        raise UserError(f"{run.id}: core {core} has it open.", hint, ExitCode.NOT_READY)
    with contextlib.suppress(OSError):
        if left := guard.marked(read_regular(run.mark).decode("ascii", "replace")):
            pids = ", ".join(str(process.pid) for process in left)
            hint = "They are ended within seconds; try again then. hegelion-console doctor --fix ends them at once."
            raise UserError(f"{run.id}: processes of it still run ({pids}).", hint, ExitCode.NOT_READY)


def remove(place: Workspace, run: RunFolder) -> None:
    """Remove a run's folder and all in it. Links in it are removed, not what they lead to.

    Raises:
        UserError: see ``check_removable``; or the system refuses.
    """
    from hegelion_core.run import CoreLock  # brings pydantic, which no other command here needs

    # While a core is at work on another run, none can open this one; else none must begin meanwhile.
    lock = CoreLock(place) if is_free(place) else None
    try:
        check_removable(place, run)
        if lock is None and not _works_elsewhere(place, run):
            raise UserError(f"{run.id}: a core is just opening a run.", "Try again.", ExitCode.NOT_READY)
        take_away(place, run)
    except OSError as error:
        raise explain(error) from None
    finally:
        if lock is not None:
            lock.release()


def take_away(place: Workspace, run: RunFolder) -> None:
    """Remove a run's folder, and those whose removal was ended before; whoever calls holds the core's lock.

    Raises:
        OSError: the system refuses.
    """
    aside = run.path.with_name(f".{run.id}{_REMOVED}")
    run.path.rename(aside)
    for folder in _left(place, aside):
        shutil.rmtree(folder)


def _works_elsewhere(place: Workspace, run: RunFolder) -> bool:
    pointer = read_pointer(place)
    return pointer is not None and alive(pointer.pid) and Path(pointer.run).name != run.id


def _left(place: Workspace, first: Path) -> Iterator[Path]:
    """A folder that is to be removed, and those whose removal was ended before."""
    yield first
    yield from (path for path in place.runs.glob(f".*{_REMOVED}") if path != first and not path.is_symlink())
