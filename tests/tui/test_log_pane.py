from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input

import hegelion_tui
from hegelion_tui.logs.pane import LogPane
from hegelion_tui.logs.view import LogView
from hegelion_tui.logs.window import MAX_LINES
from tests.tui.screen_text import until


class PaneApp(App[None]):
    """A single pane."""

    CSS_PATH = Path(hegelion_tui.__file__).parent / "hegelion.tcss"

    def __init__(self, *paths: Path) -> None:
        super().__init__()
        self._paths = paths

    def compose(self) -> ComposeResult:
        yield LogPane("generator 1", self._paths, "generator-1", "Nothing yet.")


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
    return [view.render_line(y).text.rstrip() for y in range(view.scrollable_content_region.height)]


def pane_of(pilot: Pilot[None]) -> LogPane:
    return pilot.app.query_one(LogPane)


def view_of(pilot: Pilot[None]) -> LogView:
    return pilot.app.query_one(LogView)


def subtitle(pilot: Pilot[None]) -> str:
    return str(pane_of(pilot).border_subtitle or "")


def write_log(log: Path, text: str) -> None:
    log.write_text(text)


async def write(pilot: Pilot[None], log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)
    pilot.app.query_one(LogPane).poll()
    await pilot.pause()


async def test_opens_at_the_end(pilot: Pilot[None]) -> None:
    assert view_of(pilot).text.splitlines()[-1] == "line 999"
    assert rows(pilot)[-1] == "line 999"
    assert pane_of(pilot).border_subtitle is None


async def test_follows_what_is_written(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "the newest\nand a par")
    assert rows(pilot)[-2:] == ["the newest", "and a par"]
    await write(pilot, log, "t\n")
    assert rows(pilot)[-2:] == ["the newest", "and a part"]


async def test_stands_still_when_scrolled_up_and_counts(pilot: Pilot[None], log: Path) -> None:
    pane = pilot.app.query_one(LogPane)
    await pilot.press("up", "up", "pageup")
    before = rows(pilot)
    await write(pilot, log, "one\n")
    assert subtitle(pilot) == "96% · +1 line, End follows"
    await write(pilot, log, "more\n" * 1311)
    assert rows(pilot) == before
    assert subtitle(pilot).endswith("+1,312 lines, End follows")
    await pilot.press("end")
    await until(pilot, lambda: pane.border_subtitle is None)
    assert rows(pilot)[-1] == "more"


async def test_stands_still_whatever_is_written_and_read(pilot: Pilot[None], log: Path) -> None:
    view = view_of(pilot)
    await write(pilot, log, "".join(f"new {number}\n" for number in range(MAX_LINES)))
    await pilot.press(*["pageup"] * 30)
    before = rows(pilot)
    for _ in range(5):
        await write(pilot, log, "later\n" * 5000)
        assert rows(pilot) == before
        assert len(view.window.entries) <= MAX_LINES
    assert "+25,000 lines, End follows" in subtitle(pilot)


async def test_every_line_of_the_file_can_be_reached_by_keys(log: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(3000))
    write_log(log, text)
    async with PaneApp(log).run_test(size=(60, 102)) as pilot:
        view = view_of(pilot)
        view.focus()
        await until(pilot, lambda: rows(pilot)[-1] == "line 2999")
        seen = set(rows(pilot))
        while rows(pilot)[0] != "line 0":
            await pilot.press("pageup")
            seen.update(rows(pilot))
            assert len(view.window.entries) <= MAX_LINES
        assert seen == set(text.splitlines())
        assert subtitle(pilot) == "0% · End follows"
        while rows(pilot)[-1] != "line 2999":
            await pilot.press("pagedown")
            seen.difference_update(rows(pilot))
        await until(pilot, lambda: subtitle(pilot) == "")
        assert seen <= set(text.splitlines()[:100])
        await pilot.press("home")
        assert rows(pilot)[0] == "line 0"
        await pilot.press("end")
        assert rows(pilot)[-1] == "line 2999"
        await write(pilot, log, "followed\n")
        assert rows(pilot)[-1] == "followed"


async def test_a_flood_shows_its_end_and_nothing_is_lost_on_the_way(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "".join(f"flood {number}\n" for number in range(60_000)))
    assert rows(pilot)[-1] == "flood 59999"
    await pilot.press(*["pageup"] * 40)
    numbers = [int(row.split()[1]) for row in rows(pilot)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_a_log_that_is_cut_is_read_anew(pilot: Pilot[None], log: Path) -> None:
    await pilot.press("pageup")
    write_log(log, "begun again\n")
    await write(pilot, log, "and on\n")
    assert rows(pilot)[:2] == ["begun again", "and on"]


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


async def test_a_log_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "train.log"
    folder.mkdir()
    async with PaneApp(folder).run_test(size=(60, 20)) as pilot:
        pane_of(pilot).poll()
        await pilot.pause()
        assert rows(pilot)[0] == "train.log: cannot be read (Is a directory)."


async def search(pilot: Pilot[None], pattern: str, key: str = "slash") -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.focused, Input))
    await pilot.press(*pattern, "enter")
    await pilot.pause()


async def test_a_log_that_rushes_by_is_looked_at_less_often_until_it_rests(pilot: Pilot[None], log: Path) -> None:
    pane, view = pane_of(pilot), view_of(pilot)
    pane.poll()
    rushing = [view.rushing]
    with log.open("a") as file:
        file.write("more than anyone can read\n" * 1000)
    pane.poll()
    rushing.append(view.rushing)
    pane.poll()
    rushing.append(view.rushing)
    assert rushing == [False, True, False]
    with log.open("a") as file:
        file.write("the last line\n")
    await until(pilot, lambda: rows(pilot)[-1] == "the last line")


async def test_keys_that_scroll_are_letters_in_the_prompt(pilot: Pilot[None]) -> None:
    shown = rows(pilot)
    await search(pilot, "jkbG")
    assert pane_of(pilot).query_one(Input).value == "jkbG"
    await until(pilot, lambda: "no match" in subtitle(pilot))
    assert rows(pilot) == shown
    await pilot.press("k", "up", "b", "pageup")
    await until(pilot, lambda: rows(pilot)[0] < shown[0])


async def test_search_goes_to_the_nearest_match_and_on_and_back(pilot: Pilot[None]) -> None:
    await search(pilot, "9[05]5$")
    await until(pilot, lambda: subtitle(pilot).startswith("/ 2 of 2"))
    assert "line 955" in rows(pilot)
    await pilot.press("N")
    await until(pilot, lambda: subtitle(pilot).startswith("/ 1 of 2"))
    assert "line 905" in rows(pilot)
    await pilot.press("n")
    await until(pilot, lambda: subtitle(pilot).startswith("/ 2 of 2"))
    await pilot.press("n")
    await until(pilot, lambda: subtitle(pilot).startswith("/ 1 of 2"))


async def test_a_search_counts_the_whole_file_and_what_is_added(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "".join(f"needle {number}{' and hay' * 12}\n" for number in range(4_000)))
    await search(pilot, "needle 7 |LINE 7 ")
    await until(pilot, lambda: "1 of 1" in subtitle(pilot))
    await search(pilot, "needle")
    await until(pilot, lambda: " of 4,000" in subtitle(pilot))
    await write(pilot, log, "one more needle\n")
    await until(pilot, lambda: " of 4,001" in subtitle(pilot))


async def test_matches_are_marked_and_the_current_one_otherwise(pilot: Pilot[None]) -> None:
    await search(pilot, "9")
    await until(pilot, lambda: " of 300" in subtitle(pilot))
    view = view_of(pilot)
    styles = [
        {str(segment.style.underline) + str(segment.style.reverse) for segment in view.render_line(y) if segment.style}
        for y in range(view.size.height)
    ]
    assert any("NoneTrue" in found or "FalseTrue" in found for found in styles), "the current match is reversed"
    assert any("TrueNone" in found or "TrueFalse" in found for found in styles), "others are underlined"


async def test_a_bad_pattern_says_so_and_can_be_mended(pilot: Pilot[None]) -> None:
    await search(pilot, "line (9")
    assert subtitle(pilot).startswith("bad pattern: missing )")
    await pilot.press(")", "enter")
    await until(pilot, lambda: "of 111" in subtitle(pilot))
    await search(pilot, "nowhere")
    await until(pilot, lambda: subtitle(pilot) == "no match for nowhere")


async def test_escape_undoes_one_thing_at_a_time(pilot: Pilot[None]) -> None:
    await search(pilot, "1$", key="f")
    await search(pilot, "line")
    await until(pilot, lambda: " of 100" in subtitle(pilot))
    await pilot.press("slash", "x", "escape")
    assert view_of(pilot).pattern is not None
    await pilot.press("shift+up")
    assert pilot.app.screen.selections
    await pilot.press("escape")
    assert not pilot.app.screen.selections
    await pilot.press("escape")
    assert view_of(pilot).pattern is None
    assert "1$" in str(pane_of(pilot).border_title)
    await pilot.press("escape")
    await pilot.pause()
    assert str(pane_of(pilot).border_title) == "generator 1"
    assert "line 998" in rows(pilot)


async def test_a_filter_shows_what_matches_in_the_whole_file_and_follows(pilot: Pilot[None], log: Path) -> None:
    await search(pilot, "[0]0$", key="f")
    await until(pilot, lambda: [row for row in rows(pilot) if row] == [f"line {n}" for n in range(100, 1000, 100)])
    assert "& [0]0$ · generator 1" in Content.from_markup(str(pane_of(pilot).border_title)).plain
    await write(pilot, log, "not this one\nbut this: 00\n")
    assert [row for row in rows(pilot) if row][-1] == "but this: 00"


async def test_a_filter_finds_a_rare_line_far_away(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, ("haystack " * 12 + "\n") * 8_000)
    await search(pilot, "line 7$", key="ampersand")
    await until(pilot, lambda: rows(pilot)[0] == "line 7")
    await write(pilot, log, "line 7\n")
    assert rows(pilot)[:2] == ["line 7", "line 7"]


async def test_wrap_off_scrolls_sideways(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "begin " + "x" * 100 + " the end\n")
    height = len(view_of(pilot).window.rows)
    await pilot.press("w")
    await pilot.pause()
    assert len(view_of(pilot).window.rows) == height - 2
    assert rows(pilot)[-1].startswith("begin x")
    await search(pilot, "the end")
    await until(pilot, lambda: "the end" in rows(pilot)[-1])
    await pilot.press("w")
    await pilot.pause()
    assert rows(pilot)[-1].endswith("end")


async def test_lines_are_selected_and_copied_by_keys(pilot: Pilot[None]) -> None:
    await pilot.press("shift+up", "shift+up", "y")
    assert pilot.app.clipboard == "line 998\nline 999"
    await pilot.press("escape", "y")
    assert pilot.app.clipboard.split("\n") == rows(pilot)


async def test_text_is_selected_by_mouse_also_while_the_log_moves(pilot: Pilot[None], log: Path) -> None:
    view = view_of(pilot)
    await pilot.mouse_down(view, offset=(2, 3))
    await pilot.hover(view, offset=(5, 5))
    await pilot.mouse_up(view, offset=(5, 5))
    chosen = rows(pilot)[3:6]
    expected = "\n".join([chosen[0][2:], chosen[1], chosen[2][:6]])
    assert pilot.app.screen.get_selected_text() == expected
    await write(pilot, log, "more\n" * 5000)
    assert pilot.app.screen.get_selected_text() == expected, "read from the file, long after it left the memory"


async def test_a_cut_line_is_copied_whole(pilot: Pilot[None], log: Path) -> None:
    await write(pilot, log, "x" * 30_000 + "\n")
    await pilot.press("shift+up", "y")
    assert pilot.app.clipboard == "x" * 30_000


async def test_logs_are_merged_by_time_with_a_label_each(tmp_path: Path) -> None:
    paths = [tmp_path / f"generator_{number}.log" for number in (1, 2, 3)]
    for number, path in enumerate(paths):
        path.write_text("".join(f"10:{minute:02}:0{number} from {number + 1}\n" for minute in range(60)))
    async with PaneApp(*paths).run_test(size=(60, 20)) as pilot:
        await until(pilot, lambda: rows(pilot)[-1] == "3│ 10:59:02 from 3")
        assert rows(pilot)[-3:-1] == ["1│ 10:59:00 from 1", "2│ 10:59:01 from 2"]
        await write(pilot, paths[0], "11:00:00 new\n")
        assert rows(pilot)[-1] == "1│ 11:00:00 new"
        view_of(pilot).focus()
        await search(pilot, "10:30")
        await until(pilot, lambda: "/ 3 of 3" in subtitle(pilot))
        await pilot.press("N", "N")
        await until(pilot, lambda: "/ 1 of 3" in subtitle(pilot))
        await pilot.press("home")
        assert rows(pilot)[:3] == ["1│ 10:00:00 from 1", "2│ 10:00:01 from 2", "3│ 10:00:02 from 3"]
        await pilot.press("shift+down", "shift+down", "y")
        assert pilot.app.clipboard == "10:00:00 from 1\n10:00:01 from 2"


async def test_a_pane_may_go_while_its_log_is_searched(log: Path) -> None:
    write_log(log, "needle in a haystack\n" * 400_000)
    async with PaneApp(log).run_test(size=(60, 20)) as pilot:
        view_of(pilot).focus()
        await search(pilot, "ne+dle")
        pane = pane_of(pilot)
        assert not subtitle(pilot).endswith("of 400,000")
        await pane.remove()
        await pilot.app.workers.wait_for_complete()
