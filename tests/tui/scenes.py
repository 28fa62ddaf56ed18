"""Every screen as it is told in text dumps and pictures: which moment of the recorded run, and which keys lead there.

One line makes a screen a scene: its dumps at each size and its picture follow.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from textual.pilot import Pilot

from hegelion_core import events as e
from hegelion_core.doctor.finding import Finding, Remedy, Section, from_check
from hegelion_core.events import AnyEvent
from hegelion_core.setting_sources import ENVIRONMENT_PREFIX
from hegelion_tui.app import ConsoleApp
from hegelion_tui.logs.pane import LogPane
from tests.tui.recording import ENDED, OPENED, Moment, Recording, accepted, trained
from tests.tui.screen_text import until, until_shown

NO_COLOUR = "no-colour"
GENERATING = accepted(24, later=7)
TRAINING = trained(110)
FLAGS = {"generation.limit": 40, "generation.instances": 3, "training.iters": 160, "teacher.max_new_tokens": 190}
"""What the command line of the recorded run said."""
SETTINGS = """\
# This laptop is slow in the evening.
[generation]
silence_timeout = 600

[training]
lr = 2e-5
"""


@dataclass(frozen=True)
class Scene:
    """What is done, from the start of a console on, until it can be seen."""

    name: str
    moment: Moment
    shows: tuple[str, ...]
    """Texts on the screen when it is there, whatever its size."""
    keys: tuple[str, ...] = ()
    happens: tuple[AnyEvent, ...] = ()
    """Events that follow, which were not recorded."""
    gone: bool = False
    """The core dies then."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files of the workspace."""


def _quota() -> e.GenerationPaused:
    return e.GenerationPaused(
        reason="The quota is used up", until=1_795_640_400.0, kind="quota", advice="It refills by itself; s stops."
    )


SCENES = (
    Scene("idle", OPENED, ("Nothing yet.",)),
    Scene("generating", GENERATING, ("24 of 40",)),
    Scene("quota", GENERATING, ("Waiting: The quota is used up.",), happens=(_quota(),)),
    Scene("training", TRAINING, ("step 110 of 160",)),
    Scene("chart", TRAINING, ("smoothed", "validation"), ("tab", "m")),
    Scene("ended", ENDED, ("✓ Done",)),
    Scene("core-gone", GENERATING, ("The core has ended, while work was under way.",), gone=True),
    Scene("log", GENERATING, ("accepted:",), ("m",)),
    Scene("log-search", GENERATING, ("/ ", "of"), ("m", "slash", *"both are right", "enter", "N")),
    Scene("samples", ENDED, ("40 of 40 count", "not accepted"), ("d",)),
    Scene("sample", ENDED, ("Thesis", "Antithesis"), ("d", "wait:40 of 40 count", "down", "down", "enter")),
    Scene("sample-edit", ENDED, ("Edit by hand", "Thesis"), ("d", "wait:40 of 40 count", "e")),
    Scene("compare", ENDED, ("compare", "evaluation"), ("C",)),
    Scene("settings", ENDED, ("settings hegelion.toml", "limit"), ("p",), files={"hegelion.toml": SETTINGS}),
    Scene("choice", ENDED, ("Enter takes one", "kimi-code"), ("p", "wait:Who writes", "enter")),
    Scene("checklist", ENDED, ("checklist", "f mends it"), ("h", "wait:checks", "n")),
    Scene("help", GENERATING, ("Keys", "Escape closes"), ("question_mark",)),
    Scene("palette", GENERATING, ("Search for commands",), ("ctrl+p",)),
    Scene("question", GENERATING, ("The run is at work", "Keep running"), ("q",)),
)
BY_NAME = {scene.name: scene for scene in SCENES}


@contextlib.asynccontextmanager
async def played(
    scene: Scene, folder: Path, size: tuple[int, int], theme: str = ""
) -> AsyncGenerator[Pilot[int], None]:
    """A console that shows a scene, in its own theme, in the one of that name, or with ``NO_COLOR`` set."""
    run = Recording(folder, scene.moment)
    for name, text in scene.files.items():
        (run.place.root / name).write_text(text)
    with _same_everywhere(run, colourless=theme == NO_COLOUR):
        run.feed(*scene.happens)
        app = ConsoleApp(run, clock=run.clock, flags=FLAGS)
        if theme and theme != NO_COLOUR:
            wear(app, theme)
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: app.focused is not None and _logs_are_read(app))
            for key in scene.keys:
                if key.startswith("wait:"):
                    await until_shown(pilot, key.removeprefix("wait:"))
                else:
                    await pilot.press(key)
            if scene.gone:
                run.end()
            await until(pilot, lambda: app._main.pressure is not None)
            yield pilot


def wear(app: ConsoleApp, theme: str) -> None:
    """Take a theme on, and keep it in no file."""
    app._saved_theme = theme
    app.theme = theme


def _logs_are_read(app: ConsoleApp) -> bool:
    shown = [pane for pane in app.screen.query(LogPane) if pane.view.is_on_screen]
    written = [pane for pane in shown if any(path.exists() and path.stat().st_size for path in pane.paths)]
    return all(pane.view.window.rows for pane in written)


@contextlib.contextmanager
def _same_everywhere(run: Recording, *, colourless: bool) -> Iterator[None]:
    """Time zone, machine, environment and checks are those of the recording."""
    theirs = (ENVIRONMENT_PREFIX, "TEXTUAL", "HF_", "NO_COLOR", "FORCE_COLOR")
    keep = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    ours = {"TZ": "UTC", "TERM": "xterm-256color", "COLORTERM": "truecolor"} | ({"NO_COLOR": "1"} if colourless else {})
    with (
        patch.dict(os.environ, {**keep, **ours}, clear=True),
        patch("hegelion_tui.app.read_pressure", lambda *_, **__: run.machine),
        patch("hegelion_tui.screens.checklist.ChecklistScreen._examine", lambda _: checked(run)),
    ):
        time.tzset()
        try:
            yield
        finally:
            os.environ.pop("TZ")
    time.tzset()


def checked(run: Recording) -> list[Section]:
    """The checks that the run passed; and one that found something."""
    found = [from_check(check) for check in run.state.checks]
    ready = tuple(replace(one, found=one.found.replace(f"{run.place.root}/", "")) for one in found)
    stale = Finding(
        "socket",
        "warning",
        "A core that is dead (4242) left artifacts/demo/core.json.",
        "The console starts another core by itself; what it left can go.",
        Remedy("Remove artifacts/demo/core.json.", lambda _: "removed"),
    )
    return [Section("Ready to train", ready), Section("What was left", (stale,))]
