"""Reads what a report tells from the files of a run. What is missing or damaged is left out: the rest has worth."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

import msgspec
import psutil

from hegelion_core import __version__
from hegelion_core import events as e
from hegelion_core.commands.words import size
from hegelion_core.curves import Curve, Curves, MetricsFile, add_baseline, of_state
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.errors import UserError
from hegelion_core.evaluation.summary import Evaluation
from hegelion_core.event_log import EventReader
from hegelion_core.fold import apply
from hegelion_core.generation.sample_figures import output_parts
from hegelion_core.generation.store import SampleStore
from hegelion_core.redaction import Redactor
from hegelion_core.regular import read_regular
from hegelion_core.report.model import Example, History, Report, Setting
from hegelion_core.run_state import RunState, generation_seconds
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import RunFolder, Workspace, alive

EXAMPLES = 4
"""Samples that are shown, evenly spread over the file."""
_PACKAGES = ("mlx", "mlx-lm", "safetensors")


def collect(place: Workspace, folder: RunFolder, now: float, *, ended: e.RunEnded | None = None) -> Report:
    """What the files of a run say.

    Args:
        place: the workspace of the run.
        folder: the run.
        now: seconds since the epoch.
        ended: the end of the work, where it is about to be told by an event.
    """
    history = tell([*EventReader(folder.events).read(), *([ended] if ended is not None else [])])
    redact = Redactor(os.environ)
    return Report(
        history=history,
        written_at=now,
        at_work=history.state.active and alive(history.state.core_pid),
        root=place.root,
        curves=_curves(folder, history.state),
        examples=tuple(_examples(_sample_file(folder, history.state))),
        evaluation=_evaluation(folder.evaluation),
        settings=tuple(_settings(folder.settings, lambda value: redact(value).removeprefix(f"{place.root}/"))),
        environment=tuple(_environment(history)),
    )


def tell(events: Iterable[e.AnyEvent]) -> History:
    """The history that events tell. Pure."""
    history = History(RunState())
    rejected = 0
    for event in events:
        before, after = history.state, apply(history.state, event)
        history.state = after
        history.began = history.began or event.at
        if isinstance(event, e.RunOpened):
            history.version = event.version
        history.made += isinstance(event, e.SampleAccepted)
        rejected += isinstance(event, e.SampleRejected)
        begins = isinstance(event, e.StageStarted) and event.stage == "generate"
        if begins or (after.accepted != before.accepted and after.generating_since is not None):
            _extend(history.accepted, generation_seconds(after, event.at), after.accepted)
        if begins or isinstance(event, e.SampleRejected):
            _extend(history.rejected, generation_seconds(after, event.at), rejected)
    return history


def _extend(curve: Curve, seconds: float, count: int) -> None:
    curve.append(max(seconds, curve.steps[-1] if len(curve) else 0.0), count)  # clocks are set back


def _curves(folder: RunFolder, state: RunState) -> Curves:
    """Of the metrics file, or without it of the steps that were reported."""
    with contextlib.suppress(OSError):
        if (batch := MetricsFile(folder.metrics).read()) is not None and batch.curves:
            add_baseline(batch.curves, state)
            return batch.curves
    return of_state(state)


def _sample_file(folder: RunFolder, state: RunState) -> Path | None:
    """Where the samples of the run are: where it wrote them, or in its folder, if a later run began afresh."""
    if not state.sample_path:
        return None
    path = Path(state.sample_path)
    kept = folder.path / "outputs" / path.name
    return kept if kept.exists() else path


def _examples(path: Path | None) -> Iterator[Example]:
    if path is None or not path.is_file():
        return
    try:
        store = SampleStore(path)
    except UserError:
        return
    begin = 0
    for number in range(EXAMPLES):
        for index in range(max(begin, number * len(store) // EXAMPLES), len(store)):
            begin = index + 1
            if store.state(index) in ("accepted", "accepted by hand", "edited"):
                with contextlib.suppress(OSError, *UNREADABLE, SampleFault):
                    yield _example(store, index)
                    break


def _example(store: SampleStore, index: int) -> Example:
    sample = store.decisions.read(store.line(index))
    thesis, antithesis, synthesis, answer = output_parts(sample)
    said = sample.hegelion_trace.metadata
    origin = " ".join(str(said[name]) for name in ("teacher", "teacher_version") if said.get(name))
    return Example(sample.instruction, thesis, antithesis, synthesis, answer, origin)


def _evaluation(path: Path) -> Evaluation | None:
    try:
        return msgspec.json.decode(read_regular(path), type=Evaluation)
    except (OSError, *UNREADABLE):
        return None


def _settings(path: Path, shown: Callable[[str], str]) -> Iterator[Setting]:
    from hegelion_core.settings import Settings  # pydantic: slow to import

    try:
        tree = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return
    usual = Settings().model_dump(mode="json")
    sections = tree.items() if isinstance(tree, dict) else ()
    for section, values in sections:
        model = getattr(Settings(), section, None)
        fields = type(model).model_fields if model is not None else {}
        for name, value in values.items() if isinstance(values, dict) else ():
            meaning = (fields[name].description or "") if name in fields else ""
            changed = usual.get(section, {}).get(name) != value
            yield Setting(f"{section}.{name}", shown(_value(value)), meaning, changed)


def _value(value: object) -> str:
    if value is None or value == []:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _environment(history: History) -> Iterator[tuple[str, str]]:
    """The machine on which the page is written: names of people and machines are left out."""
    if history.state.plan is not None:
        yield "trained", history.state.plan.device
    yield "run by", f"hegelion-console {history.version}" if history.version else "unknown"
    yield "page written by", f"hegelion-console {__version__}, Python {platform.python_version()}"
    yield "system", f"{platform.system()} {platform.machine()}"
    yield "processors", f"{os.cpu_count() or '?'}"
    yield "memory", size(psutil.virtual_memory().total)
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)
