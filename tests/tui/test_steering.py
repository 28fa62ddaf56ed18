"""Steering and its ends: one generator stopped, a dead core resumed, alerts, a silent teacher, keys of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.errors import UserError
from hegelion_core.workspace import Workspace
from hegelion_tui import app as app_module
from hegelion_tui.app import ConsoleApp
from hegelion_tui.screens.question import Question
from hegelion_tui.widgets.deck import Deck
from tests.tui.fake_operations import FakeOperations, answered, ended, generating, opened, step, training
from tests.tui.screen_text import text_of, until, until_shown

WIDE = (160, 50)
SMALL = (80, 24)


@pytest.fixture
def run(tmp_path: Path) -> FakeOperations:
    return operations(tmp_path / "debate-lab")


def operations(root: Path) -> FakeOperations:
    root.mkdir(exist_ok=True)
    made = FakeOperations(Workspace(root))
    made.feed(*opened())
    return made


def write_settings(run: FakeOperations, text: str) -> None:
    (run.place.root / "hegelion.toml").write_text(text)


async def test_one_generator_is_stopped_by_itself(run: FakeOperations) -> None:
    run.feed(*generating(2))
    app = ConsoleApp(run, clock=run.clock)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "generator 2")
        await pilot.press("tab", "S")
        await until_shown(pilot, "Stop generator 2?", "+ starts one again.")
        await pilot.press("escape", "S")
        await until_shown(pilot, "Stop generator 2?")
        await pilot.press("s")
        await until(pilot, lambda: run.asked == [("stop_instance", 2)])
        run.feed(e.InstancesScaled(count=2, numbers=(1, 3)), e.SampleRequested(instance=3, prompt_id="p"))
        await until_shown(pilot, "generator 2 · stopped", "generator 3 · asked 0s ago")
        await pilot.press("tab", "tab", "S")
        await until_shown(pilot, "This pane is not one generator's.", "s stops the whole run.")
        run.feed(*training())
        await until_shown(pilot, "● train")
        await pilot.press("S")
        await until_shown(pilot, "Nothing is being generated.")
    assert run.asked == [("stop_instance", 2)]


async def test_detach_leaves_at_once_and_theme_has_a_key(run: FakeOperations) -> None:
    run.feed(*generating())
    app = ConsoleApp(run, clock=run.clock)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("T")
        await until_shown(pilot, "hegelion-light")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app._main)
        await pilot.press("D")
        await until(pilot, lambda: app.return_value == 0)
    assert run.asked == []


async def test_a_dead_core_is_told_and_the_run_goes_on_from_the_screen(run: FakeOperations, tmp_path: Path) -> None:
    run.feed(e.WorkRequested(stages=("check", "train")), e.StageStarted(stage="train"))
    other = operations(tmp_path / "debate-lab")
    refusal: list[UserError] = [UserError("The core did not start.", "See [b]core.log[/b].")]
    wanted: list[str] = []

    async def resume(folder: str) -> FakeOperations:
        wanted.append(folder)
        if refusal:
            raise refusal.pop()
        return other

    app = ConsoleApp(run, clock=run.clock, resume=resume)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        run.end()
        await until_shown(pilot, "The core has ended, while work was under way.", "r starts a new core")
        await pilot.press("plus")
        await until_shown(pilot, "r starts a new one for this run.")
        await pilot.press("r")
        await until_shown(pilot, "The core did not start.", "See [b]core.log[/b].")
        await pilot.press("r")
        await until(pilot, lambda: other.asked == [("start", "check", "train")])
        assert run.asked == [("close",)]
        assert wanted == ["artifacts/runs/20251122-162200-run-all-1a2b3c4d"] * 2
        other.feed(*generating(), *answered(4))
        text = await until_shown(pilot, "● generate", "4 of 20")
        assert "while work was under way" not in text
        other.end()
        await until_shown(pilot, "The core has ended, while work was under way.")


async def test_what_is_wanted_is_told_by_bell_and_terminal(
    run: FakeOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "there")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("TMUX", raising=False)
    write_settings(run, "[console]\nstage_ended = 'both'\nquota_out = 'bell'\n")
    run.feed(*generating())
    app = ConsoleApp(run, clock=run.clock)
    bells: list[int] = []
    sent: list[str] = []
    monkeypatch.setattr(app, "bell", lambda: bells.append(1))
    monkeypatch.setattr(app, "_write", sent.append)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until_shown(pilot, "● generate")
        assert bells == [], "what was before this screen is not news"
        run.feed(e.GenerationPaused(reason="quota", kind="quota", until=None))
        await until(pilot, lambda: len(bells) == 1)
        assert sent == []
        run.feed(*training(), step(24), *ended())
        await until(pilot, lambda: sent == ["\x1b]9;hegelion debate-lab: The run is done.\x07"])
        assert len(bells) == 2


async def test_a_silent_teacher_is_told_once(run: FakeOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "LISTEN_EVERY", 0.01)
    write_settings(run, "[console]\nteacher_silent = 'bell'\n")
    run.feed(*generating(), e.SampleRequested(instance=2, prompt_id="p"))
    app = ConsoleApp(run, clock=run.clock)
    bells: list[int] = []
    monkeypatch.setattr(app, "bell", lambda: bells.append(1))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        run.feed(e.NoticePosted(text="x"), seconds=149)
        heard = app_module.SilencesHeard
        seen: list[object] = []
        monkeypatch.setattr(app, "post_message", _noting(app, heard, seen))
        await until(pilot, lambda: len(seen) > 2)
        assert bells == []
        run.feed(e.NoticePosted(text="y"), seconds=3)
        await until_shown(pilot, "A teacher is silent", "Generator 2 has heard nothing from the teacher")
        seen.clear()
        await until(pilot, lambda: len(seen) > 2)
        assert bells == [1]


def _noting(app: ConsoleApp, kind: type[object], seen: list[object]) -> object:
    post = app.post_message

    def note(message: object) -> bool:
        if isinstance(message, kind):
            seen.append(message)
        return post(message)  # type: ignore[arg-type]

    return note


async def test_texts_name_the_keys_that_do_it_now(run: FakeOperations) -> None:
    write_settings(
        run, "[keys]\nrun_all = 'f5'\ngenerate = 'G'\nstop = 'y'\ntrain = 'z'\nmaximise = 'Z'\nshow_samples = 'A'\n"
    )
    app = ConsoleApp(run, clock=run.clock)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        # G goes to a log's end, and y copies from it: they cannot be given away.
        await until_shown(pilot, "Nothing yet. f5 runs every stage, g only generates.")
        await pilot.press("s")
        await until_shown(pilot, "Nothing is running.", "f5 runs every stage, g generates.")
        run.feed(*generating(), *answered(20), *training(), step(24), *ended())
        await until_shown(pilot, "✓ Done", "A          look through the samples")
        await pilot.press("Z")
        await until(pilot, lambda: app.screen.has_class("-maximised"))


@pytest.mark.parametrize("size", [(60, 20), SMALL, WIDE])
async def test_the_screen_stays_with_a_summary(run: FakeOperations, size: tuple[int, int]) -> None:
    run.feed(*generating(), *answered(20), *training(), step(2))
    app = ConsoleApp(run, clock=run.clock)
    async with app.run_test(size=size, notifications=True) as pilot:
        run.feed(step(24), *ended(), seconds=90)
        text = await until_shown(pilot, "✓ Done", "20 of 20, 100% of the answers accepted")
        await until(pilot, lambda: app.screen.query_one(Deck).active.id == "summary")
        if size == WIDE:
            assert "loss 2.812 → 1.934, whole traces 0% → 50%" in text
            assert "q          leave; everything is on disk" in text
        else:
            await pilot.press("end")
            await until_shown(pilot, "hegelion-console export")
        assert not isinstance(app.screen, Question)
        run.feed(e.WorkRequested(stages=("train",)), e.StageStarted(stage="train"))
        await until(pilot, lambda: "✓ Done" not in text_of(app))
