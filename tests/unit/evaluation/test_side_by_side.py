from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.evaluation.side_by_side import side_by_side
from hegelion_core.evaluation.summary import Evaluation, GivenAnswer, Side, compare


def evaluation(base: str, adapter: str) -> Evaluation:
    def side(text: str, *, whole: bool) -> Side:
        answer = GivenAnswer(text=text, tokens=5, cut=not whole, complete_trace=whole)
        return Side(loss_nats_per_token=None, answers=(answer,), seconds=1.0)

    return compare(
        side(base, whole=False),
        side(adapter, whole=True),
        prompts=["Is it?"],
        student="s",
        adapter_path="a",
        validation_rows=0,
        validation_tokens=0,
        max_new_tokens=5,
    )


def test_answers_stand_beside_each_other_with_what_can_be_said_of_them() -> None:
    assert side_by_side(evaluation("No.", "one two three\nfour"), 80) == [
        "",
        "1. Is it?",
        "base: no whole trace, 5 tokens, cut by │ adapter: whole trace, 5 tokens",
        "the limit                              │",
        "                                       │ one two three",
        "No.                                    │ four",
    ]


def test_on_a_narrow_terminal_they_stand_below_each_other() -> None:
    shown = side_by_side(evaluation("No.", "Yes."), 40)
    assert shown[-3:] == ["adapter: whole trace, 5 tokens", "", "Yes."]


@given(st.text(max_size=200), st.text(max_size=200), st.integers(20, 120))
def test_no_line_is_wider_than_the_terminal(base: str, adapter: str, width: int) -> None:
    assert all(len(line) <= width for line in side_by_side(evaluation(base, adapter), width))
