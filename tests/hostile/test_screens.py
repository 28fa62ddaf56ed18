"""Hostile text on the console's screens: it is shown as text, steers nothing, and a crash tells no credentials."""

from __future__ import annotations

import io
import os
import typing
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console
from rich.segment import Segment
from textual.color import Color

from hegelion_core.comparing import exchange
from hegelion_core.generation.store import Rejected
from hegelion_core.workspace import RunFolder, Workspace
from hegelion_tui.app import ConsoleApp
from hegelion_tui.disarming import Disarming
from tests.hostile.evil_events import everything
from tests.hostile.texts import HTML, MARKUP, SHELL, STEERING, TURNS, is_fit_for_a_terminal
from tests.tui.fake_operations import FakeOperations, opened
from tests.tui.screen_text import text_of, until
from tests.unit.generation.test_store import sample

SIZE = (160, 50)
TEXTS = {"steering": STEERING, "markup": MARKUP, "HTML": HTML, "shell": SHELL, "turns": TURNS}
WHO: tuple[exchange.Who, ...] = typing.get_args(exchange.Who)


@pytest.fixture
def run(tmp_path: Path) -> FakeOperations:
    operations = FakeOperations(Workspace(tmp_path))
    place = operations.place
    data = place.artifacts / "data" / "hegelion_kimi_training_data.jsonl"
    for folder in (data.parent, place.logs):
        folder.mkdir(parents=True)
    for number, text in enumerate(TEXTS.values()):
        asked = f"Is it so {number}? {text}"
        kept = replace(sample(f"Is it so {number}?"), instruction=asked, output=f"{text} {sample(asked).output}")
        with data.open("ab") as file:
            file.write(msgspec.json.encode(kept) + b"\n")
        with data.with_suffix(".rejected.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(_rejected(text)) + b"\n")
        for log in (place.generator_log(1), place.generator_log(2), place.train_log):
            with log.open("a") as lines:
                lines.write(f"{text}\n")
    (tmp_path / "hegelion.toml").write_text("[generation]\nprompt_file = '[bold red]x'\n[x]\ny = '[link]z'\n")
    return operations


def _rejected(text: str) -> Rejected:
    return Rejected(
        at=1.0,
        prompt_id="p-1",
        query=text,
        kind="rejected",
        reason=text,
        detail=text,
        attempt=1,
        text=text,
        teacher=text,
        call_id="1",
    )


@pytest.mark.parametrize("name", ["steering", "markup"])
async def test_whatever_events_say_is_shown_as_text(name: str, run: FakeOperations) -> None:
    text = TEXTS[name]
    found = everything(text)
    run.feed(*found[: len(found) // 2])
    app = ConsoleApp(run, clock=run.clock)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await pilot.pause()
        assert_fit(app)
        for begin in range(len(found) // 2, len(found), 4):
            run.feed(*found[begin : begin + 4], seconds=1)
            await pilot.pause()
            assert_fit(app)
        await pilot.press("m")
        assert_fit(app)
        assert "[bold red]" in text_of(app) or name != "markup"


async def test_hostile_samples_questions_settings_and_checks_are_shown_as_text(run: FakeOperations) -> None:
    run.feed(*everything(STEERING + MARKUP))
    folder = RunFolder(run.place.root / "run")
    for number, text in enumerate(TEXTS.values(), start=1):
        where = exchange.place(exchange.folder_of(folder), number)
        where.mkdir(parents=True)
        question = exchange.Question(text=text, temperature=0.0, max_new_tokens=9, at=1.0)
        (where / exchange.QUESTION).write_bytes(msgspec.json.encode(question))
        for who in WHO:
            exchange.write_line(
                exchange.folder_of(folder), number, exchange.Part(who=who, text=text, tokens=1, seconds=1.0)
            )
        exchange.write_line(exchange.folder_of(folder), number, exchange.Failed(message=text, hint=text))
    run.feed(replace(opened()[0], folder=str(folder.path)))
    app = ConsoleApp(run, clock=run.clock)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        for keys in (("d",), ("down", "enter", "down"), ("escape", "tab", "v"), ("e",), ("escape", "escape", "escape")):
            await pilot.press(*keys)
            await pilot.pause(0.1)
            assert_fit(app)
        for key in ("C", "p", "h", "question_mark", "ctrl+p"):
            await pilot.press(key)
            await pilot.pause(0.2)
            assert_fit(app)
            await pilot.press("escape")
            await pilot.pause()


def test_half_a_character_which_no_terminal_can_be_given_is_replaced_and_the_width_stays() -> None:
    name = os.fsdecode(b"caf\xe9.jsonl")
    [shown] = Disarming().apply([Segment(f"{name} \u202e")], Color(0, 0, 0))
    assert shown.text == "caf\N{REPLACEMENT CHARACTER}.jsonl "
    assert shown.cell_length == Segment(name).cell_length + 1


async def test_a_bug_tells_no_values_of_variables(run: FakeOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "swordfish-4711")
    app = ConsoleApp(run, clock=run.clock)
    printed = io.StringIO()
    app.error_console = Console(file=printed, width=200)

    def fail() -> None:
        own = "swordfish-4711"
        raise RuntimeError(f"a bug, at {own} {STEERING}")

    with pytest.raises(RuntimeError, match="a bug"):
        await _run_until_it_fails(app, fail)
    shown = printed.getvalue()
    assert "a bug, at [redacted]" in shown
    assert "swordfish" not in shown
    assert is_fit_for_a_terminal(shown)


async def _run_until_it_fails(app: ConsoleApp, fail: Callable[[], None]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        app.call_later(fail)
        await until(pilot, lambda: not app.is_running)


def assert_fit(app: ConsoleApp) -> None:
    """Nothing on the screen steers a terminal."""
    shown = text_of(app)
    bad = [row for row in shown.split("\n") if not is_fit_for_a_terminal(row)]
    assert not bad, bad
