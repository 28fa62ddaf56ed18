from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic.identity import nfkc, normalise, prompt_id


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(st.characters(codec="utf-8")))
def test_case_of_ascii_and_white_space_make_no_difference(text: str) -> None:
    assert prompt_id(f"  {text}\t\n") == prompt_id(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Is it right?", "is  it\nRIGHT?"), ("ﬁne", "fine"), ("Straße", "STRASSE"), ("a\u00a0b", "a b"), ("①", "1")],
)
def test_equal_prompts(one: str, other: str) -> None:
    assert prompt_id(one) == prompt_id(other)


def test_different_prompts_differ() -> None:
    assert prompt_id("Is it right?") != prompt_id("Is it right")


def test_the_form_of_an_id_is_stable() -> None:
    assert prompt_id("Hello World") == "p-b94d27b9934d3e08"


def test_a_lone_surrogate_has_an_id() -> None:
    assert prompt_id("\ud800").startswith("p-")


def test_a_flood_of_combining_marks_is_cut() -> None:
    flood = "a" + "\u0301\u0316" * 500_000  # sorting these would take the square of their number
    assert len(nfkc(flood)) < 40
    assert normalise(normalise(flood)) == normalise(flood)


@given(st.text(st.sampled_from("aé\u0301\u0316\u0344\u0345 ﬁİ"), min_size=40, max_size=4000))
def test_normalising_texts_of_marks_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
