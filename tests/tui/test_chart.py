from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from hegelion_core import events as e
from hegelion_core.training.metrics import StepMetrics, append_step, cut_back
from hegelion_core.workspace import Workspace
from hegelion_tui.actions import CHART_ACTIONS
from hegelion_tui.app import ConsoleApp
from hegelion_tui.axes import View
from hegelion_tui.screens.choice import Choice
from hegelion_tui.widgets.chart import ChartPane
from hegelion_tui.widgets.deck import Deck
from tests.tui.fake_operations import FakeOperations, answered, generating, opened, step, training
from tests.tui.screen_text import text_of, until, until_shown

WIDE = (160, 50)
EARLIER = "20251120-101010-run-all-0badcafe"


@pytest.fixture
def run(tmp_path: Path) -> FakeOperations:
    operations = FakeOperations(Workspace(tmp_path))
    operations.feed(*opened(), *generating(1), *answered(20), *training(iters=500))
    return operations


def metrics_of(run: FakeOperations, run_id: str = "") -> Path:
    path = run.place.run(run_id or run.state.run_id).metrics
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(path: Path, steps: Iterable[int], loss: Callable[[int], float] = lambda step: 1.0 + 3.0 / step) -> None:
    for number in steps:
        append_step(
            path,
            StepMetrics(
                step=number,
                loss=loss(number),
                data_bpt=2.9,
                param_bpt=0.01,
                s=0.02,
                s_hat=0.02,
                lam=1.0,
                lambda_after=1.5,
                lr=1e-4,
                grad_norm=1.0,
                tokens=100,
                seconds=0.5,
                validation=2.5 if number % 10 == 0 else None,
            ),
        )


def console(run: FakeOperations) -> ConsoleApp:
    return ConsoleApp(run, clock=run.clock)


async def on_the_chart(pilot: Pilot[int]) -> ChartPane:
    pilot.app.screen.query_one(Deck).choose("chart")
    chart = pilot.app.screen.query_one(ChartPane)
    await until(pilot, lambda: chart.has_focus_within)
    return chart


async def test_before_the_first_step_it_says_what_will_come(run: FakeOperations) -> None:
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "No step yet.", "S with its target")


async def test_every_step_of_the_file_is_drawn_and_followed(run: FakeOperations) -> None:
    path = metrics_of(run)
    write(path, range(1, 41))
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        text = await until_shown(
            pilot, "loss (nats per token) · whole run", "training 1.075", "validation 2.5", "━ smoothed"
        )
        assert any(0x2800 < ord(c) <= 0x28FF for c in text), "the line is drawn in braille"
        write(path, [41], loss=lambda _: 0.8125)
        await until_shown(pilot, "training 0.8125")


async def test_training_that_resumes_earlier_is_drawn_anew(run: FakeOperations) -> None:
    path = metrics_of(run)
    write(path, range(1, 41))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "training 1.075")
        cut_back(path, 20)
        write(path, range(21, 23), loss=lambda _: 1.875)
        await until_shown(pilot, "training 1.875")
        assert app.screen.query_one(ChartPane).steps == (1, 22)


async def test_the_loss_before_the_first_step_comes_from_the_events(run: FakeOperations) -> None:
    run.feed(e.ValidationReported(step=0, loss=4.5))
    write(metrics_of(run), range(1, 6))
    app = console(run)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "validation 4.5", "◆")
        assert app.screen.query_one(ChartPane).steps == (0, 5)


async def test_without_a_file_the_reported_steps_are_drawn(run: FakeOperations) -> None:
    run.feed(step(10), step(20), e.ValidationReported(step=20, loss=2.25))
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "training 1.65", "validation 2.25")


async def test_keys_zoom_pan_and_change_the_mode_which_the_title_tells(run: FakeOperations) -> None:
    write(metrics_of(run), range(1, 601))
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        chart = await on_the_chart(pilot)
        await until_shown(pilot, "· whole run", "━ smoothed")
        await pilot.press("right_square_bracket")
        await until_shown(pilot, "· live, last 399 steps", "300")
        await pilot.press("left")
        await until_shown(pilot, "· frozen, 399 steps")
        frozen = chart.view.window(*chart.steps)
        write(metrics_of(run), [601, 602])
        await until(pilot, lambda: chart.steps == (1, 602))
        assert chart.view.window(*chart.steps) == frozen
        await pilot.press("right", "right")
        await until_shown(pilot, "· live, last 399 steps")
        await pilot.press("left_square_bracket")
        await until_shown(pilot, "· whole run")
        for words in ("· live, last 200 steps", "· frozen, 200 steps", "· whole run"):
            await pilot.press("v")
            await until_shown(pilot, words)


async def test_the_wheel_zooms_and_a_click_tells_the_values_of_a_step(run: FakeOperations) -> None:
    write(metrics_of(run), range(1, 601))
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        chart = await on_the_chart(pilot)
        await until_shown(pilot, "· whole run", "━ smoothed")
        await until(pilot, lambda: bool(chart.query("#plot")) and chart.query_one("#plot").size.width > 20)
        await pilot._post_mouse_events([MouseScrollUp], "#plot", offset=(20, 5))
        await until_shown(pilot, "· live, last 399 steps")
        await pilot._post_mouse_events([MouseScrollDown], "#plot", offset=(20, 5))
        await until_shown(pilot, "· whole run")
        await pilot.click("#plot", offset=(30, 5))
        text = await until_shown(pilot, "nats per token, smoothed", "validation at")
        assert chart.cursor is not None
        assert f"step {chart.cursor:,.0f}: " in text
        await pilot.press("escape")
        await until_shown(pilot, "v mode · a smoothing", "x S")


async def test_the_cursor_moves_by_keys(run: FakeOperations) -> None:
    write(metrics_of(run), range(1, 31))
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await on_the_chart(pilot)
        await until_shown(pilot, "━ smoothed")
        await pilot.press("comma", "comma")
        await until_shown(pilot, "step 28: 1.107 nats per token")
        await pilot.press("full_stop")
        await until_shown(pilot, "step 29: ")


async def test_logarithmic_axis_and_smoothing(run: FakeOperations) -> None:
    write(metrics_of(run), range(1, 101), loss=lambda number: 100.0 / number**2)
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await on_the_chart(pilot)
        assert "0.1 ┤" not in await until_shown(pilot, "· smoothed 0.9 ─")
        await pilot.press("l")
        await until_shown(pilot, "· smoothed 0.9 · log", "0.1 ┤", "10 ┤")
        await pilot.press("a")
        await until_shown(pilot, "· smoothed 0.98 · log")
        await pilot.press("a")
        await until(pilot, lambda: "smoothed" not in text_of(console_of(pilot.app)))


async def test_an_earlier_run_is_chosen_from_a_list_and_drawn_under_its_id(run: FakeOperations) -> None:
    write(metrics_of(run), range(1, 11))
    write(metrics_of(run, EARLIER), range(1, 21), loss=lambda _: 3.125)
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        chart = await on_the_chart(pilot)
        await until_shown(pilot, "━ smoothed")
        await pilot.press("o")
        await until_shown(pilot, "Compare with an earlier run", f"{EARLIER}  step 20, loss 3.125")
        await pilot.press("enter")
        await until_shown(pilot, f"━ {EARLIER} 3.125")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("down", "enter")
        await until(pilot, lambda: EARLIER not in text_of(console_of(pilot.app)))
        assert chart.view == View()


async def test_without_an_earlier_run_it_says_so(run: FakeOperations) -> None:
    write(metrics_of(run), range(1, 11))
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await on_the_chart(pilot)
        await pilot.press("o")
        await until_shown(pilot, "No earlier run to compare with.")


async def test_an_earlier_run_can_be_looked_at_before_training_begins(run: FakeOperations) -> None:
    write(metrics_of(run, EARLIER), range(1, 21), loss=lambda _: 3.125)
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await on_the_chart(pilot)
        await pilot.press("o")
        await until_shown(pilot, EARLIER)
        await pilot.press("enter")
        await until_shown(pilot, f"━ {EARLIER} 3.125", "20")


async def test_another_run_begins_with_an_empty_chart(run: FakeOperations) -> None:
    write(metrics_of(run), range(1, 11))
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        chart = await on_the_chart(pilot)
        await until_shown(pilot, "━ smoothed")
        await pilot.press("v")
        run.feed(replace(opened()[0], run_id="another"))
        await until_shown(pilot, "No step yet.")
        assert chart.view == View()


async def test_a_chart_that_cannot_be_seen_is_not_drawn(run: FakeOperations) -> None:
    path = metrics_of(run)
    write(path, range(1, 11))
    async with console(run).run_test(size=(80, 24), notifications=True) as pilot:
        chart = pilot.app.screen.query_one(ChartPane)
        pilot.app.screen.query_one(Deck).choose("train")
        await until(pilot, lambda: not chart.is_on_screen)
        before = chart._drawn_at
        write(path, range(11, 21))
        run.feed(step(20))
        chart.redraw()
        assert chart._drawn_at == before
        await on_the_chart(pilot)
        await until_shown(pilot, "training 1.15")


def test_every_chart_action_is_there() -> None:
    for action in CHART_ACTIONS:
        assert callable(getattr(ChartPane, f"action_{action.name}"))
    keys = [key for action in CHART_ACTIONS for key in action.keys.split(",")]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 50), (240, 70)])
async def test_every_size_shows_a_chart(run: FakeOperations, size: tuple[int, int]) -> None:
    write(metrics_of(run), range(1, 101))
    async with console(run).run_test(size=size, notifications=True) as pilot:
        await on_the_chart(pilot)
        text = await until_shown(pilot, "loss (nats per token)", "━ smoothed", "┤")
        assert all(len(row) <= size[0] for row in text.splitlines())


async def test_no_colour(run: FakeOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    write(metrics_of(run), range(1, 101))
    async with console(run).run_test(size=WIDE, notifications=True) as pilot:
        await until_shown(pilot, "━ smoothed", "┤")


def console_of(app: object) -> ConsoleApp:
    assert isinstance(app, ConsoleApp)
    return app
