"""Answers that meet the sample contract, made from the question; for fake teachers. Imports little: start-up counts."""

from __future__ import annotations

import re
import zlib


def question(user_text: str) -> str:
    """The row's text inside the recipe's marked lines, or the whole where there are none."""
    marked = re.search(r"^(=== question \w+ ===)\n(.*?)\n\1$", user_text, re.MULTILINE | re.DOTALL)
    return marked[2] if marked else user_text


def good_reply(user_text: str) -> str:
    """A good reply to a message of either recipe: the whole answer, or one step of a dialogue."""
    whole = good_text(question(user_text))
    parts = re.split(r"\*\*(?:ANTI|SYN)?THESIS\*\*: |</thought>\n", whole)
    _, thesis, antithesis, synthesis, answer = (part.strip() for part in parts)
    critic = re.search(r"^Your part is a critique of the thesis\. You are the ([\w' ]+)\.", user_text, re.MULTILINE)
    if critic:
        return f"CRITIQUE: As the {critic[1]} sees it: {antithesis}"
    if "Your part is the thesis" in user_text:
        return f"THESIS: {thesis}"
    if "Your part is the synthesis" in user_text:
        return f"SYNTHESIS: {synthesis}\nANSWER: {answer}"
    if "You are the judge." in user_text:
        return (
            "SCORE: 7\nCRITIQUE_VALIDITY: true\nREASONING: The synthesis answers the critique.\n"
            "STRENGTHS: It is plain.\nIMPROVEMENTS: Name those who pay."
        )
    return whole


def good_text(query: str) -> str:
    """A dialectical answer to ``query``, the same each time and different for different questions."""
    words = re.findall(r"[A-Za-z]{3,}", query)[:9]
    topic = " ".join(words).lower() or "this matter"
    mark = f"{zlib.crc32(query.encode('utf-8', 'replace')):08x}"
    return (
        "<thought>\n"
        f"**THESIS**: The plain view of {topic} is right, since it rests on what most people can see for themselves "
        f"(case {mark}).\n"
        f"**ANTITHESIS**: That view of {topic} leaves out those who bear the cost, and what is plain to some is hidden "
        "from others.\n"
        "CONTRADICTION: What looks evident is shared by few.\n"
        "EVIDENCE: Those who pay are seldom those who are asked.\n"
        f"**SYNTHESIS**: About {topic}, evidence should lead, but only once the people who bear its price have been "
        "heard as well.\n"
        "RESEARCH_PROPOSAL: Compare decisions before and after hearing those people.\n"
        "TESTABLE_PREDICTION: Heard early, they object less later.\n"
        "</thought>\n"
        f"It depends on who pays. Start from the evidence on {topic}, ask the people concerned, and then decide."
    )
