from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hegelion_tui.logs.volume import Entry, Volume, spot_of
from tests.unit.tui.logs.small_blocks import blocks_of

LINES = st.lists(st.tuples(st.integers(0, 40_000), st.sampled_from(["", "a", "needle", "x" * 30, "needle needle"])))
"""Seconds since the line before, and a text."""


def clock(seconds: int) -> str:
    return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def write(folder: str, logs: list[list[tuple[int, str]]]) -> tuple[Volume, list[tuple[int, int, str]]]:
    """Logs with times; the volume, and when, in which file and what was written, in order."""
    paths, expected = [], []
    midnight = datetime(2025, 11, 25).timestamp()
    for number, lines in enumerate(logs):
        steps = [step for step, _ in lines]
        now, texts = 30 * 86_400 - sum(steps[1:]), []
        for index, (step, text) in enumerate(lines):
            now += step if index else 0
            texts.append(f"{clock(now)} {text}\n")
            expected.append((now, number, texts[-1][:-1]))
        path = Path(folder) / f"{number}.log"
        path.write_text("".join(texts))
        os.utime(path, (midnight, midnight))
        paths.append(path)
    volume = Volume(paths)
    volume.look()
    while not volume.learn(1):
        pass
    return volume, [line for _, line in sorted(enumerate(expected), key=lambda pair: (*pair[1][:2], pair[0]))]


def read_forward(volume: Volume, count: int, keep: bool = False) -> list[Entry]:
    found, cursor, more = [], volume.start, True
    while more:
        page = volume.after(cursor, count, has_needle if keep else None, blocks=2)
        found += page.entries
        cursor, more = page.cursor, page.more
    return found


def read_backward(volume: Volume, count: int, keep: bool = False) -> list[Entry]:
    found: list[Entry] = []
    cursor, more = volume.whole_end(), True
    while more:
        page = volume.before(cursor, count, has_needle if keep else None, blocks=2)
        found[:0] = page.entries
        cursor, more = page.cursor, page.more
    return found


def has_needle(text: str) -> bool:
    return "needle" in text


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(1, 5), st.integers(45, 90), st.booleans())
def test_both_ways_lead_through_every_line_once_ordered_by_time(
    logs: list[list[tuple[int, str]]], count: int, size: int, keep: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, blocks_of(size):
        volume, expected = write(folder, logs)
        wanted = [(number, text) for _, number, text in expected if not keep or has_needle(text)]
        for read in (read_forward, read_backward):
            assert [(entry.file, whole(volume, entry)) for entry in read(volume, count, keep)] == wanted


def whole(volume: Volume, entry: Entry) -> str:
    return volume.files[entry.file].read(entry.offset, entry.end - entry.offset).decode().rstrip("\n")


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(50, 90))
def test_a_cursor_parts_what_is_before_from_what_is_after(logs: list[list[tuple[int, str]]], size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, blocks_of(size):
        volume, _ = write(folder, logs)
        entries = read_forward(volume, 7)
        for index, entry in enumerate(entries):
            cursor = volume.at(entry.file, entry.offset)
            assert volume.after(cursor, 1).entries == [entry]
            assert volume.before(cursor, 1).entries == entries[max(0, index - 1) : index]
            assert spot_of(entry.place) == (entry.file, entry.offset)
        assert [entry.place for entry in entries] == sorted(entry.place for entry in entries)


def test_lines_without_a_time_stay_with_the_line_before(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_text("10:00:00 a\n  more of a\n10:00:02 c\n")
    second.write_text("10:00:01 b\n")
    volume = Volume([first, second])
    volume.look()
    assert volume.learn(9)
    texts = [entry.line.plain for entry in read_forward(volume, 10)]
    assert texts == ["10:00:00 a", "  more of a", "10:00:01 b", "10:00:02 c"]


def test_a_line_that_is_being_written_is_shown_if_there_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\n50%\r60%")
    volume = Volume([path])
    volume.look()
    page = volume.after(volume.start, 10)
    assert [(entry.line.plain, entry.whole) for entry in page.entries] == [("one", True), ("60%", False)]
    assert page.cursor == volume.whole_end() == (4,)
    assert not page.more
