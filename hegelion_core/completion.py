"""What is done already: a stage whose inputs have not changed is not done again.

A stage that is done leaves a key, the hash of its settings and inputs, and the hashes of what it made; both must still
hold. Generation has no key: its samples are counted in their file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from pydantic import BaseModel

from hegelion_core import workspace
from hegelion_core.conversion import origin
from hegelion_core.evaluation.summary import TRAINING_SETTINGS
from hegelion_core.event_log import replay
from hegelion_core.events import EvaluationFinished, RowsConverted, Stage
from hegelion_core.generation.decisions import decisions_path
from hegelion_core.generation.prompts import read_prompts
from hegelion_core.generation.store import SampleStore
from hegelion_core.run import HOW
from hegelion_core.run_state import RunState
from hegelion_core.settings import DEFAULT_LIMIT, Settings, TrainingSettings
from hegelion_core.workspace import RunFolder, Workspace


class Completion:
    """Keys and outputs of one run's stages."""

    def __init__(self, place: Workspace, run: RunFolder, settings: Settings, *, anew: bool = False) -> None:
        """``anew``: what other runs found does not count."""
        self._anew = anew
        self._place = place
        self._run = run
        self._settings = settings
        self._samples = place.resolve(settings.generation.output)
        self._store: SampleStore | None = None
        self._rows = place.resolve(settings.conversion.output)
        self._adapter = place.resolve(settings.training.adapter_path)
        self._made: dict[Stage, list[Path]] = {
            "convert": [self._rows],
            "train": [self._adapter],
            "evaluate": [run.evaluation],
        }

    def reason(self, stage: Stage, requested: Sequence[Stage], state: RunState) -> str:
        """Why ``stage`` has nothing to do; empty if it has. ``requested`` are the stages that it prepares, if any."""
        match stage:
            case "check":
                others = [other for other in requested if other != "check"]
                done = bool(others) and all(self.reason(other, (), state) for other in others)
                return "nothing is left to do" if done else ""
            case "generate":
                store = self.samples()
                wanted = self.wanted(store)
                enough = wanted is not None and store.accepted >= wanted
                return f"{store.accepted} of {wanted} samples are there" if enough else ""
            case _:
                done = self.holds(stage, state) or self.elsewhere(stage) is not None
                return "done before, and its inputs have not changed" if done else ""

    def elsewhere(self, stage: Stage) -> RowsConverted | EvaluationFinished | None:
        """What a stage would report, if another command or run has done the same before."""
        match stage:
            case "convert":
                return origin.recall(self._samples, self._rows, self._settings)
            case "evaluate" if not self._anew:
                others = (replay(run.events) for run in self._place.all_runs() if run != self._run)
                return next((state.evaluation for state in others if self.holds(stage, state)), None)
            case _:
                return None

    @property
    def opened(self) -> bool:
        """Whether ``samples`` has been read once, so that it is quick now."""
        return self._store is not None

    def samples(self) -> SampleStore:
        """The sample file as it is now; opened once.

        Raises:
            UserError: it cannot be read.
        """
        if self._store is None:
            self._store = SampleStore(self._samples)
        self._store.refresh()
        return self._store

    def wanted(self, store: SampleStore) -> int | None:
        """Accepted samples wanted in the file; ``None`` while a prompt file that says so has not been read."""
        generation = self._settings.generation
        if generation.limit is not None:
            return generation.limit
        if generation.prompt_file is None:
            return DEFAULT_LIMIT
        if not self._run.prompts.exists():
            return None
        return len({prompt.id for prompt in read_prompts(self._run.prompts)} | store.done)

    def key(self, stage: Stage) -> str:
        """The hash of a stage's settings and inputs as they are now, before its work; empty if one is missing.

        Asked before: what someone decides or appends meanwhile is not in what the stage makes.
        """
        try:
            return self._key(stage)
        except OSError:
            return ""

    def made(self, stage: Stage) -> dict[str, str]:
        """Path to hash of what a stage made that has just been done."""
        return {str(path): workspace.sha256(path) for path in self._made.get(stage, [])}

    def holds(self, stage: Stage, state: RunState) -> bool:
        """Whether what a run's stage made last is there, and would be made the same again."""
        last = state.stages[stage]
        try:
            return (
                bool(last.outputs)
                and last.key == self._key(stage)
                and all(workspace.sha256(Path(path)) == digest for path, digest in last.outputs.items())
            )
        except OSError:
            return False

    def _key(self, stage: Stage) -> str:
        settings = self._settings
        match stage:
            case "convert":
                decisions = decisions_path(self._samples)
                by_hand = [decisions] if decisions.exists() else []
                return _hash(settings.conversion, settings.training.model, self._samples, *by_hand)
            case "train":
                return _hash(settings.training, self._rows)
            case "evaluate":
                prompts = settings.evaluation.prompts
                held_out = [self._place.resolve(prompts)] if prompts else []
                rows = [self._rows] if self._rows.exists() else []  # without them there is just no loss
                measured = settings.training.model_dump_json(include=set(TRAINING_SETTINGS))
                form = settings.conversion.template
                return _hash(settings.evaluation, measured, form, *rows, self._adapter, *held_out)
            case _:
                return ""


def _hash(*parts: BaseModel | str | Path) -> str:
    digest = hashlib.sha256()
    for part in parts:
        match part:
            case BaseModel():
                how = HOW["training"] if isinstance(part, TrainingSettings) else set()
                digest.update(msgspec.json.encode(part.model_dump(mode="json", exclude=how), order="sorted"))
            case Path():
                digest.update(workspace.sha256(part).encode())
            case _:
                digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()
