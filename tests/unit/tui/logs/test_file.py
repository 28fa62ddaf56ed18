from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_tui.logs.file import BLOCK, LogFile, RawLine
from tests.unit.tui.logs.small_blocks import blocks_of

CONTENT = st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r\n", b"\xc3\xa9", b"x" * 7, b"y" * 20])).map(b"".join)


def lines_by_definition(data: bytes, block: int) -> list[tuple[int, bytes]]:
    """A line ends at its newline, or with a full block that has none."""
    found, start = [], 0
    for position in range(len(data)):
        boundary = (position + 1) % block == 0
        if data[position : position + 1] == b"\n":
            found.append((start, data[start:position]))
            start = position + 1
        elif boundary and b"\n" not in data[position + 1 - block : position + 1]:
            found.append((start, data[start : position + 1]))
            start = position + 1
    return found + ([(start, data[start:])] if start < len(data) else [])


def all_lines(file: LogFile) -> list[RawLine]:
    return [line for block in range(file.blocks) for line in file.lines(block)]


@given(CONTENT, st.integers(1, 9))
def test_blocks_hold_every_line_once_and_in_order(data: bytes, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, blocks_of(size):
        path = Path(folder) / "log"
        path.write_bytes(data)
        file = LogFile(path)
        file.look()
        lines = all_lines(file)
        assert [(line.offset, line.data) for line in lines] == lines_by_definition(data, size)
        assert all(line.whole for line in lines[:-1])
        assert [line.end for line in lines[:-1]] == [line.offset for line in lines[1:]]
        for line in lines:
            assert file.lines(line.offset // size, line.offset)[0] == line


@given(CONTENT, st.integers(1, 9), st.integers(1, 5))
def test_the_last_lines_of_a_block_are_those_of_all(data: bytes, size: int, last: int) -> None:
    with tempfile.TemporaryDirectory() as folder, blocks_of(size):
        path = Path(folder) / "log"
        path.write_bytes(data)
        file = LogFile(path)
        file.look()
        for block in range(file.blocks):
            every, some = file.lines(block), file.lines(block, last=last)
            assert some == every[len(every) - len(some) :]
            assert len(some) >= min(last, len(every))


@given(CONTENT, CONTENT, st.integers(1, 9))
def test_a_whole_line_stays_what_it_is_while_the_file_grows(data: bytes, more: bytes, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, blocks_of(size):
        path = Path(folder) / "log"
        path.write_bytes(data)
        file = LogFile(path)
        file.look()
        before = [line for line in all_lines(file) if line.whole]
        with path.open("ab") as log:
            log.write(more)
        assert not file.look()
        assert all_lines(file)[: len(before)] == before


def test_a_line_of_a_gigabyte_costs_no_more_than_two_blocks(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as log:
        log.write(b"first\n")
        log.truncate(1 << 30)
    file = LogFile(path)
    file.look()
    lines = file.lines(file.blocks - 1)
    assert [len(line.data) for line in lines] == [BLOCK]


def test_a_file_that_was_cut_or_replaced_is_another(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LogFile(path)
    assert not file.look()
    path.write_text("one\ntwo\n")
    assert not file.look()
    path.write_text("1\n")
    assert file.look()
    other = tmp_path / "other"
    other.write_text("something longer\n")
    other.replace(path)
    assert file.look()
    assert not file.look()
    path.unlink()
    assert file.look()
    assert file.read(0, 10) == b""


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        LogFile(tmp_path).look()
