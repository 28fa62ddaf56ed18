"""Words, with case, typography and scripts without spaces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic.words import triples, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP, now!", ["don", "t", "stop", "now"]),
        ("“Don’t” — stop…", ["don", "t", "stop"]),
        ("Über ﬁne Straße", ["über", "fine", "strasse"]),
        ("AI会来。GPT-4", ["ai", "会", "来", "gpt", "4"]),
        ("ｆｕｌｌ", ["full"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(st.characters(codec="ascii")))
def test_the_fast_way_is_the_plain_way(text: str) -> None:
    assert words(text) == re.findall(r"\w+", text.lower())


def test_triples() -> None:
    assert triples(["a", "b", "a", "b", "a"]) == {("a", "b", "a"), ("b", "a", "b")}
    assert triples(["a"]) == {("a",)}
    assert triples([]) == frozenset()
