from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic import arguable
from hegelion_core.dialectic.arguable import THRESHOLD, judge
from hegelion_core.dialectic.arguable_signs import SIGNS
from tests.fakes import prompt_sets
from tests.fakes.prompt_sets import KnownPrompt

ANY_TEXT = st.text(st.characters())  # lone surrogates and NUL included
PHRASES = [phrase for sign in SIGNS for phrase in f"{sign.opens}|{sign.holds}|{sign.asks}".split("|") if phrase]
PIECES = st.lists(st.sampled_from([*PHRASES, "?", ". ", "\n", "。", "7 "]), max_size=30).map("".join)
WEIGHTS = {sign.slug: sign.weight for sign in SIGNS}


@given(ANY_TEXT | PIECES)
def test_any_text_has_a_verdict_that_its_reasons_explain(text: str) -> None:
    verdict = judge(text)
    assert verdict.score == sum(WEIGHTS[slug] for slug in verdict.reasons)
    assert verdict.arguable == (verdict.score >= THRESHOLD)
    assert len(set(verdict.reasons)) == len(verdict.reasons)
    assert judge(text) == verdict


@given(PIECES, st.sampled_from([" ", "\n", "\t ", "\r\n\n", "\u2003"]))
def test_white_space_makes_no_difference(text: str, space: str) -> None:
    assert judge(space + space.join(text.split()) + space) == judge(text)


@given(PIECES.filter(str.isascii))
def test_case_of_ascii_letters_makes_no_difference(text: str) -> None:
    assert judge(text.upper()) == judge(text)


@given(ANY_TEXT | PIECES, st.integers(1, 500))
def test_only_a_bounded_part_is_looked_at(text: str, times: int) -> None:
    bound = (arguable.HEAD_WORDS + arguable.TAIL_WORDS) * arguable.MAX_WORD_CHARS
    assert len(arguable._looked_at(text * times)) <= 3 * bound + 3  # lower case may be longer, at most threefold


@pytest.mark.parametrize(
    "text", ["", "\0", "\ud800 should we?", "a" * 200_000, "a? " * 70_000, " " * 200_000, "应" * 200_000]
)
def test_odd_texts_are_judged(text: str) -> None:
    assert isinstance(judge(text).arguable, bool)


def test_the_middle_of_a_long_text_plays_no_part() -> None:
    ask = "Should a town close its only library to save its swimming pool? "
    middle = "Translate the following paragraph: `def f():` "
    padding = "so they said on and on " * 100
    assert judge(ask + padding + middle + padding) == judge(ask + padding + padding)
    assert judge(ask + padding + middle + padding + ask).arguable


@given(st.lists(st.sampled_from([phrase for phrase in PHRASES if phrase[0] == " "]), max_size=12).map("".join))
def test_the_index_finds_what_a_plain_search_finds(text: str) -> None:
    seen = f" {' '.join(text.split())} "
    plain = {sign for sign in SIGNS for phrase in sign.holds.split("|") if phrase and phrase in seen}
    assert set(arguable._HELD.found_in(seen)) == plain


def test_signs_are_distinct_and_say_why() -> None:
    slugs = [sign.slug for sign in SIGNS]
    assert len(set(slugs)) == len(slugs)
    assert all(sign.why and sign.weight for sign in SIGNS)
    for phrases in ("opens", "holds", "asks"):
        given_phrases = [phrase for sign in SIGNS for phrase in getattr(sign, phrases).split("|") if phrase]
        assert len(set(given_phrases)) == len(given_phrases)
        assert all(phrase.strip() and phrase == phrase.lower() for phrase in given_phrases)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Should a village sell its common land to pay for a clinic?", "should_question"),
        ("Is a strict deadline kinder to a team than an open-ended plan?", "long_question"),
        ("Kotlin or Swift for a small shared library?", "bare_options"),
        ("A tenant finds cash behind a wall. May she keep it?", "asks_about_a_case"),
        ("If a vote was won by a lie, is it binding on those who knew?", "asks_under_a_condition"),
        ("What are the pros and cons of paying for plasma?", "asks_for_both_sides"),
        ("Do you think that grammar schools help the poor?", "asks_for_an_opinion"),
        ("How should a library set fines?", "asks_how_to_judge"),
        ("Evaluate the claim that sanctions end wars.", "weighs_a_claim"),
        ("Sollte man das Wahlalter senken?", "should_question"),
        ("Faut-il interdire les zoos ?", "should_question"),
        ("¿Debería la universidad ser gratuita?", "should_question"),
        ("政府应该禁止广告吗？", "should_question"),
    ],
)
def test_can_be_argued(text: str, reason: str) -> None:
    verdict = judge(text)
    assert verdict.arguable
    assert reason in verdict.reasons


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('Translate "Should we forgive debts?" into Greek.', "translation"),
        ("Write a Python function that merges two sorted lists.", "asks_for_code"),
        ("Why does this fail?\n```\nprint(1/0)\n```", "holds_code"),
        ("Premise: It rains. Hypothesis: It is dry. Should we infer the hypothesis?", "labelled_fields"),
        ("In this task you decide if the argument is strong. Should dogs vote? Yes, they bark.", "task_preamble"),
        ("Summarize the article on whether cities should ban cars.", "transforms_a_text"),
        ("Write a story in which two judges ask if it is right to lie.", "asks_for_a_text"),
        ("Act as a judge and decide whether it is fair.", "plays_a_role"),
        ("Which is better? a) one b) two. Choose the right answer.", "multiple_choice"),
        ("How many eggs are left if 3 of 12 break?", "asks_for_a_sum"),
        ("Who wrote Faust?", "asks_to_be_told"),
        ("3, 5, 8, 12, 17", "many_numbers"),
        ("Übersetze: Sollten wir streiken?", "translation"),
        ("把这句话翻译成英文：我们应该等吗？", "translation"),
    ],
)
def test_cannot_be_argued(text: str, reason: str) -> None:
    verdict = judge(text)
    assert not verdict.arguable
    assert reason in verdict.reasons


def test_without_a_sign_a_prompt_is_not_arguable() -> None:
    assert judge("hello there") == arguable.Verdict(False, 0.0, ())


def _share_passed(prompts: list[KnownPrompt]) -> float:
    return sum(judge(prompt.text).arguable for prompt in prompts) / len(prompts)


def test_the_sets_are_as_large_as_the_figures_need() -> None:
    arguable_prompts, unarguable = prompt_sets.arguable(), prompt_sets.unarguable()
    assert len(arguable_prompts) >= 150
    assert len(unarguable) >= 400
    assert len({prompt.text for prompt in arguable_prompts + unarguable}) == len(arguable_prompts) + len(unarguable)
    assert all(prompt.kind for prompt in unarguable)


# Measured on the held-out halves: 0.975 of the bundled prompts, 0.976 of other arguable ones, 0.009 of unarguable ones.
# The bounds leave room for what chance does to halves of this size.
def test_recall_of_bundled_prompts() -> None:
    assert _share_passed([prompt for prompt in prompt_sets.bundled() if prompt.held_out]) >= 0.95
    assert _share_passed(prompt_sets.evaluation()) >= 0.9


def test_recall_of_other_arguable_prompts() -> None:
    assert _share_passed([prompt for prompt in prompt_sets.arguable() if prompt.held_out]) >= 0.9


def test_few_unarguable_prompts_pass() -> None:
    assert _share_passed([prompt for prompt in prompt_sets.unarguable() if prompt.held_out]) <= 0.03


def test_it_is_better_than_chance_at_ordering_a_mixture() -> None:
    """What it is for: of a source with one arguable prompt in four, the first ones asked are nearly all arguable."""
    wanted = [prompt for prompt in prompt_sets.arguable() if prompt.held_out]
    others = [prompt for prompt in prompt_sets.unarguable() if prompt.held_out]
    mixture = wanted + others
    random.Random(7).shuffle(mixture)
    first = sorted(mixture, key=lambda prompt: not judge(prompt.text).arguable)[: len(wanted) // 2]
    assert sum(not prompt.kind for prompt in first) / len(first) >= 0.95
