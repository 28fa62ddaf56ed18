"""The checklist screen, on a real workspace: the real checks, and fixes that are really done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot

from hegelion_core import events as e
from hegelion_core.doctor import remedies
from hegelion_core.doctor.finding import Finding, Section
from hegelion_core.errors import UserError
from hegelion_core.workspace import Workspace
from hegelion_tui import check_words
from hegelion_tui.actions import CHECK_ACTIONS
from hegelion_tui.app import ConsoleApp
from hegelion_tui.screens.checklist import ChecklistScreen
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.main import MainScreen
from tests.fakes.tiny_model import make_tiny_model
from tests.tui.fake_operations import FakeOperations, opened
from tests.tui.screen_text import text_of, until, until_shown

SMALL, WIDE = (80, 24), (160, 50)
BOTH = pytest.mark.parametrize("size", [SMALL, WIDE])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeOperations:
    """A workspace whose settings need neither account nor network, with a pointer that a dead core left."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    root = tmp_path / "lab"
    student = make_tiny_model(root / "student")
    (root / "hegelion.toml").write_text(
        f'[generation]\nteacher = "local"\ndataset = "bundled"\n[teacher]\nmodel = "{student}"\n'
        f'[training]\nmodel = "{student}"\n'
    )
    place = Workspace(root)
    place.artifacts.mkdir()
    place.core_pointer.write_text(json.dumps({"pid": 1, "socket": str(tmp_path / "gone.sock"), "run": str(tmp_path)}))
    operations = FakeOperations(place)
    operations.feed(*opened())
    return operations


def console(run: FakeOperations) -> ConsoleApp:
    return ConsoleApp(run, clock=run.clock)


def screen(pilot: Pilot[int]) -> ChecklistScreen:
    found = pilot.app.screen
    assert isinstance(found, ChecklistScreen)
    return found


async def open_checklist(pilot: Pilot[int]) -> None:
    await pilot.press("h")
    await until_shown(pilot, "checklist", "1 worth a look")


async def go_to(pilot: Pilot[int], name: str) -> None:
    rows = [one.name if one is not None else "" for one in screen(pilot)._rows]
    screen(pilot)._list.highlighted = rows.index(name)
    await pilot.pause()


@BOTH
async def test_checks_are_listed_explained_and_mended(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_checklist(pilot)
        await until_shown(pilot, "Ready to train", "✓ packages", "✓ student")
        await until(pilot, lambda: not screen(pilot)._looking)
        await pilot.press("n")
        await until_shown(pilot, "! socket", "f mends it", "What to do", "Remove ")
        await pilot.press("f")
        await until_shown(pilot, "socket: done.")
        await until_shown(pilot, "nothing to be mended", "✓ socket")
        assert not run.place.core_pointer.exists()
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, MainScreen))


@BOTH
async def test_a_folder_is_made_and_what_is_well_says_so(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_checklist(pilot)
        await go_to(pilot, "data folder")
        await until_shown(pilot, "is not there yet.", "Make the folder")
        await pilot.press("f")
        await until(pilot, lambda: (run.place.artifacts / "data").is_dir())
        await until_shown(pilot, "✓ sample file")
        await go_to(pilot, "packages")
        await pilot.press("enter")
        await until_shown(pilot, "All is well.")


async def test_settings_that_are_not_valid_are_a_finding(run: FakeOperations) -> None:
    (run.place.root / "hegelion.toml").write_text("[training]\nlr = 'fast'\n")
    async with console(run).run_test(size=SMALL) as pilot:
        await pilot.press("h")
        await until_shown(pilot, "✗ settings", "hegelion.toml", "1 to be mended")


async def test_the_keys_of_the_table_in_help_palette_and_the_way_back(run: FakeOperations) -> None:
    for action in CHECK_ACTIONS:
        assert hasattr(ChecklistScreen, f"action_{action.name}"), action.name
    app = console(run)
    async with app.run_test(size=WIDE) as pilot:
        await open_checklist(pilot)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert titles == {f"{action.label} ({action.shown})" for action in CHECK_ACTIONS} | {"Theme"}
        await pilot.press("question_mark")
        await until_shown(pilot, *(action.help for action in CHECK_ACTIONS))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape", "tab")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "check-detail")
        await pilot.press("h")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert "Checklist (h)" in titles


async def test_a_failed_check_stage_names_the_key(run: FakeOperations) -> None:
    run.feed(e.StageStarted(stage="check"), e.StageFailed(stage="check", message="disk: full", hint="x", exit_code=3))
    async with console(run).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "disk: full", "h shows the whole checklist.")


async def test_too_small_a_screen_says_what_it_needs(run: FakeOperations) -> None:
    async with console(run).run_test(size=(30, 8)) as pilot:
        await pilot.press("h")
        await until_shown(pilot, "This needs 40 x 12 cells.")
        await pilot.resize_terminal(*SMALL)
        await until_shown(pilot, "✓ packages")


async def test_without_colours_marks_and_words_tell_it_all(
    run: FakeOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with console(run).run_test(size=SMALL) as pilot:
        await open_checklist(pilot)
        await pilot.press("n")
        assert "! socket  worth a look" in text_of(console_of(pilot))


def console_of(pilot: Pilot[int]) -> ConsoleApp:
    assert isinstance(pilot.app, ConsoleApp)
    return pilot.app


def test_what_steers_a_terminal_is_disarmed() -> None:
    nasty = Finding("a\x1b[31m", "failed", "b\x1b]0;t\x07[bold]c[/]", "d\x9b")
    shown = check_words.row(nasty, "f").plain + check_words.detail(nasty, ["e\x1b"], "f").plain
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "[bold]c[/]" in shown


def test_the_head_counts() -> None:
    sections = [Section("A", (Finding("x", "failed", ""), Finding("y", "warning", ""), Finding("z", "ok", "")))]
    assert check_words.head(sections, looking=False).plain == "checklist 3 checks   1 to be mended  1 worth a look"
    assert "looking" in check_words.head([], looking=True).plain


async def test_a_fix_that_asks_waits_for_the_answer_and_one_that_fails_says_why(
    run: FakeOperations,
) -> None:
    """The package cannot be installed: there is no such file. pip itself says so."""
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await open_checklist(pilot)
        await until(pilot, lambda: not screen(pilot)._looking)
        remedy = remedies.install(["./no-such-wheel-1.0-py3-none-any.whl"])
        finding = Finding("packages", "failed", "not installed", "", remedy)
        screen(pilot)._rows[1] = finding
        await go_to(pilot, "packages")
        await pilot.press("f")
        await until_shown(pilot, "Mend: packages?", "-m pip install ./no-such-wheel")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChecklistScreen))
        await pilot.press("f")
        await until_shown(pilot, "Mend: packages?")
        await pilot.press("m")
        await until_shown(pilot, "It failed:")


def test_lines_of_a_fix_end_it_once_the_console_is_left(run: FakeOperations) -> None:
    found = ChecklistScreen(run.place, run.state)
    found._left = True
    with pytest.raises(UserError):
        found._say("Downloading")
