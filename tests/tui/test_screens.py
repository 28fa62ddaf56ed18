"""Every screen at each size, compared with what it was, letter by letter; and in each theme as a picture.

``make screens`` writes them anew; then look at what has changed (``git diff``) before you commit it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from hegelion_tui.app import ConsoleApp
from tests.tui.picture import picture
from tests.tui.scenes import BY_NAME, NO_COLOUR, SCENES, Scene, played, wear
from tests.tui.screen_text import text_of, until, until_shown

KEPT = Path(__file__).parent / "screens"
RENEW = bool(os.environ.get("RENEW"))
SIZES = ((160, 50), (240, 70), (80, 24), (60, 20))
SMALL = (80, 24)
THUMBS = dict.fromkeys(map(ord, "▁▂▃▄▅▆▇█"), " ")
PATIENCE = 60.0
"""Seconds that a busy machine may take for a large screen."""
THEMES = ("hegelion-dark", "hegelion-light", "hegelion-terminal")
IN_COLOUR = ("generating", "chart", "sample", "settings")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_text_of(scene: Scene, tmp_path: Path) -> None:
    """One console for all sizes: a terminal that is resized meanwhile shows the same."""
    async with played(scene, tmp_path, SIZES[0]) as pilot:
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await compare(pilot, scene, KEPT / "{}x{}".format(*size) / f"{scene.name}.txt", shown)
            assert all(len(row) <= size[0] for row in shown(pilot).splitlines())


@pytest.mark.parametrize("themes", [THEMES, (NO_COLOUR,)], ids=["themes", NO_COLOUR])
@pytest.mark.parametrize("scene", [BY_NAME[name] for name in IN_COLOUR], ids=lambda scene: scene.name)
async def test_picture_of(scene: Scene, themes: tuple[str, ...], tmp_path: Path) -> None:
    async with played(scene, tmp_path, SMALL, themes[0]) as pilot:
        for theme in themes:
            if theme != NO_COLOUR:
                wear(app_of(pilot), theme)
            await compare(pilot, scene, KEPT / theme / f"{scene.name}.svg", drawn)


def test_nothing_is_kept_for_nothing() -> None:
    texts = {KEPT / "{}x{}".format(*size) / f"{scene.name}.txt" for size in SIZES for scene in SCENES}
    pictures = {KEPT / theme / f"{name}.svg" for theme in (*THEMES, NO_COLOUR) for name in IN_COLOUR}
    assert {path for path in KEPT.rglob("*.*") if path.is_file()} == texts | pictures


def app_of(pilot: Pilot[int]) -> ConsoleApp:
    assert isinstance(pilot.app, ConsoleApp)
    return pilot.app


def shown(pilot: Pilot[int]) -> str:
    """What can be read, to the end of each row; nothing else of this machine is in it than the recording's.

    Without the scrollbars' thumbs: how much of a log is in memory depends on when it was looked at.
    """
    rows = text_of(app_of(pilot)).translate(THUMBS).splitlines()
    return "".join(f"{row.rstrip()}\n" for row in rows)


def drawn(pilot: Pilot[int]) -> str:
    return picture(pilot.app, "hegelion-console")


async def compare(pilot: Pilot[int], scene: Scene, kept: Path, now: Callable[[Pilot[int]], str]) -> None:
    """Wait until what is there ``now`` is what was ``kept``; it fails with what differs."""
    if RENEW:
        await until_shown(pilot, *scene.shows)
        write(kept, await settled(pilot, now))
        return
    wanted = read(kept)
    try:
        await until(pilot, lambda: now(pilot) == wanted, patience=PATIENCE, every=0.05)
    except TimeoutError:
        there = now(pilot).splitlines()
        difference = "\n".join(difflib.unified_diff(wanted.splitlines(), there, "kept", "now", n=1, lineterm=""))
        pytest.fail(f"{kept.relative_to(KEPT)} has changed (`make screens` keeps it):\n{difference}", pytrace=False)
    await pilot.pause()
    assert now(pilot) == wanted, "it was there, and went on"


def read(kept: Path) -> str:
    return kept.read_text() if kept.exists() else ""


def write(kept: Path, text: str) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(text)


async def settled(pilot: Pilot[int], now: Callable[[Pilot[int]], str]) -> str:
    """What is there when it has not changed for a second."""
    same, before = 0, ""
    while same < 10:
        there = now(pilot)
        same, before = (same + 1 if there == before else 0), there
        await pilot.pause(0.1)
    return before
