"""Base and adapter in words: what fits, and what is harmless."""

from __future__ import annotations

import msgspec
import pytest

from hegelion_core.comparing.exchange import Failed, Side
from hegelion_core.comparing.rows import Row
from hegelion_core.evaluation.summary import Evaluation
from hegelion_tui import compare_words
from tests.fakes.compared import WHOLE, evaluation

ENDED = Side(text=WHOLE, tokens=48, seconds=2.4, ending="end", complete_trace=True)
GROWING = Side(text="It depends", tokens=2, seconds=0.1)
ROW = Row("asked", 1, "Is it so?", GROWING, ENDED, "answering")


def test_a_sides_facts_are_brief_where_there_is_no_room() -> None:
    assert compare_words.facts(ROW, ENDED, 60).plain == "✓ whole trace · 48 tokens · 2.4 s · 20.0 tokens/s"
    assert compare_words.facts(ROW, ENDED, 36).plain == "✓ trace · 48 · 2 s · 20.0 t/s"
    assert compare_words.facts(ROW, GROWING, 60).plain == "answering · 2 tokens · 0.1 s · 20.0 tokens/s"
    cut = msgspec.structs.replace(ENDED, ending="cut", complete_trace=False, seconds=None)
    assert compare_words.facts(ROW, cut, 60).plain == "✗ no whole trace · 48 tokens (cut)"


@pytest.mark.parametrize("width", [20, 40, 58, 100])
@pytest.mark.parametrize("lines", [1, 4, 9])
def test_the_evaluations_figures_fit(width: int, lines: int) -> None:
    shown = compare_words.figures(msgspec.json.decode(evaluation(3), type=Evaluation), width, lines=lines)
    rows = shown.plain.splitlines()
    assert len(rows) <= lines
    assert all(len(row) <= width for row in rows)
    if width == 100:
        assert "2.812" in shown.plain
        assert "1.934" in shown.plain
        if lines == 9:
            assert "nats per token, -0.878" in shown.plain
            assert "0 and 3 of 3 answers" in shown.plain


def test_without_rows_or_prompts_the_figures_say_so() -> None:
    whole = msgspec.json.decode(evaluation(0), type=Evaluation)
    bare = msgspec.structs.replace(whole, base_loss_nats_per_token=None, adapter_loss_nats_per_token=None)
    assert "without rows or prompts" in compare_words.figures(bare, 80, lines=1).plain
    assert "no rows were held out" in compare_words.figures(bare, 80, lines=9).plain
    assert "No evaluation yet" in compare_words.figures(None, 80, lines=9).plain


def test_what_models_say_is_text_and_harmless() -> None:
    side = Side(text="[b]bold[/b] \x1b[31mred\x07", tokens=3, ending="stopped", seconds=0.5)
    row = Row("asked", 1, "[red]Is\x1b it?\nReally?", side, side)
    for raw in (True, False):
        assert "\x1b" not in compare_words.page(row, side, raw=raw).plain
        assert "[b]bold[/b]" in compare_words.page(row, side, raw=raw).plain
    assert compare_words.row(row, 80).plain.endswith("[red]Is\N{REPLACEMENT CHARACTER} it? Really?")


def test_parts_stand_apart_or_as_they_were_written() -> None:
    assert compare_words.page(ROW, ENDED, raw=True).plain == WHOLE
    parts = compare_words.page(ROW, ENDED, raw=False).plain.split("\n\n")
    assert [part.split("\n")[0] for part in parts] == ["Thesis", "Antithesis", "Synthesis", "Answer"]


def test_a_failure_is_told_on_the_side_that_has_not_ended() -> None:
    row = Row("asked", 1, "Is it?", ENDED, GROWING, "ended", failed=Failed(message="It broke.", hint="Mend it."))
    assert "It broke.\nMend it." in compare_words.page(row, GROWING, raw=False).plain
    assert "It broke." not in compare_words.page(row, ENDED, raw=False).plain
    assert compare_words.row(row, 80).plain.startswith("asked        ✓     !  ")
