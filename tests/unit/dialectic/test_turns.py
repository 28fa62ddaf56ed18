"""The recipe for a small teacher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic import parsing, turns

EARLIER: dict[turns.TurnName, str] = {"thesis": "T-text.", "antithesis": "A-text.", "synthesis": "S-text."}


def test_each_turn_shows_what_it_answers() -> None:
    texts = {name: turns.turn(name, "Why?", EARLIER) for name in turns.TURNS}
    assert all("Why?" in turn.user for turn in texts.values())
    assert "T-text." in texts["antithesis"].user
    assert "T-text." in texts["synthesis"].user
    assert "A-text." in texts["synthesis"].user
    assert "S-text." in texts["answer"].user
    assert "-text." not in texts["thesis"].user
    assert len({turn.system for turn in texts.values()}) == len(turns.TURNS)


def test_a_turn_needs_the_ones_before() -> None:
    with pytest.raises(KeyError):
        turns.turn("antithesis", "Why?", {})


def test_a_correction_is_told() -> None:
    assert "copies the thesis" in turns.turn("synthesis", "Why?", EARLIER, "it copies the thesis").system


@given(st.text(max_size=10_000))
def test_a_prompt_stays_short_and_keeps_both_ends(query: str) -> None:
    user = turns.turn("thesis", query, {}).user
    assert len(user) < turns.MAX_QUERY_CHARS + 200
    assert query[:500] in user
    assert query[-500:] in user


@given(st.integers(min_value=4 * turns.LEAST_BUDGET, max_value=40_000))
def test_the_budgets_keep_within_the_total(total: int) -> None:
    budgets = turns.budgets(total)
    assert sum(budgets.values()) <= total
    assert min(budgets.values()) >= turns.LEAST_BUDGET


@pytest.mark.parametrize(
    ("reply", "cleaned"),
    [
        ("Assistant: It is so. And th", "It is so."),
        ("**Thesis**: It is so!", "It is so!"),
        ("### Final answer: It is so?", "It is so?"),
        ("**The Antithesis:** It is not.", "It is not."),
        ("<thought>It is so.</thought>", "It is so."),
        ("I wonder.</think>\n\nIt is so.", "It is so."),
        ('"It is so."', "It is so."),
        ("It is so.\n\n\nIt is good.\n2. Th", "It is so.\nIt is good."),
        ('He said "yes." Then', 'He said "yes."'),
        ("它是这样的。但是", "它是这样的。"),
        ("no whole sentence here", "no whole sentence here"),
        ("Costs fell by 3.5 percent. Then", "Costs fell by 3.5 percent."),
        ("This overlooks the cost.\nClaim: It is so.", "This overlooks the cost."),
        ("", ""),
    ],
)
def test_cleaning_takes_away_and_adds_nothing(reply: str, cleaned: str) -> None:
    assert turns.clean(reply) == cleaned
    assert turns.is_whole(cleaned) == (cleaned not in ("", "no whole sentence here"))


@given(st.text())
def test_cleaning_invents_no_letter(reply: str) -> None:
    remaining = iter(reply)
    assert all(letter in remaining for letter in turns.clean(reply) if not letter.isspace())


def test_the_assembled_output_is_the_contracts() -> None:
    output = turns.assemble("The thesis.", "The antithesis.", "The synthesis.", "The answer.")
    assert output == (
        "<thought>\n**THESIS**: The thesis.\n**ANTITHESIS**: The antithesis.\n**SYNTHESIS**: The synthesis.\n"
        "</thought>\nThe answer."
    )
    parsed = parsing.parse_output(output)
    assert (parsed.thesis, parsed.antithesis) == ("The thesis.", "The antithesis.")
    assert (parsed.synthesis, parsed.answer) == ("The synthesis.", "The answer.")
