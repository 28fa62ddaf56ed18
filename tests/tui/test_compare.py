"""The compare screen, on a run's real files: asked, read along, stopped, looked through."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from textual import events
from textual.pilot import Pilot

from hegelion_core import events as e
from hegelion_core.comparing import exchange
from hegelion_core.comparing.exchange import Ended, Failed, Loading, Part, Who
from hegelion_core.errors import UserError
from hegelion_core.workspace import RunFolder, Workspace
from hegelion_tui.actions import COMPARE_ACTIONS
from hegelion_tui.app import ConsoleApp
from hegelion_tui.screens.compare import AnswerPane, CompareScreen, QuestionLine
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.main import MainScreen
from tests.fakes.compared import WHOLE, evaluation, lay_down
from tests.tui.fake_operations import FakeOperations, opened
from tests.tui.screen_text import text_of, until, until_shown

TINY, SMALL, WIDE = (60, 20), (80, 24), (160, 50)
SIZES = pytest.mark.parametrize("size", [TINY, SMALL, WIDE])
BOTH = pytest.mark.parametrize("size", [SMALL, WIDE])


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "debate-lab" / "artifacts" / "runs" / "one")
    made.spool.mkdir(parents=True)
    made.evaluation.write_bytes(evaluation(3))
    return made


@pytest.fixture
def run(tmp_path: Path, folder: RunFolder) -> FakeOperations:
    place = Workspace(tmp_path / "debate-lab")
    adapter = place.artifacts / "adapters" / "hegelion_1.5b_v1"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").touch()
    operations = FakeOperations(place)
    (opening,) = opened()
    assert isinstance(opening, e.RunOpened)
    operations.feed(replace(opening, folder=str(folder.path)))
    return operations


def console(run: FakeOperations) -> ConsoleApp:
    return ConsoleApp(run, clock=run.clock)


def screen(pilot: Pilot[int]) -> CompareScreen:
    found = pilot.app.screen
    assert isinstance(found, CompareScreen)
    return found


async def open_compare(pilot: Pilot[int], *wanted: str) -> None:
    await pilot.press("C")
    await until_shown(pilot, "compare DeepSeek", "ask greedy", *wanted)


async def type_line(pilot: Pilot[int], text: str) -> None:
    screen(pilot).query_one(QuestionLine).value = text
    await pilot.press("enter")


def part(folder: RunFolder, who: Who, text: str, tokens: int) -> None:
    line = Part(who=who, text=text, tokens=tokens, seconds=tokens / 10)
    exchange.write_line(exchange.folder_of(folder), 1, line)


def end(folder: RunFolder, who: Who, text: str, *, whole: bool) -> None:
    line = Ended(who=who, text=text, tokens=48, seconds=2.4, ending="end", complete_trace=whole)
    exchange.write_line(exchange.folder_of(folder), 1, line)


@SIZES
async def test_the_evaluations_prompts_figures_and_both_answers(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_compare(pilot, "Should city 1 ban cars?", "Should city 3 ban cars?", "2.812", "1.934")
        text = await until_shown(pilot, "Thesis", "Cars give freedom.", "✓")
        assert ("It depends." in text) == (size != TINY), "one answer at a time where there is little room"
        await pilot.press("down", "down")
        await until(pilot, lambda: screen(pilot)._key == ("evaluation", 3))
        await pilot.press("tab", "v")
        if size == TINY:
            await until_shown(pilot, "base  evaluation", "It depends.", "✗ no whole trace · 150 tokens (cut)")
            assert "Cars give freedom." not in text_of(console_of(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, MainScreen))
    assert run.asked == []


def console_of(pilot: Pilot[int]) -> ConsoleApp:
    assert isinstance(pilot.app, ConsoleApp)
    return pilot.app


@BOTH
async def test_a_question_goes_up_and_both_answers_stream_in(
    run: FakeOperations, folder: RunFolder, size: tuple[int, int]
) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_compare(pilot, "Should city 1 ban cars?")
        await type_line(pilot, "Should ships be free?")
        await until(pilot, lambda: ("compare", "Should ships be free?", 0.0) in run.asked)
        assert screen(pilot)._line.value == "Should ships be free?", "it stays until the core has taken it"
        lay_down(exchange.folder_of(folder), 1, "Should ships be free?")
        await until_shown(pilot, "starting …", "The process is being started.")
        assert screen(pilot)._line.value == ""
        exchange.write_line(exchange.folder_of(folder), 1, Loading())
        await until_shown(pilot, "loading …", "Loading student and adapter.")
        part(folder, "base", "Ships are ", 3)
        part(folder, "adapter", "<thought>\n**THESIS**: Free ships", 8)
        await until_shown(pilot, "answering …", "Ships are", "Thesis", "Free ships")
        part(folder, "base", "free.", 5)
        await until_shown(pilot, "Ships are free.", "10.0 t")
        end(folder, "base", "Ships are free.", whole=False)
        end(folder, "adapter", WHOLE, whole=True)
        text = await until_shown(pilot, "Antithesis", "Ban most of them.", "20.0 t")
        assert "answering" not in text
        if size == WIDE:
            assert "✗ no whole trace · 48 tokens · 2.4 s · 20.0 tokens/s" in text
            assert "✓ whole trace · 48 tokens" in text
        await pilot.press("shift+tab", "w")
        await until_shown(pilot, "**ANTITHESIS**: Cars kill.")


async def test_what_the_core_refuses_is_told_and_the_question_stays(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_compare(pilot)
        await type_line(pilot, "  ")
        await until_shown(pilot, "There is no question.", "Type one")
        assert run.asked == []
        run.refuses = UserError("A question is being answered.", "Stop it first, or wait.")
        await type_line(pilot, "And this?")
        await until_shown(pilot, "A question is being answered.", "Stop it first, or wait.")
        assert screen(pilot)._line.value == "And this?"


async def test_escape_stops_first_and_then_leaves(run: FakeOperations, folder: RunFolder) -> None:
    lay_down(exchange.folder_of(folder), 1, "Should ships be free?")
    part(folder, "base", "Ships are ", 3)
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_compare(pilot, "answering …", "Ships are")
        await pilot.press("escape")
        await until(pilot, lambda: ("stop_comparing",) in run.asked)
        assert isinstance(pilot.app.screen, CompareScreen)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, MainScreen))


async def test_a_failure_stands_where_the_answer_would(run: FakeOperations, folder: RunFolder) -> None:
    lay_down(exchange.folder_of(folder), 1, "Should ships be free?")
    failed = Failed(message="The process that answers was ended by SIGKILL.", hint="Its last lines are elsewhere.")
    exchange.write_line(exchange.folder_of(folder), 1, failed)
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await open_compare(pilot, "was ended by SIGKILL.", "Its last lines are elsewhere.")
        await pilot.press("tab", "s")
        await until_shown(pilot, "Nothing is being answered.")


async def test_a_chosen_question_can_be_taken_and_asked_at_another_temperature(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_compare(pilot, "Should city 2 ban cars?")
        await pilot.press("tab", "t", "down", "enter")
        await until_shown(pilot, "ask temperature 0.3")
        line = screen(pilot)._line
        assert line.value == "Should city 2 ban cars?"
        assert line.has_focus
        await pilot.press("enter")
        await until(pilot, lambda: ("compare", "Should city 2 ban cars?", 0.3) in run.asked)


async def test_a_text_of_several_lines_is_pasted_as_one(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_compare(pilot)
        screen(pilot)._line.post_message(events.Paste("Should ships\n  be free?\n"))
        await until(pilot, lambda: screen(pilot)._line.value == "Should ships be free?")


async def test_a_growing_answer_is_followed_until_one_scrolls_up(run: FakeOperations, folder: RunFolder) -> None:
    lay_down(exchange.folder_of(folder), 1, "Should ships be free?")
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_compare(pilot)
        pane = screen(pilot).query_one("#answer-base", AnswerPane)
        part(folder, "base", "".join(f"line {number}\n" for number in range(60)), 60)
        await until_shown(pilot, "line 59")
        await pilot.press("pageup")
        await until(pilot, lambda: 0 < pane.scroll_offset.y < pane.max_scroll_y)
        here = pane.scroll_offset.y
        part(folder, "base", "and more\n" * 9, 69)
        await until(pilot, lambda: "69" in str(pane.border_subtitle))
        await pilot.pause()
        assert pane.scroll_offset.y == here


async def test_without_adapter_and_evaluation_it_says_what_to_do(run: FakeOperations, folder: RunFolder) -> None:
    folder.evaluation.unlink()
    (run.place.artifacts / "adapters" / "hegelion_1.5b_v1" / "adapter_config.json").unlink()
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await open_compare(pilot, "There is no adapter yet.", "Train first; then ask here.", "No evaluation yet")
        (run.place.artifacts / "adapters" / "hegelion_1.5b_v1" / "adapter_config.json").touch()
        folder.evaluation.write_bytes(evaluation(1))
        await until_shown(pilot, "Should city 1 ban cars?", "Cars give freedom.")


async def test_a_training_that_runs_and_a_core_that_is_gone_are_said(run: FakeOperations) -> None:
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await open_compare(pilot)
        run.feed(e.WorkRequested(stages=("train",)), e.StageStarted(stage="train"))
        await until_shown(pilot, "training runs too: memory and processor are shared")
        run.end()
        await until_shown(pilot, "the core is gone: nothing can be asked")


async def test_the_keys_of_the_table_in_help_and_palette(run: FakeOperations) -> None:
    for action in COMPARE_ACTIONS:
        assert hasattr(CompareScreen, f"action_{action.name}"), action.name
    app = console(run)
    async with app.run_test(size=WIDE) as pilot:
        await open_compare(pilot)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert titles == {f"{action.label} ({action.shown})" for action in COMPARE_ACTIONS} | {"Theme"}
        await pilot.press("f1")
        await until_shown(pilot, *(action.help for action in COMPARE_ACTIONS))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape", "tab", "tab", "tab")
        await until(pilot, lambda: app.focused is not None and app.focused.id == "answer-adapter")
        await pilot.press("m")
        await until(pilot, lambda: not app.screen.query_one("#answer-base").display)
        await pilot.press("escape", "tab")
        await until(pilot, lambda: isinstance(app.focused, QuestionLine))


@pytest.mark.parametrize("size", [(30, 20), (100, 9), (40, 12), (240, 70)])
async def test_any_size_shows_something(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await open_compare(pilot, "Should city 1 ban cars?")
        await pilot.resize_terminal(*size)
        fits = size[0] >= 40 and size[1] >= 12
        await until_shown(pilot, *(["ask greedy"] if fits else ["This needs 40 x 12"]))
        await pilot.resize_terminal(*SMALL)
        await until_shown(pilot, "Should city 1 ban cars?", "✓ whole trace")
