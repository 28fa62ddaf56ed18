from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.errors import UserError
from hegelion_core.gpu import Gpu
from hegelion_core.pressure import Level, Pressure
from hegelion_core.workspace import Workspace
from hegelion_tui.actions import ACTIONS, CHART_ACTIONS, LOG_ACTIONS
from hegelion_tui.app import ConsoleApp, PressureRead
from hegelion_tui.logs.pane import LogPane
from hegelion_tui.logs.view import LogView
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.main import MainScreen
from hegelion_tui.screens.question import Question
from hegelion_tui.widgets.chart import ChartPane
from hegelion_tui.widgets.deck import Deck
from hegelion_tui.widgets.key_bar import KeyBar
from tests.tui.fake_operations import FakeOperations, answered, ended, generating, opened, step, training
from tests.tui.screen_text import text_of, until, until_shown

WIDE = (160, 50)
SMALL = (80, 24)


@pytest.fixture
def run(tmp_path: Path) -> FakeOperations:
    root = tmp_path / "debate-lab"
    root.mkdir()
    operations = FakeOperations(Workspace(root))
    operations.feed(*opened())
    return operations


def console(run: FakeOperations) -> ConsoleApp:
    return ConsoleApp(run, clock=run.clock)


def generators(app: ConsoleApp) -> list[LogPane]:
    return list(app.screen.query("#generators LogPane").results(LogPane))


@pytest.mark.parametrize(
    ("key", "request_"),
    [
        ("r", ("start", "check", "generate", "convert", "train", "evaluate")),
        ("g", ("start", "generate")),
        ("c", ("start", "convert")),
        ("t", ("start", "train")),
        ("e", ("start", "evaluate")),
        ("plus", ("scale_by", 1)),
        ("minus", ("scale_by", -1)),
    ],
)
async def test_keys_ask_the_core(run: FakeOperations, key: str, request_: tuple[object, ...]) -> None:
    run.feed(*generating(2))
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: run.asked == [request_])


def test_every_action_of_the_table_is_there_once() -> None:
    for action in ACTIONS:
        assert callable(getattr(MainScreen, f"action_{action.name}"))
    for action in LOG_ACTIONS:
        assert callable(getattr(LogPane, f"action_{action.name}"))
    keys = [key for action in (*ACTIONS, *LOG_ACTIONS) for key in action.keys.split(",")]
    keys += [key for binding in LogView.BINDINGS if isinstance(binding, tuple) for key in binding[0].split(",")]
    assert len(keys) == len(set(keys))
    ranks = [action.rank for action in ACTIONS if action.rank]
    assert sorted(ranks) == list(range(1, len(ranks) + 1))


async def test_what_cannot_be_done_now_says_why(run: FakeOperations) -> None:
    run.refuses = UserError("The run is at work ([b]generate[/b]).", "Stop it first, or wait.")
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("t")
        await until_shown(pilot, "The run is at work ([b]generate[/b]).", "Stop it first, or wait.")


async def test_progress_tells_share_rate_and_time_left(run: FakeOperations) -> None:
    run.feed(*generating())
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        run.feed(*answered(5), seconds=300)
        run.feed(e.SampleRejected(instance=2, prompt_id="p", reason="no antithesis"))
        text = await until_shown(pilot, "5 of 20 · 83% accepted · 1.0/min · 15m 00s left")
        assert "5 accepted" in text
        assert "generator 2 · rejected: no antithesis 0s ago · 1 rejected" in text


async def test_header_names_project_teacher_student_and_core(run: FakeOperations) -> None:
    run.feed(*generating())
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        text = await until_shown(pilot, "debate-lab")
        assert "kimi-cli 1.52 → DeepSeek-R1-Distill-Qwen-1.5B" in text
        assert "20251122-162200-run-all-1a2b3c4d   core 4242" in text


async def test_stages_are_told_by_glyph_and_word(run: FakeOperations) -> None:
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "○ check  waiting", "○ evaluate  waiting")
        run.feed(*generating(), seconds=3)
        await until_shown(pilot, "✓ check  done", "● generate  running", "9 checks passed")
        run.feed(e.StageFailed(stage="generate", message="The quota is used up.", hint="Wait.", exit_code=75))
        run.feed(e.RunEnded(exit_code=75))
        await until_shown(pilot, "✗ generate  failed", "The quota is used up. Wait.")


async def test_panes_follow_the_number_of_instances(run: FakeOperations) -> None:
    run.feed(*generating(1))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        run.feed(e.InstancesScaled(count=3))
        await until(pilot, lambda: len(generators(app)) == 3)
        run.feed(e.SampleRequested(instance=3, prompt_id="p"), e.InstancesScaled(count=1))
        await until(pilot, lambda: app._main.state.wanted_instances == 1)
        assert len(generators(app)) == 3, "an instance that still waits for an answer keeps its pane"
        run.feed(e.SampleRejected(instance=3, prompt_id="p", reason="cut off"))
        await until(pilot, lambda: len(generators(app)) == 1)


async def test_one_pane_at_a_time_where_there_is_little_room(run: FakeOperations) -> None:
    run.feed(*generating(2))
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until_shown(pilot, " generator 1  generator 2  training  chart", "╭─ generator 1 ")
        await pilot.press("tab")
        assert "╭─ generator 1 " not in await until_shown(pilot, "╭─ generator 2 ")
        await pilot.press("shift+tab", "shift+tab")
        await until_shown(pilot, "No step yet.")
        await pilot.click("#tabs Tab:first-of-type")
        await until_shown(pilot, "╭─ generator 1 ")


async def test_maximise_gives_the_focused_pane_the_screen_and_back(run: FakeOperations) -> None:
    run.feed(*generating(2))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "╭─ generator 2 ", "╭─ training ")
        await pilot.press("tab", "m")
        await until(pilot, lambda: "╭─ training " not in text_of(app))
        assert app.screen.query_one("#generator-2").size.width > 150
        await pilot.press("m")
        await until_shown(pilot, "╭─ training ")


def write_logs(run: FakeOperations, count: int) -> None:
    run.place.logs.mkdir(parents=True)
    for number in range(1, count + 1):
        run.place.generator_log(number).write_text(f"10:00:0{number} from {number}\n10:01:0{number} again {number}\n")


async def test_the_generators_logs_are_merged_and_apart_again(run: FakeOperations) -> None:
    write_logs(run, 3)
    run.feed(*generating(2))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "10:01:02 again 2")
        await pilot.press("i")
        text = await until_shown(pilot, "generators 1 to 2, by time", "2│ 10:01:02 again 2")
        assert text.index("2│ 10:00:02 from 2") < text.index("1│ 10:01:01 again 1")
        await until(pilot, lambda: app.focused is app.screen.query_one("#merged LogView"))
        run.feed(e.InstancesScaled(count=3))
        await until_shown(pilot, "generators 1 to 3, by time", "3│ 10:01:03 again 3")
        await pilot.press("i")
        await until(pilot, lambda: "│ 10:01:03 again 3" in text_of(app) and "by time" not in text_of(app))


@pytest.mark.parametrize("size", [SMALL, WIDE, (60, 20)])
async def test_two_panes_beside_each_other(run: FakeOperations, size: tuple[int, int]) -> None:
    write_logs(run, 2)
    run.feed(*generating(2))
    app = console(run)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until_shown(pilot, "10:01:01 again 1")
        await pilot.press("tab", "tab", "vertical_line")
        shown = ("╭─ generator 2 ", "╭─ training ")
        await until_shown(pilot, *shown)
        first, second = (app.screen.query_one(name) for name in ("#generator-2", "#train"))
        await until(pilot, lambda: 0 < first.region.right <= second.region.x and first.region.y == second.region.y)
        assert abs(first.region.width - second.region.width) <= 1
        assert not app.screen.query_one("#generator-1").region
        await pilot.press("vertical_line")
        await until(pilot, lambda: all(text in text_of(app) for text in shown) == (size == WIDE))


async def test_keys_of_a_log_work_in_the_pane_that_has_the_keyboard(run: FakeOperations) -> None:
    write_logs(run, 2)
    run.feed(*generating(2))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "10:01:02 again 2")
        await pilot.press("tab", "slash", *"grete", "enter")
        await until_shown(pilot, "no match for grete")
        assert run.asked == [], "what is typed into the prompt starts nothing"


async def test_chart_draws_loss_and_turns_to_the_next_metric(run: FakeOperations) -> None:
    run.feed(*generating(), *training())
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        for number in range(2, 14, 2):
            run.feed(step(number), seconds=2)
        run.feed(e.ValidationReported(step=6, loss=2.5), e.ValidationReported(step=12, loss=2.25))
        text = await until_shown(pilot, "training 1.75", "validation 2.25", "◆", "step 12 of 24 · loss 1.750")
        assert any(0x2800 < ord(c) <= 0x28FF for c in text), "the line is drawn in braille"
        assert "12s left" in text
        await pilot.press("x")
        await until_shown(pilot, "S (%)", "S 2.5", "target 2")
        chart = app.screen.query_one(ChartPane)
        for _ in range(4):
            chart.next_metric()
        assert chart.metric.name == "loss"


async def test_summary_says_what_was_made_and_what_next(run: FakeOperations) -> None:
    run.feed(*generating(), *training(), step(24))
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        run.feed(*ended())
        text = await until_shown(pilot, "✓ Done.", "artifacts/adapters/hegelion_1.5b_v1")
        assert "loss 2.812 → 1.934, whole traces 0% → 50%" in text
        assert app.screen.query_one(Deck).active.id == "summary"
        run.feed(e.WorkRequested(stages=("train",)), e.StageStarted(stage="train"))
        await until(pilot, lambda: "summary" not in text_of(app))


async def test_a_click_chooses_a_pane(run: FakeOperations) -> None:
    run.feed(*generating(2))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        first, second = (app.screen.query_one(f"#generator-{number}") for number in (1, 2))
        await until(pilot, lambda: 0 < first.region.right == second.region.x)
        await pilot.click("#generator-2")
        await until(pilot, lambda: app.focused is app.screen.query_one("#generator-2 LogView"))
        run.feed(*training())
        await until_shown(pilot, "● train")
        assert app.screen.query_one(Deck).active.id == "generator-2"


async def test_a_console_that_comes_later_shows_where_the_run_is(run: FakeOperations) -> None:
    run.feed(*generating(3), *answered(20), *training(), step(12), e.ValidationReported(step=12, loss=2.5))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "20 of 20", "step 12 of 24", "training 1.75", "generator 3")
        await until(pilot, lambda: app.focused is app.screen.query_one("#train LogView"))


async def test_a_chosen_pane_is_not_taken_away(run: FakeOperations) -> None:
    run.feed(*generating(2))
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("tab")
        run.feed(*training())
        await until_shown(pilot, "● train")
        assert app.screen.query_one(Deck).active.id == "generator-2"


async def test_quit_leaves_at_once_when_nothing_is_under_way(run: FakeOperations) -> None:
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("q")
        await until(pilot, lambda: app.return_value == 0)
    assert run.asked == []


@pytest.mark.parametrize(("key", "asked"), [("k", []), ("enter", []), ("s", [("stop",)])])
async def test_quit_asks_while_work_is_under_way(run: FakeOperations, key: str, asked: list[tuple[object]]) -> None:
    run.feed(*generating())
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("q")
        await until_shown(pilot, "k Keep running", "s Stop and quit", "esc Cancel")
        await pilot.press(key)
        await until(pilot, lambda: app.return_value == 0)
    assert run.asked == asked


async def test_quit_can_be_taken_back(run: FakeOperations) -> None:
    run.feed(*generating())
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("q")
        await until_shown(pilot, "esc Cancel")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Question))
        assert app.return_value is None


async def test_ctrl_c_asks_and_the_second_time_leaves_without_stopping(run: FakeOperations) -> None:
    run.feed(*generating())
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("ctrl+c")
        await until_shown(pilot, "k Keep running")
        await pilot.press("ctrl+c")
        await until(pilot, lambda: app.return_value == 0)
    assert run.asked == []


async def test_stop_asks_first(run: FakeOperations) -> None:
    run.feed(*generating())
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("s")
        await until_shown(pilot, "Stop the run?")
        await pilot.press("s")
        await until(pilot, lambda: run.asked == [("stop",)])


async def test_stop_without_work_says_so(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("s")
        await until_shown(pilot, "Nothing is running.")
        assert run.asked == []


async def test_instances_change_only_while_something_is_generated(run: FakeOperations) -> None:
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.press("plus")
        await until_shown(pilot, "Nothing is being generated.")
        assert run.asked == []


async def test_when_the_core_is_gone_the_screen_stays_and_says_so(run: FakeOperations) -> None:
    run.feed(*generating(), *answered(3))
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        run.end()
        await until_shown(pilot, "The core has ended, while work was under way.", "■ generate", "3 of 20")
        await pilot.press("q")
        await until(pilot, lambda: app.return_value == 0)


async def test_a_wait_for_quota_is_told_with_its_end(run: FakeOperations) -> None:
    run.feed(*generating())
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        run.feed(e.GenerationPaused(reason="quota", until=run.now + 600))
        await until_shown(pilot, "Waiting: quota.", "in 10m 00s.")
        run.feed(e.GenerationResumed())
        await until(pilot, lambda: "Waiting:" not in text_of(console_of(pilot.app)))


@pytest.mark.parametrize("size", [SMALL, WIDE])
async def test_what_generation_costs_and_how_it_goes_has_a_line(run: FakeOperations, size: tuple[int, int]) -> None:
    run.feed(*generating(4))
    async with console(run).run_test(size=size, notifications=True) as pilot:
        assert "in flight" not in await until_shown(pilot, "first answer awaited")
        run.feed(*answered(3), seconds=60)
        run.feed(e.SampleRejected(instance=2, prompt_id="p", reason="cut_off"), e.PaceChanged(allowed=2, maximum=4))
        run.feed(e.SampleRequested(instance=3, prompt_id="q"))
        await until_shown(pilot, "1 in flight of 2 allowed · rejected 1 cut off · 4 requests")


async def test_a_wait_counts_down_and_says_what_to_do(run: FakeOperations) -> None:
    run.feed(*generating())
    async with console(run).run_test(size=SMALL, notifications=True) as pilot:
        end = run.now + 90
        run.feed(e.GenerationPaused(reason="The provider limits requests", until=end, kind="rate", advice="Use fewer."))
        await until_shown(pilot, "Waiting: The provider limits requests.", "in 1m 30s.", "Use fewer.")
        run.feed(e.NoticePosted(text="half a minute later"), seconds=30)
        await until_shown(pilot, "in 1m 00s.")
        run.feed(e.GenerationResumed())
        await until(pilot, lambda: "Waiting" not in text_of(console_of(pilot.app)))


def console_of(app: object) -> ConsoleApp:
    assert isinstance(app, ConsoleApp)
    return app


async def test_help_is_made_from_the_table(run: FakeOperations) -> None:
    app = console(run)
    async with app.run_test(size=(160, 70), notifications=True) as pilot:
        await pilot.press("question_mark")
        await until_shown(pilot, *(action.help for action in (*ACTIONS, *LOG_ACTIONS, *CHART_ACTIONS)))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen))


async def test_the_palette_does_every_action(run: FakeOperations) -> None:
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        commands = {command.title: command for command in app.get_system_commands(app.screen)}
        table = (*ACTIONS, *LOG_ACTIONS, *CHART_ACTIONS)
        assert set(commands) == {f"{action.label} ({action.shown})" for action in table}
        await pilot.press("ctrl+p")
        await until_shown(pilot, "Search for commands")
        await pilot.press(*"convert")
        await until_shown(pilot, "Turn samples into training rows.")
        await pilot.press("enter")
        await until(pilot, lambda: run.asked == [("start", "convert")])


async def test_keys_at_the_foot_can_be_clicked(run: FakeOperations) -> None:
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        bar = pilot.app.screen.query_one(KeyBar)
        for action, columns in bar.places():
            await pilot.hover(KeyBar, offset=(columns[0] + 1, 0))  # one cell of padding stands before them
            await until(pilot, lambda action=action: (bar.pointed, bar.tooltip) == (action.name, action.help))  # type: ignore[misc]
        await pilot.hover(KeyBar, offset=(next(bar.places())[1].stop + 1, 0))
        await until(pilot, lambda: (bar.pointed, bar.tooltip) == ("", None))
        await pilot.click(KeyBar, offset=(1, 0))
        await until(pilot, lambda: [request[0] for request in run.asked] == ["start"])


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (110, 24), (160, 50), (240, 70)])
async def test_every_size_shows_what_matters(run: FakeOperations, size: tuple[int, int]) -> None:
    run.feed(*generating(5), *answered(2), e.NoticePosted(text="A notice of [b]some[/b] length. " * 9))
    async with console(run).run_test(size=size, notifications=True) as pilot:
        text = await until_shown(pilot, "hegelion", "generate", "2 of 20", "generator 1", "memory", "q Quit")
        assert "A notice of [b]some[/b] length." in text
        assert all(len(row) <= size[0] for row in text.splitlines())


async def test_a_terminal_that_is_too_small_says_so_and_stays_alive(run: FakeOperations) -> None:
    async with console(run).run_test(size=(30, 8)) as pilot:
        await until_shown(pilot, "This needs 40 x 12 cells.")
        run.feed(*generating(), *answered(1))
        await pilot.resize_terminal(*SMALL)
        await until_shown(pilot, "1 of 20")


async def test_no_colour(run: FakeOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    run.feed(*generating())
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until_shown(pilot, "● generate")
        assert app.no_color


@pytest.mark.parametrize(
    ("term", "colours", "theme"),
    [
        ("xterm", "", "hegelion-terminal"),
        ("xterm", "truecolor", "hegelion-dark"),
        ("xterm-256color", "", "hegelion-dark"),
        ("", "", "hegelion-dark"),
    ],
)
def test_a_terminal_of_few_colours_keeps_its_own(
    run: FakeOperations, monkeypatch: pytest.MonkeyPatch, term: str, colours: str, theme: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLORTERM", colours)
    assert console(run).theme == theme


async def test_most_of_the_room_is_for_what_has_something_to_show(run: FakeOperations) -> None:
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        above, below = (app.screen.query_one(f"#{name}") for name in ("generators", "below"))
        await until(pilot, lambda: abs(above.size.height - below.size.height) <= 1 < above.size.height)
        run.feed(*generating(2), *answered(1))
        await until(pilot, lambda: above.size.height > 2 * below.size.height)
        run.feed(*training(), step(2))
        await until(pilot, lambda: below.size.height > above.size.height)


@pytest.mark.parametrize("theme", ["hegelion-light", "hegelion-terminal", "textual-light", "nord", "ansi-dark"])
async def test_other_themes(run: FakeOperations, theme: str) -> None:
    run.feed(*generating(), *training(), step(2), step(4))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        app.theme = theme
        await until_shown(pilot, "● train", "training 2.25", "━ training")


@pytest.fixture
def no_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine tells nothing, so that the test's readings stand."""

    def refuse(*_: object, **__: object) -> Pressure:
        raise OSError

    monkeypatch.setattr("hegelion_tui.app.read_pressure", refuse)


def reading(level: Level = "normal", **children: int) -> Pressure:
    gib = 1 << 30
    gpus = (Gpu("NVIDIA", 87.0, 10 * gib, 24 * gib),)
    return Pressure(level, gib, 16 * gib, 0.0, 100.0, 40 * gib, gpus, children)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (SMALL, "memory 15.0 of 16.0 GiB  pressure normal  cpu 100%  gpu 87%  disk 40.0 GiB"),
        (WIDE, "gpu 87%, 10.0 of 24.0 GiB   disk 40.0 GiB free   train 2.0 GiB   stalled 0.0%"),
    ],
)
@pytest.mark.usefixtures("no_readings")
async def test_the_machine_has_a_line(run: FakeOperations, size: tuple[int, int], told: str) -> None:
    app = console(run)
    async with app.run_test(size=size, notifications=True) as pilot:
        app.post_message(PressureRead(reading(train=2 << 30)))
        await until_shown(pilot, told)


@pytest.mark.usefixtures("no_readings")
async def test_short_memory_is_told_once_with_what_to_do(run: FakeOperations) -> None:
    run.feed(*generating(3))
    app = console(run)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        app.post_message(PressureRead(reading("warning")))
        await until_shown(pilot, "Memory is short", "Press - for fewer instances")
        app.clear_notifications()
        app.post_message(PressureRead(reading("warning", train=1 << 30)))
        await until(pilot, lambda: app._main.pressure == reading("warning", train=1 << 30))
        assert "Memory is short" not in text_of(app)
