"""The samples screen, on real files: seen, searched, decided on, exported, and live."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from hegelion_core import events as e
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.generation.decisions import Decisions
from hegelion_core.generation.store import Rejected, SampleStore
from hegelion_core.workspace import Workspace
from hegelion_tui.actions import SAMPLE_ACTIONS
from hegelion_tui.app import ConsoleApp
from hegelion_tui.screens.edit_sample import EditSample
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.main import MainScreen
from hegelion_tui.screens.samples import SamplesScreen, pattern
from hegelion_tui.widgets.key_bar import KeyBar
from hegelion_tui.widgets.sample_table import SampleTable
from tests.tui.fake_operations import FakeOperations, opened
from tests.tui.screen_text import text_of, until, until_shown
from tests.unit.generation.test_store import OUTPUT, sample

WIDE, SMALL = (160, 50), (80, 24)
BOTH = pytest.mark.parametrize("size", [SMALL, WIDE])


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    found = SampleStore(tmp_path / "debate-lab" / "artifacts" / "data" / "kimi.jsonl")
    for number in range(1, 61):
        found.append(sample(f"Should city {number} ban cars?"), 1_000)
    found.reject(rejected("Should farms ban [b]cars[/b]?", OUTPUT, "repetitive"))
    found.reject(rejected("Should ships be free?", "I can't \x1b[31mhelp with that.", "refusal"))
    return found


def rejected(query: str, text: str, reason: str) -> Rejected:
    return Rejected(
        at=1.7e9, prompt_id=prompt_id(query), query=query, reason=reason, detail="It is not good.", attempt=2,
        text=text, teacher="kimi-cli", call_id=f"call-{reason}",
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, store: SampleStore) -> FakeOperations:
    operations = FakeOperations(Workspace(tmp_path / "debate-lab"))
    operations.feed(*opened(target=60), store.counted())
    return operations


def console(run: FakeOperations) -> ConsoleApp:
    return ConsoleApp(run, clock=run.clock)


async def open_samples(pilot: Pilot[int]) -> SampleTable:
    await pilot.press("d")
    await until_shown(pilot, "kimi.jsonl", "samples 60", "not accepted 2", "Should city 1 ban cars?")
    return table(pilot)


def table(pilot: Pilot[int]) -> SampleTable:
    return pilot.app.screen.query_one(SampleTable)


def standing_of(store: SampleStore, index: int) -> str:
    store.refresh()
    return store.state(index)


@BOTH
async def test_a_table_and_its_text_with_the_parts_apart(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_samples(pilot)
        text = await until_shown(pilot, "60 of 60 count", "✓ accepted")
        assert ("Cars give freedom" in text) == (size == WIDE)
        await pilot.press("down", "down", "enter")
        await until_shown(pilot, "Should city 3 ban cars?", "Thesis", "Cars give freedom", "Antithesis", "Synthesis")
        await until_shown(pilot, "Answer", "Keep cars where nothing else goes")
        if size == SMALL:
            assert "Should city 4 ban cars?" not in text_of(console_of(pilot))
            await pilot.press("escape")
        await until_shown(pilot, "Should city 4 ban cars?")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, MainScreen))


def console_of(pilot: Pilot[int]) -> ConsoleApp:
    assert isinstance(pilot.app, ConsoleApp)
    return pilot.app


@BOTH
async def test_reject_asks_why_counts_at_once_and_can_be_taken_back(
    run: FakeOperations, store: SampleStore, size: tuple[int, int]
) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_samples(pilot)
        await pilot.press("down")
        await until_shown(pilot, "Should city 2 ban cars?")
        await until(pilot, lambda: page_number(pilot) == 2)
        await pilot.press("x")
        await until_shown(pilot, "Reject number 2", "Enter rejects, Escape cancels")
        await pilot.press(*"dull", "enter")
        await until_shown(pilot, "✗ rejected by hand", "59 of 60 count")
        assert standing_of(store, 1) == "rejected by hand"
        await until(pilot, lambda: ("recount",) in run.asked)
        await pilot.press("u")
        await until_shown(pilot, "60 of 60 count", "The last decision is taken back.")
        assert store.decisions.path.read_text().count("dull") == 1, "a decision is never rewritten"
        await pilot.press("x")
        await until_shown(pilot, "Reject number 2")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, SamplesScreen))
        assert standing_of(store, 1) == "accepted"


def page_number(pilot: Pilot[int]) -> int:
    screen = pilot.app.screen
    assert isinstance(screen, SamplesScreen)
    return screen._shown.page.entry.number if screen._shown is not None else 0


@BOTH
async def test_edit_in_a_form(run: FakeOperations, store: SampleStore, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_samples(pilot)
        await until(pilot, lambda: page_number(pilot) == 1)
        await pilot.press("e")
        await until_shown(pilot, "Edit by hand", "Thesis", "Antithesis", "ctrl+s saves")
        form = pilot.app.screen
        assert isinstance(form, EditSample)
        thesis = form.query_one("#thesis", TextArea)
        assert thesis.text.startswith("Cars give freedom")
        thesis.text = ""
        await pilot.press("ctrl+s")
        await until_shown(pilot, "The thesis is empty.")
        thesis.text = "Too short."
        await pilot.press("ctrl+s")
        await until_shown(pilot, "The sample contract objects", "trivial_thesis: The thesis is empty or too short")
        await pilot.press("b")
        await until(pilot, lambda: pilot.app.screen is form)
        await pilot.press("ctrl+s")
        await until_shown(pilot, "a Save anyway")
        await pilot.press("a")
        await until_shown(pilot, "✎ edited", "Kept as you wrote it.")
        assert standing_of(store, 0) == "edited"
        read = Decisions.beside(store.path).read(store.line(0))
        assert read.hegelion_trace.thesis == "Too short."


async def test_an_edit_that_is_left_asks_only_if_something_was_written(run: FakeOperations, store: SampleStore) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await open_samples(pilot)
        await until(pilot, lambda: page_number(pilot) == 1)
        await pilot.press("e")
        await until_shown(pilot, "Edit by hand")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, SamplesScreen))
        await pilot.press("e")
        await until_shown(pilot, "Edit by hand")
        await pilot.press("Z", "escape")
        await until_shown(pilot, "Throw the changes away?")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, SamplesScreen))
    assert not store.decisions.path.exists()


@BOTH
async def test_rejected_attempts_with_reason_and_raw_text(
    run: FakeOperations, store: SampleStore, size: tuple[int, int]
) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_samples(pilot)
        await pilot.press("v")
        await until_shown(pilot, "✗ repetitive", "✗ refusal", "Should farms ban [b]cars[/b]?")
        await pilot.press("down", "enter")
        await until_shown(pilot, "refusal: It is not good.", "Text as the teacher wrote it", "I can't �[31mhelp")
        await pilot.press("escape" if size == SMALL else "tab", "a")
        await until_shown(pilot, "This cannot be read as a sample.", "Edit it: its four parts")
        await pilot.press("up")
        await until(pilot, lambda: page_number(pilot) == 1)
        await pilot.press("a")
        await until_shown(pilot, "✓ accepted by hand", "61 of 60 count", "samples 61")
        await pilot.press("u")
        await until_shown(pilot, "60 of 60 count")


@BOTH
async def test_search_and_filter_and_back(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_samples(pilot)
        await pilot.press("slash", *"CITY 5[57] ", "enter")
        text = await until_shown(pilot, "2 found", "Should city 55 ban cars?", "Should city 57 ban cars?")
        assert "Should city 1 ban cars?" not in text
        await until(pilot, lambda: page_number(pilot) == 55)
        await pilot.press("x", "enter")
        await until_shown(pilot, "✗ rejected by hand")
        await pilot.press("escape")
        await until_shown(pilot, "Should city 54 ban cars?")
        assert table(pilot).index == 54, "the cursor stays on its row"
        await pilot.press("f", "f", "f", "f")
        await until_shown(pilot, "only rejected by hand", "1 found")
        await pilot.press("f")
        await until_shown(pilot, "only duplicate", "0 found", "Nothing found.")
        await pilot.press("escape")
        await until(pilot, lambda: table(pilot).count == 60)


def test_what_is_no_regular_expression_is_searched_as_text() -> None:
    assert pattern("a(b").search("xA(By")
    assert pattern("a.b").search("A-B")


async def test_new_samples_appear_and_nothing_moves(run: FakeOperations, store: SampleStore) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        shown = await open_samples(pilot)
        await pilot.press(*["down"] * 30)
        await until(pilot, lambda: page_number(pilot) == 31)
        before, top = shown.index, shown.scroll_offset.y
        store.append(sample("Should city 61 ban cars?"), 1_000)
        store.reject(rejected("Should kites ban cars?", "", "transient"))
        await until_shown(pilot, "samples 61", "not accepted 3")
        assert (shown.index, shown.scroll_offset.y) == (before, top)
        await pilot.press("slash", *"city 6", "enter")
        await until_shown(pilot, "3 found")
        store.append(sample("Should city 62 ban cars?"), 1_000)
        await until_shown(pilot, "4 found", "Should city 62 ban cars?")


@BOTH
async def test_export_of_marked_rows_never_overwrites_without_asking(
    run: FakeOperations, store: SampleStore, size: tuple[int, int]
) -> None:
    target = store.path.with_name("kimi.selection.jsonl")
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await open_samples(pilot)
        await pilot.press("space", "down", "space")
        await until_shown(pilot, "2 marked", "◆")
        await pilot.press("w")
        await until_shown(pilot, "2 marked of samples, as JSONL")
        await pilot.press("enter")
        await until_shown(pilot, "2 rows exported.")
        rows = [msgspec.json.decode(line) for line in target.read_bytes().splitlines()]
        assert [row["instruction"] for row in rows] == ["Should city 1 ban cars?", "Should city 3 ban cars?"]
        target.write_text("precious\n")
        await pilot.press("w")
        await until_shown(pilot, "as JSONL")
        await pilot.press("enter")
        await until_shown(pilot, "Replace the file?")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, SamplesScreen))
        assert target.read_text() == "precious\n"
        await pilot.press("w")
        await until_shown(pilot, "as JSONL")
        pilot.app.screen.query_one(Input).value = str(store.path)
        await pilot.press("enter")
        await until_shown(pilot, "Nothing was exported.", "is a file of the samples")
    assert store.path.stat().st_size > 10_000


async def test_mouse(run: FakeOperations, store: SampleStore) -> None:
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        shown = await open_samples(pilot)
        await pilot.click(SampleTable, offset=(20, 5))
        await until(pilot, lambda: shown.index == 4 and page_number(pilot) == 5)
        await pilot.click("#view-attempts")
        await until_shown(pilot, "✗ refusal")
        await pilot.click("#view-samples")
        await until(pilot, lambda: shown.count == 60 and page_number(pilot) == 1)
        bar = pilot.app.screen.query_one(KeyBar)
        accept = next(columns for action, columns in bar.places() if action.label == "Accept")
        await pilot.click(KeyBar, offset=(accept[0] + 1, 0))
        await until_shown(pilot, "✓ accepted by hand")
    assert standing_of(store, 0) == "accepted by hand"


async def test_palette_and_help_are_made_from_the_table(run: FakeOperations) -> None:
    for action in SAMPLE_ACTIONS:
        assert callable(getattr(SamplesScreen, f"action_{action.name}"))
    keys = [key for action in SAMPLE_ACTIONS for key in action.keys.split(",")]
    assert len(keys) == len(set(keys))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await open_samples(pilot)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert titles == {f"{action.label} ({action.shown})" for action in SAMPLE_ACTIONS} | {"Theme"}
        await pilot.press("question_mark")
        await until_shown(pilot, *(action.help for action in SAMPLE_ACTIONS))
        assert isinstance(app.screen, HelpScreen)


async def test_before_there_is_a_sample_file(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    run = FakeOperations(Workspace(tmp_path / "lab"))
    run.feed(*opened())
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("d")
        await until_shown(pilot, "No sample file is known yet")
        assert run.asked == [("recount",)]
        await pilot.press("x", "e", "a", "u", "w", "space", "m", "f", "v", "end")
        path = tmp_path / "lab" / "s.jsonl"
        run.feed(e.SamplesCounted(path=str(path), accepted=0))
        await until_shown(pilot, "s.jsonl", "Nothing was rejected, nothing failed.")
        await pilot.press("v")
        await until_shown(pilot, "No sample yet.")
        SampleStore(path).append(sample("Should city 1 ban cars?"), 9)
        await until_shown(pilot, "Should city 1 ban cars?")


@pytest.mark.parametrize("size", [(40, 12), (60, 20), (80, 24), (110, 30), (160, 50), (240, 70)])
async def test_every_size(run: FakeOperations, size: tuple[int, int]) -> None:
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await pilot.press("d")
        text = await until_shown(pilot, "not accepted 2", "Should", "✓", "esc Back")
        assert all(len(row) <= size[0] for row in text.splitlines())


async def test_a_decision_is_about_the_row_under_the_cursor_however_fast_it_moved(
    run: FakeOperations, store: SampleStore
) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        shown = await open_samples(pilot)
        shown.action_move(4)
        screen = pilot.app.screen
        assert isinstance(screen, SamplesScreen)
        screen.action_accept()
        shown.action_move(1)
        await until(pilot, lambda: standing_of(store, 4) == "accepted by hand")
    assert {standing_of(store, index) for index in range(60) if index != 4} == {"accepted"}
