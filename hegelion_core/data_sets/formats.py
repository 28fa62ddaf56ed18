"""What was argued to rows of a format. Pure.

Markers inside texts are broken, since whoever trains on the rows renders them with a chat template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from hegelion_core.conversion.markers import Neutraliser
from hegelion_core.conversion.rendering import ChatFormat
from hegelion_core.data_sets.argued import Argued
from hegelion_core.data_sets.rows import (
    AlpacaRow,
    Facts,
    InstructionRow,
    Message,
    MessagesRow,
    PairFacts,
    PreferenceRow,
    PromptCompletionRow,
    Row,
    ShareGptRow,
    TextRow,
    TraceRow,
    Turn,
)
from hegelion_core.dialectic.contract import Accepted, is_placeholder
from hegelion_core.dialectic.identity import normalise
from hegelion_core.dialectic.parsing import ParsedOutput, SampleFault, parse_output, render_output
from hegelion_core.dialectic.prompts import STUDENT_SYSTEM

Format = Literal["dpo", "instruction", "alpaca", "sharegpt", "messages", "prompt-completion", "mlx"]
FORMATS: tuple[Format, ...] = get_args(Format)
RejectedFrom = Literal["thesis", "antithesis", "both", "source"]
REJECTED: tuple[RejectedFrom, ...] = get_args(RejectedFrom)
Content = Literal["trace", "answer"]

SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}
_neutral = Neutraliser(())


@dataclass(frozen=True, kw_only=True)
class Student:
    """For whom ``text`` rows are made."""

    format: ChatFormat
    text: Callable[[str], str]
    """A row's text as its trainer's reader wants it."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a data set shall be."""

    format: Format
    rejected: RejectedFrom = "thesis"
    content: Content = "trace"
    """Whether an answer holds its trace."""
    system: str | None = None
    """In place of the rows' own; empty: none."""
    longest_ratio: float | None = None
    """Pairs whose texts differ more in length, in characters, are left out; 2.0: one is twice as long."""
    least_score: float | None = None
    """Results that the judge gave less, or that were not judged, are left out."""
    student: Student | None = None


def make_rows(argued: Argued, recipe: Recipe) -> Iterator[Row | SampleFault]:
    """The rows of what was argued: one, of preferences up to two; or what keeps it from being one.

    Nothing is ever written with an empty side or a placeholder.
    """
    if recipe.least_score is not None and (argued.score is None or argued.score < recipe.least_score):
        why = "not_judged" if argued.score is None else "low_score"
        yield SampleFault(why, f"The judge's score is {argued.score}; at least {recipe.least_score} is wanted.")
        return
    if fault := _blank(argued.query, "query"):
        yield fault
        return
    if recipe.format == "dpo":
        yield from _pairs(argued, recipe)
        return
    needed = ("thesis", "antithesis", "synthesis") if recipe.content == "trace" else ("final",)
    for name in needed:
        if fault := _blank(getattr(argued, name), name):
            yield fault
            return
    try:
        yield _MAKERS[recipe.format](argued, recipe)
    except SampleFault as fault:
        yield fault


def _messages(argued: Argued, recipe: Recipe) -> tuple[Message, ...]:
    system = _system(argued, recipe)
    head = (Message("system", system),) if system else ()
    return (*head, Message("user", _neutral(argued.query)), Message("assistant", _said(argued, recipe)))


def _messages_row(argued: Argued, recipe: Recipe) -> Row:
    return MessagesRow(id=argued.id, messages=_messages(argued, recipe))


def _mlx_row(argued: Argued, recipe: Recipe) -> Row:
    if recipe.student is None:
        return _messages_row(argued, recipe)
    system, output = _system(argued, recipe), _output(argued)
    row = recipe.student.format.accepted_row(Accepted(argued.id, argued.query, system, output))
    return TextRow(id=argued.id, text=recipe.student.text(row.text))


def _sharegpt_row(argued: Argued, recipe: Recipe) -> Row:
    turns = tuple(Turn(SHAREGPT[message.role], message.content) for message in _messages(argued, recipe))
    return ShareGptRow(id=argued.id, conversations=turns)


def _prompt_completion_row(argued: Argued, recipe: Recipe) -> Row:
    """A system text stands before the question: readers of this form know no other place for it."""
    parts = (_system(argued, recipe), _neutral(argued.query))
    prompt = "\n\n".join(part for part in parts if part)
    return PromptCompletionRow(id=argued.id, prompt=prompt, completion=_said(argued, recipe))


def _alpaca_row(argued: Argued, recipe: Recipe) -> Row:
    return AlpacaRow(
        id=argued.id,
        instruction=_neutral(argued.query),
        input="",
        output=_said(argued, recipe),
        system=_system(argued, recipe),
    )


def _instruction_row(argued: Argued, recipe: Recipe) -> Row:
    return InstructionRow(
        id=argued.id,
        instruction=_neutral(argued.query),
        input="",
        output=_said(argued, recipe),
        system=_system(argued, recipe),
        hegelion_trace=TraceRow(
            query=_neutral(argued.query),
            mode=argued.mode,
            thesis=_neutral(argued.thesis),
            antithesis=_neutral(argued.antithesis),
            synthesis=_neutral(argued.synthesis),
            contradictions=tuple(map(_neutral, argued.contradictions)),
            research_proposals=tuple(map(_neutral, argued.research_proposals)),
            metadata=Facts(source=argued.fact("source"), teacher=argued.fact("teacher"), score=argued.score),
        ),
    )


_MAKERS: dict[Format, Callable[[Argued, Recipe], Row]] = {
    "instruction": _instruction_row,
    "alpaca": _alpaca_row,
    "sharegpt": _sharegpt_row,
    "messages": _messages_row,
    "prompt-completion": _prompt_completion_row,
    "mlx": _mlx_row,
}


def _pairs(argued: Argued, recipe: Recipe) -> Iterator[Row | SampleFault]:
    """The answer against another's, or the synthesis against a part of the trace."""
    if recipe.rejected == "source":
        yield _pair(argued, recipe, argued.final, argued.rejected, "source")
        return
    for name in ("thesis", "antithesis") if recipe.rejected == "both" else (recipe.rejected,):
        yield _pair(argued, recipe, argued.synthesis, getattr(argued, name), name)


def _pair(argued: Argued, recipe: Recipe, chosen: str, rejected: str, origin: str) -> Row | SampleFault:
    if origin == "source" and not rejected.strip():
        return SampleFault("no_source_answer", "The source has no rejected answer to this question.")
    if fault := _blank(chosen, "answer" if origin == "source" else "synthesis") or _blank(rejected, origin):
        return fault
    if normalise(chosen) == normalise(rejected):
        return SampleFault("same_texts", "Both sides of the pair are the same text.")
    ratio = len(chosen) / len(rejected)
    if recipe.longest_ratio is not None and max(ratio, 1 / ratio) > recipe.longest_ratio:
        return SampleFault("length_ratio", f"One side is {max(ratio, 1 / ratio):.2f} times as long as the other.")
    system = (recipe.system or "").strip()
    head = (Message("system", system),) if system else ()
    return PreferenceRow(
        prompt=(*head, Message("user", _neutral(argued.query))),
        chosen=(Message("assistant", _neutral(chosen)),),
        rejected=(Message("assistant", _neutral(rejected)),),
        metadata=PairFacts(
            id=argued.id,
            rejected_from=origin,
            length_ratio=round(ratio, 4),
            source=argued.fact("source"),
            teacher=argued.fact("teacher"),
            score=argued.score,
        ),
    )


def _system(argued: Argued, recipe: Recipe) -> str:
    """The system text: what a sample says; where nothing is known, the one that asks for the trace."""
    if recipe.system is not None:
        return recipe.system.strip()
    if recipe.content == "answer":
        return ""
    return _neutral((STUDENT_SYSTEM if argued.system is None else argued.system).strip())


def _said(argued: Argued, recipe: Recipe) -> str:
    """What the assistant says."""
    if recipe.content == "answer":
        return _neutral(argued.final)
    return _output(argued, _neutral)


def _output(argued: Argued, neutral: Callable[[str], str] = lambda text: text) -> str:
    """The four parts as a sample's output.

    Raises:
        SampleFault: it would be read otherwise, since a part holds the heading of another or a block of its own.
    """
    parts = (argued.thesis, argued.antithesis, argued.synthesis, argued.final)
    thesis, antithesis, synthesis, answer = map(neutral, parts)
    output = render_output(ParsedOutput(thesis, antithesis, synthesis, answer))
    read = parse_output(output)
    if (read.thesis, read.antithesis, read.synthesis, read.answer) != (thesis, antithesis, synthesis, answer):
        raise SampleFault("repeated_sections", "A part holds the heading of another.")
    return output


def _blank(text: str, name: str) -> SampleFault | None:
    if not text.strip():
        return SampleFault(f"empty_{name}", f"The {name} is empty.")
    if is_placeholder(text):
        return SampleFault(f"placeholder_{name}", f"The {name} is a placeholder.")
    return None


def conversation(row: Row) -> list[dict[str, str]]:
    """The messages of which a trainer makes a row's text with a chat template; empty where none is used."""
    match row:
        case MessagesRow():
            told = [(message.role, message.content) for message in row.messages]
        case ShareGptRow():
            roles = {value: key for key, value in SHAREGPT.items()}
            told = [(roles[turn.speaker], turn.value) for turn in row.conversations]
        case PromptCompletionRow():
            told = [("user", row.prompt), ("assistant", row.completion)]
        case AlpacaRow() | InstructionRow():
            told = [("system", row.system), ("user", row.instruction), ("assistant", row.output)]
        case _:
            told = []
    return [{"role": role, "content": content} for role, content in told if content]
