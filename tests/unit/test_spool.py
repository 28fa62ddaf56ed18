"""Following files: every whole line once, whatever the chunks."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.spool import MAX_LINE, LineReader, follow

LINES = st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=20), max_size=10)


@given(LINES, st.data())
def test_each_line_comes_once_however_the_bytes_arrive(lines: list[str], data: st.DataObject) -> None:
    whole = "".join(f"{line}\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    seen: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        reader = LineReader(path)
        for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            with path.open("ab") as file:
                file.write(whole[begin:end])
            while batch := reader.read():
                seen += batch
    assert seen == lines


def test_a_long_line_is_capped_and_broken_utf8_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"x" * (MAX_LINE + 10) + b"\n\xff\xfe\n")
    assert LineReader(path).read() == ["x" * MAX_LINE, "��"]


def test_a_file_that_was_cut_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("first line\n")
    reader = LineReader(path)
    assert reader.read() == ["first line"]
    path.write_text("new\n")
    assert reader.read() == ["new"]


async def test_follow_ends_with_the_last_line_even_without_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "out"
    looks = 0

    def ended() -> bool:
        nonlocal looks
        looks += 1
        path.write_text("one\n" if looks == 1 else "one\ntwo\nrest")
        return looks == 2

    batches = [batch async for batch in follow(path, ended, interval=0)]
    assert [line for batch in batches for line in batch] == ["one", "two", "rest"]
