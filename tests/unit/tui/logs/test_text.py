from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from hegelion_tui.logs.text import MAX_SHOWN, WHOLE, disarm, part, wrap

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
    assert str(coloured.spans[0].style) == "bold color(2)"


def test_a_long_line_is_cut_on_the_screen() -> None:
    assert disarm("x" * 10_000).plain == "x" * MAX_SHOWN + "…"


@given(st.text(st.characters(exclude_categories=["C"])), st.integers(2, 40))
def test_rows_are_the_whole_text_in_order_and_fit(text: str, width: int) -> None:
    spans = wrap(text, width)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(cell_len(text[start:end].rstrip(" ")) <= width for start, end in spans)


def test_rows_end_at_words_where_they_can() -> None:
    assert [("one two three four"[a:b]) for a, b in wrap("one two three four", 9)] == ["one two ", "three ", "four"]


@given(st.text(st.characters(exclude_categories=["C"])), st.integers(0, 40), st.integers(1, 40))
def test_a_part_of_a_line_that_is_not_wrapped_fits(text: str, left: int, width: int) -> None:
    pad, start, end = part(text, left, width)
    assert pad in (0, 1)
    assert 0 <= start <= end <= len(text)
    assert pad + cell_len(text[start:end]) <= width
    assert cell_len(text[:start]) == min(left + pad, cell_len(text)) or start == len(text)


def test_what_belongs_together_is_not_parted() -> None:
    family, letter = "\N{MAN}\u200d\N{WOMAN}", "e\N{COMBINING ACUTE ACCENT}"
    text = "x" + family + letter * 3
    assert [text[a:b] for a, b in wrap(text, 3)] == ["x" + family, letter * 3]


def test_wide_characters_take_two_cells() -> None:
    text = "\u4e2d" * 3
    assert [text[a:b] for a, b in wrap(text, 5)] == ["\u4e2d" * 2, "\u4e2d"]
    assert part(text, 1, 4) == (1, 1, 2), "the left edge halves the first, so a space stands there"


def test_tabs_go_to_the_next_multiple_of_eight_cells() -> None:
    assert disarm("a\tb").plain == "a" + " " * 7 + "b"
    assert disarm("\u4e2d\tb").plain == "\u4e2d" + " " * 6 + "b"
    assert disarm("\x1b[31ma\x1b[0m\tb").plain == "a" + " " * 7 + "b"


def test_colours_take_nothing_of_what_is_shown() -> None:
    line = disarm("\x1b[31mx\x1b[0m" * 500, longest=100)
    assert line.plain == "x" * 100 + "…"
    coloured = line.coloured()
    assert coloured is not None
    assert coloured.plain == line.plain


@pytest.mark.parametrize("code", ["5", "6", "8", "0;31;8", "1;5"])
def test_nothing_hides_or_blinks(code: str) -> None:
    coloured = disarm(f"\x1b[{code}msecret\x1b[0m").coloured()
    assert coloured is not None
    style = coloured.get_style_at_offset(Console(), 2)
    assert not style.conceal
    assert not style.blink
    assert not style.blink2


def test_a_whole_line_can_be_had() -> None:
    assert disarm("\t" + "x" * 10_000, WHOLE).plain == " " * 8 + "x" * 10_000
