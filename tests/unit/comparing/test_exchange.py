"""What lies in the files, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.comparing import exchange
from hegelion_core.comparing.exchange import (
    AnyLine,
    Ended,
    Exchange,
    Exchanges,
    Failed,
    Loading,
    Part,
    Question,
    Who,
    take,
)
from hegelion_core.errors import UserError
from tests.fakes.compared import lay_down

QUESTION = Question(text="Is it so?", temperature=0.0, max_new_tokens=9, at=1.7e9)


def part(who: Who, text: str, tokens: int) -> Part:
    return Part(who=who, text=text, tokens=tokens, seconds=tokens / 10)


def ended(who: Who, text: str) -> Ended:
    return Ended(who=who, text=text, tokens=4, seconds=0.4, ending="end", complete_trace=True)


def test_an_exchange_grows_and_ends_with_both_sides() -> None:
    now = Exchange(number=1, question=QUESTION)
    seen: list[str] = []
    lines: list[AnyLine] = [
        Loading(),
        part("base", "Y", 1),
        part("adapter", "N", 1),
        part("base", "es", 2),
        ended("adapter", "No."),
        ended("base", "Yes."),
    ]
    for line in lines:
        now = take(now, line)
        seen.append(f"{now.progress} {now.base.text}|{now.adapter.text}")
    assert seen == [
        "loading |",
        "answering Y|",
        "answering Y|N",
        "answering Yes|N",
        "answering Yes|No.",
        "ended Yes.|No.",
    ]
    assert now.base.tokens_per_second == pytest.approx(10)
    assert take(Exchange(number=1, question=QUESTION), Failed(message="It broke.")).progress == "ended"


def test_faces_read_along_the_newest_first(tmp_path: Path) -> None:
    read = Exchanges(tmp_path / "none")
    assert not read.refresh()
    read = Exchanges(tmp_path)
    lay_down(tmp_path, 1, "One?")
    assert read.refresh()
    assert not read.refresh()
    exchange.write_line(tmp_path, 1, part("base", "Ja\n", 1))
    lay_down(tmp_path, 2, "Two?")
    (tmp_path / "0003").mkdir()  # its question is not written yet
    assert read.refresh()
    assert [(each.number, each.base.text) for each in read.all()] == [(2, ""), (1, "Ja\n")]
    with (tmp_path / "0001" / exchange.ANSWERS).open("ab") as file:
        file.write(b'{"line":"Part","who":\n')  # torn, by a full disk
    exchange.write_line(tmp_path, 1, ended("base", "Ja."))
    lay_down(tmp_path, 4, "Four?")
    assert read.refresh()
    assert [each.number for each in read.all()] == [4, 2, 1]
    assert read.all()[-1].base.text == "Ja."


def test_an_answer_of_any_length_is_read_whole(tmp_path: Path) -> None:
    lay_down(tmp_path, 1, "One?")
    exchange.write_line(tmp_path, 1, ended("base", "word " * 60_000))
    read = Exchanges(tmp_path)
    read.refresh()
    assert len(read.all()[0].base.text) == 300_000


@given(st.text(max_size=60))
def test_what_is_asked_is_clean_or_refused(text: str) -> None:
    try:
        asked = exchange.checked(text, 0.0)
    except UserError:
        return
    assert asked
    assert asked == asked.strip()
    assert "\x1b" not in asked
    asked.encode()


def test_the_longest_question_fits_into_a_line_of_the_socket() -> None:
    for letter in ("\U0001f600", '"', "\\", "\n"):
        asked = exchange.checked("x" + letter * (exchange.MAX_QUESTION - 2) + "x", 0.0)
        assert len(msgspec.json.encode(asked)) < 60_000


@pytest.mark.parametrize(
    ("text", "temperature"), [("", 0.0), (" \n\x1b", 0.0), ("x" * 8_001, 0.0), ("x", -1), ("x", 3)]
)
def test_what_cannot_be_asked_is_said(text: str, temperature: float) -> None:
    with pytest.raises(UserError) as raised:
        exchange.checked(text, temperature)
    assert raised.value.hint
