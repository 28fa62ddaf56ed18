"""A judge's reply, in the forms in which models write it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic.judge import read_judgement
from hegelion_core.dialectic.parsing import SampleFault


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("SCORE: 7", 7),
        ("SCORE: 0", 0),
        ("SCORE: 10/10", 10),
        ("**SCORE:** 7.5", 7.5),
        ("**Score**: 8 / 10", 8),
        ("**SCORE** 8", 8),
        ("SCORE 8", 8),
        ("Score: 7 out of 10", 7),
        ("### Score\n\n8", 8),
        ("## Overall Score: **8/10**", 8),
        ("- SCORE: 6", 6),
        ("1. SCORE: 6", 6),
        ("Overall score = 8", 8),
        ("SCORE: [8]", 8),
        ("The score is 8 out of 10.", 8),
        ("8/10", 8),
        ("8/10\nBecause it is good.", 8),
        ("SCORE: 85/100", 8.5),
        ("SCORE: 7,5", 7.5),
        ("评分：8", 8),
        ("Thesis: 2/2\nAntithesis: 2/3\nSynthesis: 2/3\nValidity: 1/2\nTOTAL: 7/10", 7),
        ("SCORE: 5\nFINAL SCORE: 8", 8),
        ("Let me see.\n\nSCORE: 4\nREASONING: It is thin.", 4),
        ('{"score": 7, "critique_validity": true, "reasoning": "x"}', 7),
        ('Here it is:\n```json\n{"SCORE": "7/10"}\n```', 7),
        ("SCORE: 9 (thesis 2, antithesis 3, synthesis 3, validity 1)", 9),
    ],
)
def test_the_score_is_found(reply: str, score: float) -> None:
    assert read_judgement(reply).score == score


@pytest.mark.parametrize(
    "reply",
    [
        *("", "I think it is great.", "SCORE: 0-10", "SCORE: 8-9", "SCORE: 8 to 9", "SCORE: 11", "SCORE: -3"),
        *("SCORE: seven", "SCORE: 2/2", "SCORE:", '{"score": 12}', '{"score": true}', '{"score": null}', "{}"),
        *("Thesis score: 2", "There were 7 critics.", "SCORE: 2025", "SCORE: v7"),
    ],
)
def test_nonsense_is_no_score(reply: str) -> None:
    with pytest.raises(SampleFault) as caught:
        read_judgement(reply)
    assert caught.value.reason == "no_score"


def test_all_that_is_said_is_read() -> None:
    judge = read_judgement(
        "**SCORE:** 6\n**CRITIQUE_VALIDITY:** false\n**REASONING:** It is thin.\nVery thin.\n"
        "**STRENGTHS:**\n- short\n- plain\n**IMPROVEMENTS:** Say more."
    )
    assert (judge.score, judge.critique_validity) == (6, False)
    assert judge.reasons == "It is thin.\nVery thin."
    assert judge.strengths == "- short\n- plain"
    assert judge.improvements == "Say more."
    assert read_judgement("7\nIt is fair.").reasons == "It is fair."


@given(
    score=st.floats(0, 10).map(lambda value: round(value, 1)),
    marks=st.sampled_from(["", "**", "__", "`"]),
    before=st.sampled_from(["", "- ", "1. ", "### ", "> "]),
    out_of=st.sampled_from(["", "/10", " / 10", " out of 10"]),
    prose=st.text(st.characters(blacklist_categories=["Cs", "Nd"]), max_size=60),
)
def test_any_form_gives_the_same_number(score: float, marks: str, before: str, out_of: str, prose: str) -> None:
    reply = f"{before}{marks}SCORE:{marks} {score:g}{out_of}\nREASONING: {prose}"
    assert read_judgement(reply).score == float(f"{score:g}")


@given(st.text())
def test_whatever_comes_is_a_score_or_none(reply: str) -> None:
    try:
        judge = read_judgement(reply)
    except SampleFault:
        return
    assert 0 <= judge.score <= 10


@given(
    st.dictionaries(
        st.sampled_from(["score", "total", "reasoning", "critique_validity"]), st.none() | st.integers() | st.text()
    )
)
def test_whatever_json_comes_is_a_score_or_none(row: dict[str, object]) -> None:
    with contextlib.suppress(SampleFault):
        assert 0 <= read_judgement(json.dumps(row)).score <= 10


@pytest.mark.parametrize("piece", ["\n", " ", "*", "SCORE ", "SCORE:\n", "1. ", "{", "score (", "7"])
def test_a_flood_is_read_in_time(piece: str) -> None:
    """Linear: a pattern that is not takes longer than a test may."""
    with contextlib.suppress(SampleFault):
        read_judgement(piece * 100_000)


@pytest.mark.parametrize("flood", ["\n", " \n", "x```\n", "```json\n", "\n x", "`", "{", "score: ", "- ", "**"])
def test_what_a_judge_repeats_without_end_is_read_in_linear_time(flood: str) -> None:
    # Work that grows with the square would not end within the time limit.
    with contextlib.suppress(SampleFault):
        read_judgement('```json\n{"score": 5.5,\n' + flood * (500_000 // len(flood)) + "x")


def test_a_fence_may_have_blank_lines_and_indents() -> None:
    assert read_judgement('Here:\n```json \n\n {"score": 7}\n \n  ```\n```\n1\n```').score == 7
