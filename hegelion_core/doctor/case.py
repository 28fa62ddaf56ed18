"""What the checks look at: a workspace, its settings and its newest run, as they were at one time."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from hegelion_core.again import typed
from hegelion_core.event_log import restore
from hegelion_core.presence import answers
from hegelion_core.regular import read_regular
from hegelion_core.run_state import RunState
from hegelion_core.settings import Settings, resolve
from hegelion_core.wire import read_pointer
from hegelion_core.workspace import RunFolder, Workspace


@dataclass(frozen=True)
class Case:
    """Everything is read once, so that all checks speak of the same moment."""

    place: Workspace
    settings: Settings
    environment: Mapping[str, str]
    now: float
    core: int = 0
    """Process id of the core that answers; 0: none does."""
    run: RunFolder | None = None
    state: RunState = field(default_factory=RunState)
    damaged: int = 0
    """Lines of the event log that could not be read."""

    def command(self, *words: str) -> str:
        """What to type."""
        return typed(self.place, *words)

    @classmethod
    def open(cls, place: Workspace, settings: Settings, environment: Mapping[str, str] | None = None) -> Self:
        """Read what there is. ``environment`` is this process's, unless given."""
        pointer = read_pointer(place)
        core = pointer.pid if pointer is not None and answers(pointer.socket) else 0
        run = RunFolder(Path(pointer.run)) if pointer is not None and core else place.newest_run()
        state, damaged = RunState(), 0
        if run is not None:
            state, reader = restore(run.events)
            damaged = reader.damaged
        return cls(
            place,
            settings,
            os.environ if environment is None else environment,
            time.time(),
            core,
            run,
            state,
            damaged,
        )

    def shown(self, path: Path) -> str:
        """A path as it is told: below the workspace without the workspace's own."""
        return str(path.relative_to(self.place.root) if path.is_relative_to(self.place.root) else path)


def settings_of(place: Workspace, state: RunState) -> Settings:
    """The settings of the run that a state tells of, or the workspace's own where they cannot be read.

    Raises:
        UserError: those are not valid either.
    """
    try:
        return Settings.model_validate_json(read_regular(RunFolder(Path(state.folder)).settings))
    except (OSError, ValidationError):
        return resolve(place.root, {}, demo=place.demo).settings
