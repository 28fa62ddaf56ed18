"""The recipe for a small teacher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic import council, parsing, turns
from hegelion_core.dialectic.agent_log import Critique
from hegelion_core.dialectic.judge import read_judgement
from hegelion_core.dialectic.steps import Role, Step, read_synthesis

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


def test_a_step_of_a_dialogue_takes_its_own_turns() -> None:
    assert turns.turns_of(None) == turns.TURNS
    roles: tuple[Role, ...] = ("thesis", "critic", "synthesis", "judge")
    steps = {role: turns.turns_of(Step(role=role)) for role in roles}
    assert steps == {
        "thesis": ("thesis",),
        "critic": ("antithesis",),
        "synthesis": ("synthesis", "answer"),
        "judge": ("judge",),
    }


@pytest.mark.parametrize("name", [critic.name for critic in council.COUNCILS["comprehensive"]])
def test_each_critic_asks_a_small_model_for_something_else(name: str) -> None:
    critic = council.critic(name)
    made = turns.turn_of_step("antithesis", "Why?", Step(role="critic", critic=name, thesis="T-text."), {})
    assert "T-text." in made.user
    assert made.user.endswith(critic.question)
    assert council.CRITIC.question not in made.user
    assert made.opening == critic.opening


def test_the_steps_of_a_small_model_show_what_was_said_and_read_back() -> None:
    critiques = (Critique(critic="Logician", text="A-text."),)
    step = Step(role="synthesis", thesis="T-text.", critiques=critiques)
    assert "A-text." in turns.turn_of_step("synthesis", "Why?", step, {}).user
    assert "S-text." in turns.turn_of_step("answer", "Why?", step, {"synthesis": "S-text."}).user
    judge = Step(role="judge", thesis="T-text.", critiques=critiques, synthesis="S-text.", answer="So.")
    shown = turns.turn_of_step("judge", "Why?", judge, {}, "no number")
    assert all(text in shown.user for text in ("T-text.", "A-text.", "S-text."))
    assert "no number" in shown.system
    assert read_synthesis(turns.assemble_step({"synthesis": "S-text.", "answer": "So."})) == ("S-text.", "So.")
    assert read_judgement(turns.assemble_step({"judge": "SCORE: 6"})).score == 6


@pytest.mark.parametrize("flood", ["\n", " ", "\n ", "\n*", "\n# ", "\nclaim ", "*", "assistant ", '."', "\t\n\x0b"])
def test_what_a_model_repeats_without_end_is_cleaned_in_linear_time(flood: str) -> None:
    # Work that grows with the square would not end within the time limit.
    assert turns.clean("It is so." + flood * (1_000_000 // len(flood)) + "x").startswith("It is so.")


def test_an_echoed_question_behind_blank_lines_is_taken_away() -> None:
    assert turns.clean("It is so.\n \n\n  Question : Is it?\nYes.") == "It is so."
    assert turns.clean("  ## **The Thesis** : It is so.\n> assistant: And so.") == "It is so.\nAnd so."
