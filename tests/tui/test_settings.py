"""The settings screen on a real file: seen, searched, changed, refused, taken back; keys and a theme of one's own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from hegelion_core.workspace import Workspace
from hegelion_tui.actions import SETTING_ACTIONS
from hegelion_tui.app import ConsoleApp
from hegelion_tui.screens.choice import Choice
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.main import MainScreen
from hegelion_tui.screens.settings import SettingsScreen
from tests.tui.fake_operations import FakeOperations, generating, opened
from tests.tui.screen_text import text_of, until, until_shown

WIDE, SMALL = (160, 50), (80, 24)
BOTH = pytest.mark.parametrize("size", [SMALL, WIDE])
FILE = """\
# Mine.
[generation]
limit = 200  # enough

[training]
iters = 300
lrr = 3
"""


@pytest.fixture
def run(tmp_path: Path) -> FakeOperations:
    root = tmp_path / "debate-lab"
    root.mkdir()
    (root / "hegelion.toml").write_text(FILE)
    operations = FakeOperations(Workspace(root))
    operations.feed(*opened())
    return operations


def console(run: FakeOperations, **flags: object) -> ConsoleApp:
    return ConsoleApp(run, clock=run.clock, flags={name.replace("__", "."): value for name, value in flags.items()})


def file(run: FakeOperations) -> Path:
    return run.place.root / "hegelion.toml"


async def open_settings(pilot: Pilot[int]) -> None:
    await pilot.press("p")
    await until_shown(pilot, "settings hegelion.toml", "teacher", "unknown", "Who writes the samples")


async def go(pilot: Pilot[int], name: str) -> None:
    """Put the cursor on a setting, by searching for it."""
    await pilot.press("slash")
    pilot.app.screen.query_one(Input).value = name
    await until(pilot, lambda: here(pilot) == name)
    await pilot.press("enter")


def here(pilot: Pilot[int]) -> str | None:
    option = pilot.app.screen.query_one("#settings", OptionList).highlighted_option
    return option.id if option is not None else None


@BOTH
async def test_every_setting_has_value_source_and_meaning(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size) as pilot:
        await open_settings(pilot)
        text = await until_shown(pilot, "● limit", "3 changed · 1 with a problem")
        line = next(line for line in text.splitlines() if "● limit" in line)
        assert line.split("● ")[1].split()[:3] == ["limit", "200", "file"]
        assert ("Accepted samples wanted" in line) == (size == WIDE)
        await until_shown(pilot, "'kimi-cli', 'kimi-code', 'kimi-legacy', 'openai' or 'local' · default")
        assert all(len(row) <= size[0] for row in text.splitlines())


@BOTH
async def test_a_value_is_checked_as_it_is_typed_and_saved_at_once(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_settings(pilot)
        await go(pilot, "training.lr")
        await pilot.press("enter", *"2e", "enter")
        await until_shown(pilot, "✗ training.lr must be a number above 0 and up to 1, not '2e'.")
        assert file(run).read_text() == FILE
        await pilot.press("minus", "5")
        await until_shown(pilot, "✓ Enter saves it.")
        await pilot.press("enter")
        await until_shown(pilot, "Saved: training.lr = 2e-5", "keeps its own")
        assert file(run).read_text() == FILE + "lr = 2e-5\n"
        await pilot.press("u")
        await until(pilot, lambda: file(run).read_text() == FILE)


async def test_booleans_turn_over_and_choices_are_chosen(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL) as pilot:
        await open_settings(pilot)
        await go(pilot, "training.use_rslora")
        await pilot.press("e")
        await until(pilot, lambda: "use_rslora = true" in file(run).read_text())
        await until_shown(pilot, "● training.use_rslora")
        await pilot.press("e")
        await until(pilot, lambda: "use_rslora = false" in file(run).read_text())
        await go(pilot, "training.lr_schedule")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("end", "enter")
        await until(pilot, lambda: 'lr_schedule = "cosine"' in file(run).read_text())


async def test_changes_that_come_fast_come_one_after_the_other(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL) as pilot:
        await open_settings(pilot)
        await go(pilot, "training.use_rslora")
        await pilot.press("e", "e", "e", "u", "u", "u", "e")
        await until(pilot, lambda: file(run).read_text() == FILE + "use_rslora = true\n")
        await until_shown(pilot, "● training.use_rslora")
        await pilot.press("u", "u")
        await until(pilot, lambda: file(run).read_text() == FILE)


async def test_reset_takes_a_setting_out_of_the_file(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_settings(pilot)
        await go(pilot, "training.iters")
        await pilot.press("delete")
        await until_shown(pilot, "Reset: training.iters = 500")
        assert file(run).read_text() == FILE.replace("iters = 300\n", "")
        await pilot.press("delete")
        await until_shown(pilot, "Nothing to reset.")


async def test_a_value_that_is_left_empty_is_none(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_settings(pilot)
        await go(pilot, "generation.limit")
        await pilot.press("e", "backspace", "enter")
        await until_shown(pilot, "Reset: generation.limit = none")


async def test_what_stands_over_the_file_is_said(run: FakeOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEGELION_TRAINING__ITERS", "7")
    async with console(run, generation__limit="9").run_test(size=WIDE, notifications=True) as pilot:
        await open_settings(pilot)
        await go(pilot, "generation.limit")
        await until_shown(pilot, "Set by a flag of the command line; hegelion.toml says 200, which has no effect")
        await go(pilot, "training.iters")
        await until_shown(pilot, "environment", "Set by the environment variable HEGELION_TRAINING__ITERS")
        await pilot.press("e", *"400", "enter")
        await until_shown(pilot, "Saved, but the environment variable", "training.iters stays 7")
        assert "iters = 400" in file(run).read_text()


async def test_values_that_do_not_go_together_are_refused(run: FakeOperations) -> None:
    file(run).write_text("# Mine.\n")
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("p")
        await until_shown(pilot, "Who writes the samples")
        await go(pilot, "training.scu_reference")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("end", "enter")
        await until_shown(pilot, "Add --scu_law published")
        assert file(run).read_text() == "# Mine.\n"


async def test_what_is_unknown_is_shown_and_kept(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_settings(pilot)
        await pilot.press("tab", "end", "tab")
        await until_shown(pilot, "✗ training.lrr", "Nothing of that name is known here.")
        await pilot.press("e")
        await until_shown(pilot, "That is not known here.")
        await pilot.press("delete")
        await until_shown(pilot, "Nothing to reset.")
        assert file(run).read_text() == FILE


async def test_search_filter_and_back(run: FakeOperations) -> None:
    async with console(run).run_test(size=WIDE) as pilot:
        await open_settings(pilot)
        await pilot.press("slash", *"warm-up falls")
        await until_shown(pilot, "training.lr_schedule", "/warm-up falls/ 1 found")
        await pilot.press("escape")
        await until_shown(pilot, "Who writes the samples")
        await pilot.press("f")
        await until_shown(pilot, "only what is changed", "generation.limit", "training.iters", "training.lrr")
        await pilot.press("escape")
        await until(pilot, lambda: "only what is changed" not in text_of(app_of(pilot)))
        await pilot.press("slash", *"nothing at all", "enter")
        await until_shown(pilot, "Nothing found.")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, MainScreen))


async def test_what_others_write_is_seen_and_not_taken_back(run: FakeOperations) -> None:
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await open_settings(pilot)
        await go(pilot, "training.iters")
        await pilot.press("e", *"40", "enter")
        await until_shown(pilot, "Saved: training.iters = 40")
        file(run).write_text("[training]\niters = 41\n")
        await until_shown(pilot, "1 changed")
        await pilot.press("u")
        await until_shown(pilot, "That cannot be taken back.")
        assert file(run).read_text() == "[training]\niters = 41\n"


async def test_a_file_that_breaks_is_told_and_the_screen_stays(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_settings(pilot)
        file(run).write_text("[training\n")
        await until_shown(pilot, "The settings cannot be read.", "not valid TOML")
        await go(pilot, "training.iters")
        await pilot.press("e", *"40", "enter")
        await until_shown(pilot, "not valid TOML")
        assert file(run).read_text() == "[training\n"


async def test_instances_take_effect_at_once(run: FakeOperations) -> None:
    run.feed(*generating(2))
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_settings(pilot)
        await go(pilot, "generation.instances")
        await pilot.press("e", "5", "enter")
        await until(pilot, lambda: ("scale", 5) in run.asked)
        assert tomllib.loads(file(run).read_text())["generation"]["instances"] == 5


async def test_taking_back_may_bring_back_what_is_not_valid(run: FakeOperations) -> None:
    file(run).write_text("[generation]\ninstances = 'x'\n")
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("p")
        await until_shown(pilot, "Who writes the samples", "✗ instances")
        await go(pilot, "generation.instances")
        await pilot.press("e", "3", "enter")
        await until(pilot, lambda: ("scale", 3) in run.asked)
        await pilot.press("u")
        await until_shown(pilot, "✗ generation.instances", "must be a whole number from 1 to 64, not 'x'.")
        assert run.asked == [("scale", 3)]


async def test_a_key_of_ones_own_is_there_at_once(run: FakeOperations) -> None:
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await open_settings(pilot)
        await go(pilot, "keys.run_all")
        await pilot.press("e", "g")
        await until_shown(pilot, "✗ g is the key of generate already.")
        await pilot.press("backspace", "z", "enter")
        await until_shown(pilot, "Saved: keys.run_all = z", "Takes effect at once.")
        await pilot.press("escape", "escape")
        await until_shown(pilot, "z Run")
        assert "Run (z)" in {command.title for command in app.get_system_commands(app.screen)}
        await pilot.press("r", "z")
        await until(pilot, lambda: [request[0] for request in run.asked] == ["start"])


async def test_keys_and_theme_that_are_wrong_are_told_and_the_console_opens(
    run: FakeOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")  # with fewer colours another theme is taken
    file(run).write_text("[console]\ntheme = 'pink[b]'\n[keys]\ntrain = 'z'\nfly = 'k'\n")
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "there is no theme 'pink[b]'", "keys.fly", "z Train")
        assert app.theme == "hegelion-dark"
        await pilot.press("p")
        await until_shown(pilot, "Who writes the samples")
        await go(pilot, "console.theme")
        await until_shown(pilot, "There is no theme of that name.")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        app.screen.query_one(OptionList).highlighted = list(app.available_themes).index("nord")
        await pilot.press("enter")
        await until(pilot, lambda: app.theme == "nord")
        assert 'theme = "nord"' in file(run).read_text()


async def test_a_theme_that_is_chosen_is_there_the_next_time(run: FakeOperations) -> None:
    app = console(run)
    async with app.run_test(size=SMALL) as pilot:
        app.theme = "hegelion-light"
        await until(pilot, lambda: "hegelion-light" in file(run).read_text())
    assert file(run).read_text() == FILE + '\n[console]\ntheme = "hegelion-light"\n'
    assert console(run).theme == "hegelion-light"


async def test_help_palette_and_actions_are_one_table(run: FakeOperations) -> None:
    app = console(run)
    async with app.run_test(size=WIDE) as pilot:
        await open_settings(pilot)
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert titles == [*(f"{action.label} ({action.shown})" for action in SETTING_ACTIONS), "Theme"]
        for action in SETTING_ACTIONS:
            assert callable(getattr(SettingsScreen, f"action_{action.name}"))
        await pilot.press("question_mark")
        await until_shown(pilot, *(action.help for action in SETTING_ACTIONS))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen))


@pytest.mark.parametrize("size", [(60, 20), SMALL, WIDE, (240, 70)])
async def test_every_size_without_colour(
    run: FakeOperations, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with console(run).run_test(size=size) as pilot:
        await open_settings(pilot)
        text = await until_shown(pilot, "● limit", "value", "source", "Takes", "esc Back")
        assert all(len(row) <= size[0] for row in text.splitlines())
        await pilot.resize_terminal(30, 8)
        await until_shown(pilot, "This needs 40 x 12 cells.")


def app_of(pilot: Pilot[int]) -> ConsoleApp:
    assert isinstance(pilot.app, ConsoleApp)
    return pilot.app
