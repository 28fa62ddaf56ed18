"""The council: critics who look at one thesis, each from a side of its own. Pure text.

Names, charges and presets are those that Hegelion documents. Without a council there is one critic, who makes the
whole case against the thesis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from hegelion_core.dialectic.agent_log import Critique
from hegelion_core.dialectic.headings import headings

Preset = Literal["council", "security", "editorial", "debate", "comprehensive"]
PRESETS: tuple[Preset, ...] = get_args(Preset)


@dataclass(frozen=True)
class Critic:
    """One side from which a thesis is criticised."""

    name: str
    charge: str
    """What a strong teacher is told to look for."""
    question: str
    """The same in one short question, for a small model."""
    opening: str = "This overlooks"
    """With these words a small model's reply begins."""


CRITIC = Critic(
    "Critic",
    "You make the strongest case against that thesis: what it overlooks, assumes or gets wrong.",
    "What does it get wrong?",
)
_LOGICIAN = Critic(
    "Logician",
    "You look at the reasoning alone: fallacies, contradictions between its own claims, premises that are missing, "
    "conclusions that go further than the reasons.",
    "Which step of it does not follow?",
    "It does not follow, because",
)
_EMPIRICIST = Critic(
    "Empiricist",
    "You look at facts alone: what is wrong, what is claimed without support, what known evidence speaks against it, "
    "what would have to be measured.",
    "Which fact in it is unproven?",
    "There is no proof that",
)
_ETHICIST = Critic(
    "Ethicist",
    "You look at what it does to people: harm, unfairness, side effects, who bears the cost and was not asked.",
    "Who could be harmed by it?",
    "It could harm",
)
_SECURITY = Critic(
    "Security Engineer",
    "You look for ways in which it can be abused or fail: attackers, misplaced trust, exposed data, single points of "
    "failure, what happens on the worst day.",
    "How could it be abused or fail?",
    "It could be abused, because",
)
_EDITOR = Critic(
    "Ruthless Editor",
    "You cut: vague words, claims that say nothing, padding, buried points, anything that a busy reader would have to "
    "guess.",
    "What in it is vague or says nothing?",
    "It is vague, because",
)
_ADVOCATE = Critic(
    "Devil's Advocate",
    "You defend the opposite position as well as it can be defended, whatever you think yourself.",
    "What speaks for the opposite?",
    "The opposite is true, because",
)
COUNCILS: Mapping[Preset, tuple[Critic, ...]] = {
    "council": (_LOGICIAN, _EMPIRICIST, _ETHICIST),
    "security": (_SECURITY,),
    "editorial": (_EDITOR,),
    "debate": (_ADVOCATE,),
    "comprehensive": (_LOGICIAN, _EMPIRICIST, _ETHICIST, _ADVOCATE),
}
"""Who sits on each council."""

_BY_NAME = {critic.name: critic for critic in (CRITIC, *COUNCILS["comprehensive"], _SECURITY, _EDITOR)}
# Everything repeated is bounded, so that the time stays linear.
_LABEL = re.compile(
    r"\s{0,8}(?:#{1,6}\s{0,8})?(?:\*\*|__)?\s{0,8}(?:(?:the|my)\s{1,8})?(?:[\w']{1,30}\s{1,8}){0,2}?"
    r"(?:critique|criticism|critic|review|objections?|kritik|critique|crítica|批评|批判)"
    r"(?:\s{1,8}(?:of|by|from)\s{1,8}(?:the\s{1,8})?[\w' ]{1,30}?)?\s{0,8}(?:\([^()\n]{1,40}\))?"
    r"(?:(?:\*\*|__)\s{0,8}[:：]?|\s{0,8}[:：]\s{0,8}(?:\*\*|__)?|\s{0,8}(?=\n))\s{0,8}",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\s{0,8}(?:#{1,6}\s{0,8})?(?:\*\*|__)?\s{0,8}(?:the\s{1,8})?$", re.IGNORECASE)


def critic(name: str) -> Critic:
    """The critic of this name.

    Raises:
        KeyError: there is none.
    """
    return _BY_NAME[name]


def read_critique(text: str, name: str = "") -> str:
    """A critic's words without what stands around them: ``CRITIQUE:``, ``**ANTITHESIS**:``, the critic's own name.

    Args:
        text: the reply, without thinking (``steps.bare``).
        name: the critic's.
    """
    found = [heading for heading in headings(text) if heading.section == "antithesis"]
    if found and not text[: found[0].start].strip():
        ahead = [h.start for h in headings(text) if h.section == "synthesis" and h.start > found[0].end]
        text = text[found[0].end : ahead[0] if ahead else len(text)]
    if (label := _LABEL.match(text)) is not None:
        text = text[label.end() :]
    return _without_name(text, name).strip()


def antithesis(critiques: Iterable[Critique]) -> str:
    """The antithesis that critiques make together: one alone as it is, several each under its critic's name."""
    said = [critique for critique in critiques if critique.text]
    if len(said) == 1:
        return said[0].text
    return "\n".join(f"{critique.critic}: {critique.text}" for critique in said)


def _without_name(text: str, name: str) -> str:
    before, found, rest = text.partition(name) if name else (text, "", "")
    if not found or not _NAMED.match(before):
        return text
    marked = re.match(r"\s{0,8}(?:(?:\*\*|__)\s{0,8}[:：]?|[:：]\s{0,8}(?:\*\*|__)?)\s{0,8}|\s{0,8}\n", rest)
    return rest[marked.end() :] if marked else text
