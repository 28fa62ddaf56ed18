from __future__ import annotations

import math

import msgspec
import pytest

from hegelion_core import events
from hegelion_core.evaluation.summary import (
    Evaluation,
    GivenAnswer,
    Side,
    compare,
    finished,
    lines,
)
from hegelion_core.evaluation.traces import holds_complete_trace

TRACE = "<thought>\n**THESIS**: Yes.\n**ANTITHESIS**: No.\n**SYNTHESIS**: At times.\n</thought>\nIt depends."


def answer(text: str) -> GivenAnswer:
    return GivenAnswer(text=text, tokens=5, cut=False, complete_trace=holds_complete_trace(text))


def evaluation(loss: float | None = 2.0, texts: tuple[str, ...] = ("Yes.", TRACE)) -> Evaluation:
    base = Side(loss_nats_per_token=loss, answers=tuple(answer("Yes.") for _ in texts), seconds=1)
    adapter = Side(loss_nats_per_token=loss and loss / 2, answers=tuple(map(answer, texts)), seconds=2)
    return compare(
        base,
        adapter,
        prompts=[f"Q{n}" for n in range(len(texts))],
        student="bundled",
        adapter_path="a",
        validation_rows=2 if loss else 0,
        validation_tokens=100,
        max_new_tokens=10,
    )


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        (TRACE, True),
        (TRACE.replace("thought>", "think>"), True),
        (TRACE.removesuffix("It depends."), False),
        (TRACE.replace("**SYNTHESIS**: At times.\n", ""), False),
        (TRACE.replace("At times.", ""), False),
        (TRACE.split("</thought>")[0], False),
        ("It depends.", False),
        ("", False),
    ],
)
def test_a_complete_trace_is_closed_whole_and_answered(text: str, complete: bool) -> None:
    assert holds_complete_trace(text) == complete


def test_bits_are_nats_over_ln_2() -> None:
    result = evaluation(loss=math.log(2))
    assert result.base_bits_per_token == pytest.approx(1)
    assert result.adapter_bits_per_token == pytest.approx(0.5)


def test_shares_are_over_the_answers() -> None:
    result = evaluation()
    assert (result.base_complete_trace_share, result.adapter_complete_trace_share) == (0, 0.5)
    assert [(r.prompt, r.base.text) for r in result.results] == [("Q0", "Yes."), ("Q1", "Yes.")]


def test_a_missing_answer_is_an_error() -> None:
    side = Side(loss_nats_per_token=1, answers=(), seconds=0)
    with pytest.raises(ValueError, match="shorter"):
        compare(
            side,
            side,
            prompts=["Q"],
            student="",
            adapter_path="",
            validation_rows=1,
            validation_tokens=1,
            max_new_tokens=1,
        )


@pytest.mark.parametrize("loss", [2.0, None])
@pytest.mark.parametrize("texts", [(), (TRACE,), (TRACE, TRACE)])
def test_the_event_survives_its_line(loss: float | None, texts: tuple[str, ...]) -> None:
    event = finished(evaluation(loss, texts), "e.json")
    assert events.decode(events.encode(event)) == event
    assert msgspec.json.decode(msgspec.json.encode(evaluation(loss, texts)), type=Evaluation) == evaluation(loss, texts)


def test_the_lines_for_people() -> None:
    assert lines(finished(evaluation(), "e.json")) == [
        "Loss on 2 held-out rows: 2.000 -> 1.000 nats per token (-1.000), 2.885 -> 1.443 bits per token.",
        "Complete traces on 2 held-out prompts: 0 -> 1.",
        "Both answers to each prompt: e.json",
    ]
    assert lines(finished(evaluation(None, ()), "e.json"))[0] == "Loss: not measured, since no rows were held out."
