"""A dialogue in words: parts for a terminal as they come, and the whole as Markdown. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from hegelion_core.commands.text import printable
from hegelion_core.dialectic.agent_log import AgentEntry, Judgement
from hegelion_core.dialectic.steps import Step

WIDTH = 100
"""Columns beyond which lines are hard to read."""


def heading(step: Step) -> str:
    """What stands over a step's text."""
    return f"ANTITHESIS: {step.critic}" if step.role == "critic" else step.role.upper()


def wrapped(text: str, width: int) -> str:
    """A text for a terminal of ``width`` columns; lines that are indented or short stay as they are."""
    lines = printable(text).split("\n")
    return "\n".join(
        line
        if len(line) <= width or line.startswith((" ", "\t", "|"))
        else textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
        for line in lines
    )


def judgement_lines(judge: Judgement) -> Iterator[str]:
    """``7.5 of 10; the critiques hold`` and the reasons."""
    holds = {True: "; the critiques hold", False: "; the critiques do not hold", None: ""}
    yield f"{judge.score:g} of 10{holds[judge.critique_validity]}"
    for name, text in (("", judge.reasons), ("Strengths: ", judge.strengths), ("Improvements: ", judge.improvements)):
        if text:
            yield f"{name}{text}"


def notes(entry: AgentEntry) -> list[str]:
    """What was not as it should be."""
    failed = [f"The {each.critic} gave no critique: {each.failure}" for each in entry.critiques if each.failure]
    if why := entry.metadata.get("judge_failed"):
        failed.append(f"There is no score: {why}")
    if not entry.answer:
        failed.append("The teacher gave no final answer beside the synthesis.")
    if (word := entry.metadata.get("contract", "met")) != "met":
        failed.append(f"It would not be accepted as a sample ({str(word).replace('_', ' ')}).")
    return failed


def cost(entry: AgentEntry) -> str:
    """``6 calls, 44 s, 3,120 tokens read, 1,204 written``."""
    known = entry.metadata
    parts = []
    if isinstance(calls := known.get("calls"), int):
        parts.append(f"{calls} calls")
    if isinstance(spent := known.get("total_time_ms"), int):
        parts.append(f"{spent / 1000:.1f} s")
    read, written = known.get("prompt_tokens"), known.get("completion_tokens")
    if isinstance(read, int) and isinstance(written, int):
        parts.append(f"{read:,} tokens read, {written:,} written")
    return ", ".join(parts)


def markdown(entry: AgentEntry) -> str:
    """The whole as a Markdown document; of one that was interrupted, what there is."""
    return printable("\n\n".join(_blocks(entry))) + "\n"


def _blocks(entry: AgentEntry) -> Iterator[str]:
    yield f"# {' '.join(entry.query.split())}"
    if entry.thesis:
        yield f"## Thesis\n\n{entry.thesis}"
    said = [critique for critique in entry.critiques if critique.text]
    if said:
        yield "## Antithesis"
    for critique in said:
        yield critique.text if len(said) == 1 else f"### {critique.critic}\n\n{critique.text}"
    if entry.synthesis:
        yield f"## Synthesis\n\n{entry.synthesis}"
    if entry.answer:
        yield f"## Answer\n\n{entry.answer}"
    if entry.judge is not None:
        yield "## Judge\n\n" + "\n\n".join(judgement_lines(entry.judge))
    if found := notes(entry) if entry.synthesis else []:
        yield "## Notes\n\n" + "\n".join(f"- {note}" for note in found)
    if made := cost(entry):
        teacher = f"{entry.metadata.get('teacher', '')} {entry.metadata.get('teacher_version', '')}".strip()
        yield f"*{teacher}: {made}*"
