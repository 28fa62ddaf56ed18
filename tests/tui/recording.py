"""A real run that was recorded, put back to any of its moments: what the screens of tests and pictures show.

``tests/data/recorded_run`` holds what ``hegelion-console --run-all --demo`` with 40 samples and 160 steps wrote on a
machine with two cores, but for models, checkpoints and prompts; paths in it begin with ``{root}``. Another run is taken
down with ``python -m tests.tui.recording WORKSPACE``.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hegelion_core import events as e
from hegelion_core.event_log import EventReader
from hegelion_core.events import AnyEvent
from hegelion_core.pressure import Pressure
from hegelion_core.workspace import Workspace
from tests.tui.fake_operations import FakeOperations

RECORDED = Path(__file__).parent.parent / "data" / "recorded_run"
PLACE = "{root}"
"""Stands for the workspace in what was recorded."""
KEPT = (
    "data/*training_data*.jsonl",
    "logs/generator_*.log",
    "logs/train.log",
    "runs/*/events.jsonl",
    "runs/*/metrics.jsonl",
    "runs/*/evaluation.json",
)
GIB = 1 << 30
MACHINE = Pressure("normal", int(20.9 * GIB), int(23.5 * GIB), 0.0, 97.0, int(68.4 * GIB))
"""The machine of the recording, as it was read while it worked."""
CHILDREN = {"generate": {"local_engine": int(0.94 * GIB)}, "train": {"train": int(0.89 * GIB)}}


@dataclass(frozen=True)
class Moment:
    """A place in the run: where it is first true that ``reached`` holds of an event, and some seconds later."""

    reached: Callable[[AnyEvent], bool]
    later: float = 0.0


def accepted(count: int, later: float = 0.0) -> Moment:
    """So many samples have been accepted."""
    return Moment(lambda event: isinstance(event, e.SampleAccepted) and event.accepted >= count, later)


def trained(steps: int) -> Moment:
    """So many optimizer steps have been told."""
    return Moment(lambda event: isinstance(event, e.StepReported) and event.step >= steps)


OPENED = Moment(lambda event: isinstance(event, e.RunOpened))
ENDED = Moment(lambda event: isinstance(event, e.RunEnded))


class Recording(FakeOperations):
    """The recorded run and its files below ``folder``, at one of its moments."""

    def __init__(self, folder: Path, moment: Moment) -> None:
        place = Workspace(folder / "debate-lab", demo=True)
        for path in (path for kept in KEPT for path in RECORDED.glob(kept)):
            target = place.artifacts / path.relative_to(RECORDED)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text().replace(PLACE, str(place.root)))
        super().__init__(place)
        self.replay(_until(EventReader(place.all_runs()[0].events).read(), moment))
        self.now += moment.later
        self._cut_files()

    @property
    def machine(self) -> Pressure:
        """What the line of the machine tells."""
        running = [name for name, stage in self.state.stages.items() if stage.status == "running"]
        return replace(MACHINE, children=CHILDREN.get(running[0], {}) if running else {})

    def _cut_files(self) -> None:
        """Take out of the files what came later than this moment."""
        place, state = self.place, self.state
        clock = time.strftime("%H:%M:%S", time.gmtime(self.now))
        for log in place.logs.glob("generator_*.log"):
            _keep(log, lambda line: not re.match(r"\d\d:\d\d:\d\d ", line) or line[:8] <= clock)
        step = state.steps[-1].step if state.steps else -1
        _cut_before(place.train_log, lambda line: _step_of(line) > step)
        _keep(place.run(state.run_id).metrics, lambda line: int(json.loads(line)["step"]) <= step)
        for rejected in (place.artifacts / "data").glob("*.rejected.jsonl"):
            _keep(rejected, lambda line: float(json.loads(line)["at"]) <= self.now)
        if state.sample_path:
            samples = Path(state.sample_path)
            samples.write_text("".join(samples.read_text().splitlines(keepends=True)[: state.accepted]))
        if state.stages["train"].status == "pending":
            place.train_log.unlink(missing_ok=True)


def _until(events: list[AnyEvent], moment: Moment) -> Iterator[AnyEvent]:
    for event in events:
        yield event
        if moment.reached(event):
            return


def _keep(path: Path, wanted: Callable[[str], bool]) -> None:
    if path.exists():
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if wanted(line)))


def _step_of(line: str) -> int:
    """The step that a line of the log of training is about; -1 if it is about none."""
    found = re.search(r"tep (\d+):", line)
    return int(found[1]) if found else -1


def _cut_before(path: Path, too_late: Callable[[str], bool]) -> None:
    if path.exists():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(itertools.takewhile(lambda line: not too_late(line), lines)))


def record(place: Workspace) -> None:
    """Take down the newest run of a workspace; what is there already is replaced."""
    run = place.all_runs()[0]
    if RECORDED.exists():
        shutil.rmtree(RECORDED)
    for path in (path for kept in KEPT for path in place.artifacts.glob(kept)):
        if path.parent.parent == place.runs and path.parent != run.path:
            continue
        target = RECORDED / path.relative_to(place.artifacts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text().replace(str(place.root), PLACE))


if __name__ == "__main__":
    record(Workspace(Path(sys.argv[1]).resolve(), demo=True))
