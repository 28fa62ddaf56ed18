"""Screens as they are opened: at once complete, for the size that the terminal has, and deaf to no key."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from textual.renderables.background_screen import BackgroundScreen
from textual.visual import RenderOptions, RichVisual

from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.room import Backdrop
from hegelion_tui.screens.settings import SettingsScreen
from tests.tui.scenes import BY_NAME, NO_COLOUR, played
from tests.tui.screen_text import until, until_shown
from tests.tui.test_screens import KEPT, PATIENCE, app_of, compare, shown

SMALLEST = (60, 20)
THEMES = ("hegelion-dark", "hegelion-light", "hegelion-terminal", NO_COLOUR)


@pytest.mark.parametrize("name", ["samples", "compare", "settings", "help", "palette", "question"])
async def test_a_screen_opened_in_a_small_terminal_is_the_one_that_became_small(name: str, tmp_path: Path) -> None:
    scene = BY_NAME[name]
    async with played(scene, tmp_path, SMALLEST) as pilot:
        await compare(pilot, scene, KEPT / "60x20" / f"{name}.txt", shown)


async def test_a_key_that_comes_before_a_dialog_is_there_is_heard_by_it(tmp_path: Path) -> None:
    async with played(BY_NAME["generating"], tmp_path, (80, 24)) as pilot:
        app = app_of(pilot)
        closed = asyncio.Event()
        app.push_screen(HelpScreen(), lambda _: closed.set())
        app.simulate_key("escape")
        async with asyncio.timeout(PATIENCE):
            await closed.wait()
        assert app.screen is app._main


async def test_the_styles_of_a_screen_are_read_once_and_fit_the_terminal(tmp_path: Path) -> None:
    scene = BY_NAME["settings"]
    async with played(replace(scene, keys=()), tmp_path, (160, 50)) as pilot:
        app = app_of(pilot)
        rules = [len(app.stylesheet.rules)]
        for size, classes in (((160, 50), {"-wide", "-tall"}), ((80, 24), {"-narrow", "-short"})):
            await pilot.resize_terminal(*size)
            await pilot.press("p")
            await until_shown(pilot, *scene.shows)
            assert isinstance(app.screen, SettingsScreen)
            assert app.screen.classes >= classes
            rules.append(len(app.stylesheet.rules))
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, SettingsScreen))
        assert rules[0] < rules[1] == rules[2]


@pytest.mark.parametrize("theme", THEMES)
async def test_what_is_behind_a_dialog_looks_as_textual_shows_it(theme: str, tmp_path: Path) -> None:
    async with played(BY_NAME["help"], tmp_path, (160, 50), theme) as pilot:
        await until_shown(pilot, "Escape closes")
        dialog, behind = pilot.app.screen, app_of(pilot)._main
        tint, options = dialog.styles.background, RenderOptions(dialog._get_style, dialog.styles.get_rules())
        ours, theirs = (
            [strip.simplify() for strip in visual.render_strips(160, 50, dialog.visual_style, options)]
            for visual in (Backdrop(behind, tint), RichVisual(dialog, BackgroundScreen(behind, tint)))
        )
        assert ours == theirs
        assert any("generator 1" in strip.text for strip in ours)
