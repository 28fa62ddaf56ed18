"""Runs in words: a list, one of them, two beside each other. Pure, but for looking which files there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from hegelion_core import again
from hegelion_core.commands.words import amount, duration, nearby, size
from hegelion_core.run_state import RunState
from hegelion_core.runs import Comparison, RunFacts, Setting
from hegelion_core.workspace import RunFolder, Workspace

_CELL = 44
"""Characters of a setting that are shown where two stand beside each other."""
V = TypeVar("V")
Figure = tuple[str, Callable[[RunFacts], str]]


def when(at: float) -> str:
    """A time on the clock here; empty for none."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else ""


def listed(runs: Sequence[RunFacts]) -> list[str]:
    """A table of runs."""
    rows = [("run", "last at work", "state", "samples", "step", "loss", "size")]
    rows += [
        (
            run.id,
            when(run.updated_at),
            run.standing,
            f"{run.samples}/{run.target}" if run.samples or run.kind in ("run-all", "generate") else "",
            _or_none(run.step, str),
            _or_none(run.loss, _loss),
            size(run.size),
        )
        for run in runs
    ]
    return table(rows, right=(3, 4, 5, 6))


FIGURES: tuple[Figure, ...] = (
    ("state", lambda run: run.standing),
    ("opened", lambda run: when(run.opened_at)),
    ("last at work", lambda run: when(run.updated_at)),
    ("teacher", lambda run: run.teacher),
    ("student", lambda run: run.student),
    ("samples", lambda run: f"{run.samples} of {run.target}" if run.samples or run.requests else ""),
    ("answers accepted", lambda run: _or_none(run.acceptance, _share)),
    ("requests", lambda run: f"{run.requests:,}" if run.requests else ""),
    ("tokens written", lambda run: amount(run.tokens) if run.tokens else ""),
    ("time of generation", lambda run: duration(run.generation_seconds) if run.generation_seconds else ""),
    ("training rows", lambda run: _or_none(run.rows, str)),
    ("steps", lambda run: _or_none(run.step, str)),
    ("loss, nats per token", lambda run: _or_none(run.loss, _loss)),
    ("validation loss", lambda run: _or_none(run.validation, _loss)),
    ("best validation loss", lambda run: _or_none(run.best_validation, _loss)),
    ("S", lambda run: _or_none(run.s, lambda share: f"{share:.2%}")),
    ("time of training", lambda run: _or_none(run.training_seconds, duration)),
    ("evaluation, base", lambda run: _or_none(run.base_loss, _loss)),
    ("evaluation, adapter", lambda run: _or_none(run.adapter_loss, _loss)),
    ("whole traces, base", lambda run: _or_none(run.base_traces, _share)),
    ("whole traces, adapter", lambda run: _or_none(run.adapter_traces, _share)),
    ("size", lambda run: size(run.size)),
)
"""What is told of a run: a name, and the value in words, empty where there is none."""


def shown(run: RunFacts, state: RunState, place: Workspace, settings: Mapping[str, Setting]) -> list[str]:
    """One run: figures, stages, the files that there are, settings, and the command that goes on with it."""
    folder = RunFolder(Path(run.folder))
    files = {
        "settings": folder.settings,
        "metrics": folder.metrics,
        "checkpoints": folder.checkpoints,
        "evaluation": folder.evaluation,
        "report": folder.report,
        "earlier outputs": folder.path / "outputs",
        "earlier adapters": folder.replaced,
    }
    lines = [run.id]
    lines += _pairs((name, told) for name, tell in FIGURES if (told := tell(run)))
    lines += ["", "Stages"]
    lines += _pairs((name, f"{stage.status}  {stage.detail}".rstrip()) for name, stage in state.stages.items())
    lines += ["", "Files", *_pairs((name, nearby(str(path))) for name, path in files.items() if path.exists())]
    lines += ["", "Settings", *_pairs((name, _value(value)) for name, value in settings.items() if value is not None)]
    if state.error:
        lines += ["", f"It ended in an error: {state.error}", *([state.hint] if state.hint else [])]
    if run.standing not in ("at work", "idle", "done"):
        lines += ["", f"Go on with it: {again.command(state, place)}"]
    return lines


def compared(found: Comparison) -> list[str]:
    """Two runs beside each other."""
    first, second = found.first, found.second
    lines = ["Settings that differ" if found.settings else "No setting differs."]
    if found.settings:
        rows = [("", first.id, second.id)]
        rows += [(name, _short(_value(one)), _short(_value(other))) for name, (one, other) in found.settings.items()]
        lines += [f"  {line}" for line in table(rows)]
    rows = [("", first.id, second.id)]
    for name, tell in FIGURES:
        one, other = tell(first), tell(second)
        if one or other:
            rows.append((name, one or "-", other or "-"))
    return [*lines, "", "Results", *(f"  {line}" for line in table(rows))]


def to_be_removed(runs: Sequence[RunFacts]) -> list[str]:
    """What would be removed, and what of it exists nowhere else."""
    lines: list[str] = []
    for run in runs:
        lines.append(f"{run.id}: {run.standing}, {size(run.size)} in {nearby(run.folder)}")
        kept = Path(run.folder) / "outputs"
        if kept.is_dir() and (names := sorted(path.name for path in kept.iterdir())):
            lines.append(f"  with earlier results that --new moved there: {', '.join(names)}")
        replaced = RunFolder(Path(run.folder)).replaced
        if replaced.is_dir() and any(replaced.iterdir()):
            lines.append("  with adapters that lay at the adapter path before")
    return lines


def removed(runs: Sequence[RunFacts]) -> list[str]:
    """What was removed."""
    return [f"Removed {run.id} ({size(run.size)})." for run in runs]


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows in columns that stand below each other; those numbered in ``right`` end there."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"  {line}" for line in table(rows)] if (rows := list(pairs)) else []


def _or_none(value: V | None, tell: Callable[[V], str]) -> str:
    return "" if value is None else tell(value)


def _loss(value: float) -> str:
    return f"{value:.3f}"


def _share(value: float) -> str:
    return f"{value:.0%}"


def _value(value: Setting) -> str:
    if value is None:
        return "none"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"
