"""The recipe for a small teacher: four short turns instead of one long reply. Pure text.

A small model can't keep four parts apart in one reply, but it can take one step: state a position, argue against that
position, bring both together, answer. Each turn is a question of its own and shows only what it needs, since
reading a prompt costs a small machine as much as writing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hegelion_core.dialectic.council import CRITIC, critic
from hegelion_core.dialectic.steps import Role, Step

TurnName = Literal["thesis", "antithesis", "synthesis", "answer", "judge"]
TURNS: tuple[TurnName, ...] = ("thesis", "antithesis", "synthesis", "answer")
"""Those of a whole answer."""
RECIPE = "turns-1"
"""Version of this recipe; part of each sample's metadata."""

MAX_QUERY_CHARS = 2000
"""Of a longer query a turn shows the beginning and the end: a small model loses the thread of more."""
LEAST_BUDGET = 10
"""Tokens that a turn gets at the very least."""

_SHARES: Mapping[TurnName, float] = {"thesis": 0.21, "antithesis": 0.25, "synthesis": 0.27, "answer": 0.27}
_JUDGE_SHARE = 0.2
"""A judge is asked in a call of its own."""


@dataclass(frozen=True)
class Turn:
    """What a small model is asked in one turn."""

    name: TurnName
    system: str
    user: str
    opening: str
    """The first words of the reply. The model goes on from there, which holds it to the turn's purpose."""


def turn(name: TurnName, query: str, earlier: Mapping[TurnName, str], correction: str | None = None) -> Turn:
    """The turn ``name`` about ``query``.

    Args:
        name: which turn.
        query: the question.
        earlier: the replies of the turns before it, cleaned.
        correction: the fault of an answer before, when this asks again.

    Raises:
        KeyError: an earlier turn that this one needs is missing.
    """
    return _corrected(Turn(name, _SYSTEMS[name], _user(name, _shortened(query), earlier), _OPENINGS[name]), correction)


def turns_of(step: Step | None) -> tuple[TurnName, ...]:
    """The turns that a call takes: all four, or those of one step of a dialogue."""
    return TURNS if step is None else _STEPS[step.role]


def turn_of_step(
    name: TurnName, query: str, step: Step, earlier: Mapping[TurnName, str], correction: str | None = None
) -> Turn:
    """The turn ``name`` of one step of a dialogue; ``earlier`` are the replies of this call's own turns before it."""
    said: dict[TurnName, str] = {"thesis": step.thesis, "antithesis": step.antithesis, "synthesis": step.synthesis}
    said = {part: _shortened(text) for part, text in said.items()} | {"answer": step.answer} | dict(earlier)
    made = turn(name, query, said, correction)
    if step.role != "critic":
        return made
    asked = critic(step.critic)
    user = made.user.removesuffix(_critic_question(CRITIC.question)) + _critic_question(asked.question)
    return replace(made, user=user, opening=asked.opening)


def assemble_step(replies: Mapping[TurnName, str]) -> str:
    """The replies of a step's turns as one text, in the form of a strong teacher's."""
    return "\n".join(text if name == "judge" else f"{_LABELS[name]}: {text}" for name, text in replies.items())


def _corrected(made: Turn, correction: str | None) -> Turn:
    if correction is None:
        return made
    return replace(made, system=f"{made.system} Avoid this fault of an earlier reply: {correction}")


def is_shortened(query: str) -> bool:
    """Whether the turns show only a part of this query."""
    return len(query) > MAX_QUERY_CHARS


def budgets(total: int) -> dict[TurnName, int]:
    """Tokens of each turn; together at most ``total``, if that is 4 * ``LEAST_BUDGET`` or more."""
    spare = max(0, total - len(TURNS) * LEAST_BUDGET)
    return {name: LEAST_BUDGET + int(spare * share) for name, share in _SHARES.items()}


def judge_budget(total: int) -> int:
    """Tokens of a judge's turn."""
    return LEAST_BUDGET + int(max(0, total - LEAST_BUDGET) * _JUDGE_SHARE)


def clean(reply: str) -> str:
    """A turn's reply as it goes into a sample; nothing is added.

    Takes away what a small model wraps around its words (thinking, tags, role names, labels such as ``Thesis:``, the
    question once more), and what follows the last whole sentence, so that a spent budget leaves no half of one. A
    reply without any whole sentence stays as it is.
    """
    text = _ECHO.sub("", _TAGS.sub("", reply.rpartition("</think>")[2]))
    lines = (_LABEL.sub("", line).rstrip() for line in text.splitlines())
    text = re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip().strip('"“”').strip()
    ends = [found.end() for found in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text


def is_whole(text: str) -> bool:
    """Whether a cleaned text ends with a sentence's end."""
    return bool(ends := [found.end() for found in _SENTENCE_END.finditer(text)]) and ends[-1] == len(text)


def assemble(thesis: str, antithesis: str, synthesis: str, answer: str) -> str:
    """The four replies as one output, in the form of the sample contract."""
    sections = f"**THESIS**: {thesis}\n**ANTITHESIS**: {antithesis}\n**SYNTHESIS**: {synthesis}"
    return f"<thought>\n{sections}\n</thought>\n{answer}"


_SYSTEMS: Mapping[TurnName, str] = {
    "thesis": "You take a clear side.",
    "antithesis": "You give the strongest reason against a claim.",
    "synthesis": "You are a wise judge who resolves debates.",
    "answer": "You are a helpful adviser.",
    "judge": "You are a strict examiner who gives marks from 0 to 10.",
}
_OPENINGS: Mapping[TurnName, str] = {
    "thesis": "I believe",
    "antithesis": "This overlooks",
    "synthesis": "Both are right in part:",
    "answer": "On balance,",
    "judge": "SCORE:",
}
_STEPS: Mapping[Role, tuple[TurnName, ...]] = {
    "thesis": ("thesis",),
    "critic": ("antithesis",),
    "synthesis": ("synthesis", "answer"),
    "judge": ("judge",),
}
_LABELS: Mapping[TurnName, str] = {
    "thesis": "THESIS",
    "antithesis": "CRITIQUE",
    "synthesis": "SYNTHESIS",
    "answer": "ANSWER",
}
_TAGS = re.compile(r"</?(?:thought|think)>", re.IGNORECASE)
# What is repeated gives nothing back, so the time is linear.
_ECHO = re.compile(r"\n[^\S\n]*+(?:claim|question)\s*+:.*", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(
    r"^\s*+(?:[#>*_-]++\s*+)?(?:\*\*|__)?\s*+(?:assistant|user|system|(?:the )?(?:thesis|antithesis|synthesis)"
    r"|(?:the )?(?:final )?answer)"
    r"\s*+(?:\*\*|__)?\s*+:\s*+(?:\*\*|__)?\s*+",
    re.IGNORECASE,
)
# A full stop after a lone number is the mark of a list item, not an end.
_SENTENCE_END = re.compile(r"(?:(?<!^\d)(?<!\n\d)\.|[!?])[\"'”’)\]*]*(?=\s|$)|[。！？]")


def _user(name: TurnName, query: str, earlier: Mapping[TurnName, str]) -> str:
    if name == "thesis":
        return f"{query} Pick one side and say why, in two short sentences."
    if name == "antithesis":
        claim = earlier["thesis"]
        return f"{query}\n\nClaim: {claim}\n\nArgue against this claim in{_critic_question(CRITIC.question)}"
    if name == "synthesis":
        sides = f"For: {earlier['thesis']}\n\nAgainst: {earlier['antithesis']}"
        return f"{query}\n\n{sides}\n\nIn two short sentences, what position keeps what is right in both?"
    if name == "judge":
        shown = (
            f"Thesis: {earlier['thesis']}\n\nAntithesis: {earlier['antithesis']}\n\nSynthesis: {earlier['synthesis']}"
        )
        return f"{query}\n\n{shown}\n\nGive one mark from 0 to 10 for this debate, then one sentence why."
    weighed = f"Two sides were weighed: {earlier['synthesis']}"
    return f"{weighed}\n\n{query} Answer directly in two short sentences, with one reason."


def _critic_question(question: str) -> str:
    return f" two short sentences. {question}"


def _shortened(query: str) -> str:
    if not is_shortened(query):
        return query
    half = MAX_QUERY_CHARS // 2
    return f"{query[:half]}\n[...]\n{query[-half:]}"
