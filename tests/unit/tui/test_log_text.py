from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hegelion_tui.log_text import MAX_SHOWN, disarm, tail, wrap

HOSTILE = st.text(
    st.sampled_from(list("\x1b[]()0123456789;:?mKHJABP\\\x07\x08\x9b\x9d\x90\r\tx\u202e\u2028 ")) | st.characters()
)


@given(HOSTILE)
def test_nothing_that_steers_a_terminal_is_left(raw: str) -> None:
    line = disarm(raw)
    assert not [c for c in line.plain if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert "\u202e" not in line.plain
    coloured = line.coloured()
    assert coloured is None or coloured.plain == line.plain


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])))
def test_plain_text_stays_as_it_is(raw: str) -> None:
    assert disarm(raw).plain == raw[:MAX_SHOWN]


def test_colours_stay_and_links_go() -> None:
    line = disarm("\x1b[1;32mok\x1b[0m \x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\")
    assert line.plain == "ok link"
    coloured = line.coloured()
    assert coloured is not None
    assert [str(span.style) for span in coloured.spans] == ["bold color(2)"]


def test_a_long_line_is_cut_on_the_screen() -> None:
    assert disarm("x" * 10_000).plain == "x" * MAX_SHOWN + "…"


@given(st.text(st.characters(exclude_categories=["C"])), st.integers(2, 40))
def test_rows_are_the_whole_text_in_order_and_fit(text: str, width: int) -> None:
    spans = wrap(text, width)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(cell_len(text[start:end].rstrip(" ")) <= width for start, end in spans)


def test_rows_end_at_words_where_they_can() -> None:
    assert [("one two three four"[a:b]) for a, b in wrap("one two three four", 9)] == ["one two ", "three ", "four"]


@pytest.mark.parametrize(
    ("content", "lines", "expected"),
    [
        ("a\nb\nc\n", 2, ["b", "c"]),
        ("a\nb\nc", 2, ["b"]),
        ("a\nb\n", 5, ["a", "b"]),
        ("", 3, []),
        ("\n\n\n", 2, ["", ""]),
    ],
)
def test_tail_begins_at_the_last_lines(tmp_path: Path, content: str, lines: int, expected: list[str]) -> None:
    path = tmp_path / "log"
    path.write_text(content)
    assert tail(path, lines).read() == expected


def test_tail_of_a_huge_file_begins_at_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("first " + "x" * 200_000 + "\n" + "y" * 100_000 + "\nlast\n")
    assert tail(path, 200).read() == ["y" * 65_536, "last"]
    path.write_text("x" * 300_000)
    assert tail(path, 200).read() == []


def test_tail_of_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "not there", 10).read() == []
