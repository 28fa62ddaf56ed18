"""Headings: where they are found, and where not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hegelion_core.dialectic import headings
from hegelion_core.dialectic.headings import SECTIONS, Heading


def test_a_heading_knows_its_place() -> None:
    text = "Words.\n# Thesis: one\n| Antithesis | two |\nthree **Synthesis:** four"
    assert headings.headings(text) == [
        Heading("thesis", 7, 17, False),
        Heading("antithesis", 21, 35, True),
        Heading("synthesis", 48, 62, False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Thesis and antithesis both see half of it.",
        "The thesis holds: streets are shared.",
        "These rules are old.",
        "`**THESIS**: x`",
        "a Thesis: x",
        "```\nTHESIS: x\n```",
        "~~~text\n**Thesis:** x\n```\n~~~",
        "1. ```\n   THESIS: x\n   ```",
    ],
)
def test_what_is_no_heading(text: str) -> None:
    assert headings.headings(text) == []


@pytest.mark.parametrize("text", ["```\nTHESIS: x", "````\n```\nTHESIS: x", "```\n```a\nTHESIS: x\n~~~"])
def test_only_closed_fences_hide(text: str) -> None:
    assert [found.section for found in headings.headings(text)] in (["thesis"], [])
    assert [found.section for found in headings.headings("```\nTHESIS: x")] == ["thesis"]


@pytest.mark.parametrize("section", SECTIONS)
def test_the_quick_look_misses_no_word(section: str) -> None:
    @settings(max_examples=300)
    @given(st.from_regex(f"(?i:{headings._WORDS[section]})", fullmatch=True))
    def every_word(word: str) -> None:
        found = headings.headings(f"**{word}**: x")
        assert (headings._AT_LINE.match(f"**{word}**: x") is not None) == bool(found)
        if found:
            assert found[0].section == section
        assert headings._may_begin(word) or not found

    every_word()
