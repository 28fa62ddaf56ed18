from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from hegelion_tui.widgets.log_view import MAX_LINES, LogView
from hegelion_tui.widgets.pane import TAIL_LINES, LogPane
from tests.tui.screen_text import until


class PaneApp(App[None]):
    """A single pane."""

    CSS = "LogView { height: 1fr; } LogPane { border: round white; }"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def compose(self) -> ComposeResult:
        yield LogPane("generator 1", self._path, "generator-1", "Nothing yet.")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "generator_1.log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    return path


@pytest.fixture
async def pilot(log: Path) -> AsyncIterator[Pilot[None]]:
    async with PaneApp(log).run_test(size=(60, 20)) as pilot:
        pilot.app.query_one(LogView).focus()
        await pilot.pause()
        yield pilot


def rows(pilot: Pilot[None]) -> list[str]:
    view = pilot.app.query_one(LogView)
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


async def write(pilot: Pilot[None], log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)
    pilot.app.query_one(LogPane).poll()
    await pilot.pause()


async def test_opens_at_the_end_with_the_last_lines(pilot: Pilot[None]) -> None:
    text = pilot.app.query_one(LogView).text.splitlines()
    assert text == [f"line {number}" for number in range(1000 - TAIL_LINES, 1000)]
    assert rows(pilot)[-1] == "line 999"


async def test_follows_what_is_written(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "the newest\nand a par")
    assert rows(pilot)[-1] == "the newest"
    await write(pilot, log, "t\n")
    assert rows(pilot)[-1] == "and a part"


async def test_stands_still_when_scrolled_up_and_counts(pilot: Pilot[None], log: Path) -> None:
    pane = pilot.app.query_one(LogPane)
    await pilot.press("up", "up", "pageup")
    before = rows(pilot)
    await write(pilot, log, "one\n")
    assert pane.border_subtitle == "+1 line, End follows"
    await write(pilot, log, "more\n" * 1311)
    assert rows(pilot) == before
    assert pane.border_subtitle == "+1,312 lines, End follows"
    await pilot.press("end")
    await until(pilot, lambda: pane.border_subtitle is None)
    assert rows(pilot)[-1] == "more"


async def test_stands_still_while_old_lines_are_dropped(pilot: Pilot[None], log: Path) -> None:
    view = pilot.app.query_one(LogView)
    await write(pilot, log, "".join(f"new {number}\n" for number in range(MAX_LINES)))
    await pilot.press("pageup", "pageup")
    before = rows(pilot)
    await write(pilot, log, "later\n" * 500)
    assert rows(pilot) == before
    assert len(view.text.splitlines()) == MAX_LINES


async def test_a_narrower_pane_wraps_and_stays_where_it_was(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "word " * 40 + "end\n")
    assert rows(pilot)[-1].endswith("end")
    await pilot.resize_terminal(30, 20)
    await pilot.pause()
    assert rows(pilot)[-1].endswith("end")
    assert max(len(row) for row in rows(pilot)) <= 28


async def test_hostile_text_is_shown_as_text(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "[bold red]not markup[/] [@click=app.bell]x[/]\n")
    assert rows(pilot)[-1] == "[bold red]not markup[/] [@click=app.bell]x[/]"
    await write(pilot, log, "\x1b]0;title\x07a\x1b[2Jb\x1b[31mred\x1b[0m\x9b1mc\x1b]52;c;aGk=\x1b\\d\x08\n")
    assert rows(pilot)[-1] == "abred1mcd"


async def test_a_progress_bar_shows_its_last_state(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "10%\r50%\r100%\n")
    assert rows(pilot)[-1] == "100%"


async def test_a_log_that_comes_later(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    async with PaneApp(log).run_test(size=(60, 20)) as pilot:
        assert rows(pilot)[0] == "Nothing yet."
        await write(pilot, log, "here\n")
        assert rows(pilot)[0] == "here"


async def test_a_log_that_cannot_be_read_says_so_once(tmp_path: Path) -> None:
    folder = tmp_path / "train.log"
    folder.mkdir()
    async with PaneApp(folder).run_test(size=(60, 20)) as pilot:
        pilot.app.query_one(LogPane).poll()
        await pilot.pause()
        assert pilot.app.query_one(LogView).text == "train.log: cannot be read (Is a directory)."
