"""The recipe of a dialogue: what is asked, and how replies are read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic import council, steps
from hegelion_core.dialectic.agent_log import Critique
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.steps import Role, Step

FULL = Step(
    role="judge",
    thesis="Thesis-text.",
    critiques=(Critique(critic="Logician", text="Logic-text."), Critique(critic="Ethicist", failure="timeout")),
    synthesis="Synthesis-text.",
    answer="Answer-text.",
)
WHOLE = "<thought>\n**THESIS**: a\n**ANTITHESIS**: b\n**SYNTHESIS**: c\n</thought>\nd"


@pytest.mark.parametrize(
    ("reply", "thesis"),
    [
        *(("THESIS: a b", "a b"), ("**THESIS**: a b", "a b"), ("a b", "a b"), ("### Thesis\na b", "a b")),
        *(("<think>hm</think>\nTHESIS: a b", "a b"), ("```\nTHESIS: a b\n```", "a b"), (WHOLE, "a")),
    ],
)
def test_the_thesis_is_read(reply: str, thesis: str) -> None:
    assert steps.read_thesis(reply) == thesis


@pytest.mark.parametrize(
    ("reply", "critique"),
    [
        *(("CRITIQUE: a b", "a b"), ("**CRITIQUE**: a", "a"), ("**Critique by the Logician:** a", "a"), ("a", "a")),
        *(("Logician: a", "a"), ("**Logician:** a", "a"), ("### Critique\na", "a"), ("CRITIQUE (Logician): a", "a")),
        *(("**The Logician's critique:**\n\na b", "a b"), ("Critics say so: a", "Critics say so: a")),
        ("**ANTITHESIS**: a\nCONTRADICTION: x\nEVIDENCE: y", "a\nCONTRADICTION: x\nEVIDENCE: y"),
        ("The Logician is wrong.", "The Logician is wrong."),
    ],
)
def test_a_critique_is_read(reply: str, critique: str) -> None:
    assert steps.read_critique(reply, "Logician") == critique


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        ("SYNTHESIS: a\nANSWER: b", ("a", "b")),
        ("**SYNTHESIS**: a\n\n**ANSWER**: b", ("a", "b")),
        ("SYNTHESIS: a. ANSWER: b", ("a.", "b")),
        ("### Synthesis\na\n### Final Answer\nb", ("a", "b")),
        ("a\n\nb", ("a\n\nb", "")),
        (WHOLE, ("c", "d")),
        ("SYNTHESIS: a\nRESEARCH_PROPOSAL: r\nANSWER: b\nAnswer: c", ("a\nRESEARCH_PROPOSAL: r", "b\nAnswer: c")),
        ("<think>x</think>SYNTHESIS: a\nANSWER: b", ("a", "b")),
    ],
)
def test_synthesis_and_answer_are_read(reply: str, parts: tuple[str, str]) -> None:
    assert steps.read_synthesis(reply) == parts


@pytest.mark.parametrize("reply", ["", "{label}:", "**{label}**:\n", "<think>only thought</think>", "\n\n", "***"])
def test_nothing_is_a_fault(reply: str) -> None:
    with pytest.raises(SampleFault):
        steps.read_thesis(reply.format(label="THESIS"))
    with pytest.raises(SampleFault):
        steps.read_critique(reply.format(label="CRITIQUE"))
    with pytest.raises(SampleFault):
        steps.read_synthesis(reply.format(label="SYNTHESIS"))


@given(st.text())
def test_whatever_comes_is_a_part_or_a_fault(reply: str) -> None:
    for read in (steps.read_thesis, steps.read_critique, lambda text: steps.read_synthesis(text)[0]):
        with contextlib.suppress(SampleFault):
            assert read(reply).strip()


@given(st.lists(st.text(), min_size=5, max_size=5), st.sampled_from(["thesis", "critic", "synthesis", "judge"]))
def test_no_text_can_leave_its_marked_lines(texts: list[str], role: Role) -> None:
    query, thesis, critique, synthesis, answer = texts
    critiques = (Critique(critic="Logician", text=critique),)
    step = Step(role=role, critic="Logician", thesis=thesis, critiques=critiques, synthesis=synthesis, answer=answer)
    message = steps.user_text(query, None, step)
    marks = [line for line in message.split("\n") if line.startswith("=== ") and line.endswith(" ===")]
    for text in filter(None, texts):
        assert not any(mark in text for mark in marks if message.count(mark) == 2)
    assert not message.startswith("/")


def test_each_step_shows_what_was_said_before() -> None:
    message = steps.user_text("Why?", None, FULL)
    assert all(part in message for part in ("Why?", "Thesis-", "Logic-", "Synthesis-", "Answer-", "Logician"))
    assert "timeout" not in message
    assert "SCORE:" in message
    assert "it is thin" in steps.user_text("Why?", "it is thin", FULL)
    assert "text only" in steps.system_text(FULL)


def test_every_critic_of_every_council_has_a_task() -> None:
    for preset in council.PRESETS:
        for critic in council.COUNCILS[preset]:
            assert council.critic(critic.name) is critic
            message = steps.user_text("Why?", None, Step(role="critic", critic=critic.name, thesis="So."))
            assert critic.name in message
            assert critic.charge in message
    assert [critic.name for critic in council.COUNCILS["comprehensive"]][-1] == "Devil's Advocate"


def test_several_critiques_make_one_antithesis() -> None:
    one, other = Critique(critic="Logician", text="No."), Critique(critic="Ethicist", text="Harm.")
    assert council.antithesis([one]) == "No."
    assert council.antithesis([one, Critique(critic="X", failure="timeout"), other]) == "Logician: No.\nEthicist: Harm."


def test_nothing_of_the_system_text_is_a_template() -> None:
    assert "$" not in steps.SYSTEM
    assert "{{" not in steps.SYSTEM


@pytest.mark.parametrize(
    "piece", ["\n", " ", "a\n", "*", "the ", "critique ", "ANSWER ", "answer:\n", "<think>", "(", "#"]
)
@pytest.mark.parametrize("begin", ["", "critique", "SYNTHESIS: a\n", "The Logician", "<think>"])
def test_a_flood_is_read_in_time(begin: str, piece: str) -> None:
    """Linear: a pattern that is not takes longer than a test may."""
    reply = begin + piece * 50_000 + "x"
    for read in (steps.read_thesis, lambda text: steps.read_critique(text, "Logician"), steps.read_synthesis):
        with contextlib.suppress(SampleFault):
            read(reply)
