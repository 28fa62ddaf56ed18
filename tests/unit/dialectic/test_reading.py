from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic.reading import parts_so_far

WHOLE = (
    "<thought>\n**THESIS**: Cars free us.\n**ANTITHESIS**: They kill.\n**SYNTHESIS**: Fewer.\n</thought>\nKeep some."
)
PARTS = [("Thesis", "Cars free us."), ("Antithesis", "They kill."), ("Synthesis", "Fewer."), ("Answer", "Keep some.")]


def test_a_whole_answer_has_its_four_parts() -> None:
    assert parts_so_far(WHOLE) == PARTS
    assert parts_so_far(WHOLE.replace("thought>", "think>")) == PARTS


def test_an_answer_that_grows_shows_what_is_there() -> None:
    assert parts_so_far("") == []
    assert parts_so_far("<thought>\n**THES")[-1] == ("Thought", "**THES")
    assert parts_so_far("<thought>\n**THESIS**: Cars") == [("Thesis", "Cars")]
    assert parts_so_far("<think>\nLet me see.\n**ANTITHESIS**: They") == [
        ("Thought", "Let me see."),
        ("Antithesis", "They"),
    ]
    assert parts_so_far(WHOLE[: WHOLE.index("Keep")]) == PARTS[:3]


def test_what_is_no_trace_is_shown_all_the_same() -> None:
    assert parts_so_far("Just words.") == [("", "Just words.")]
    assert parts_so_far("Well. <thought>\nHm.\n</thought>\nYes.") == [
        ("", "Well."),
        ("Thought", "Hm."),
        ("Answer", "Yes."),
    ]
    assert parts_so_far("**SYNTHESIS**: Late.\n**THESIS**: Early.") == [("Synthesis", "Late."), ("Thesis", "Early.")]


@given(st.lists(st.sampled_from(["one ", "two\n", "three: ", "<thought>", "</thought>", "\n**THESIS**: ", "\n"])))
def test_every_word_is_shown_once_and_in_order(pieces: list[str]) -> None:
    text = "".join(pieces)
    shown = " ".join(part for _, part in parts_so_far(text))
    words = [piece.strip() for piece in pieces if piece.strip() in ("one", "two", "three:")]
    found = [word for word in shown.replace("<thought>", " ").replace("</thought>", " ").split() if word in words]
    assert found == words
