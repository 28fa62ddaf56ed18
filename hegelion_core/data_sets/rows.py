"""The rows of each format, as the trainers' documentation wants them."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True):
    """Who says what: ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


class Turn(msgspec.Struct, frozen=True, rename={"speaker": "from"}):
    """The same in ShareGPT's names: ``system``, ``human``, ``gpt``."""

    speaker: str
    value: str


class MessagesRow(msgspec.Struct, frozen=True, kw_only=True):
    """mlx-lm (chat), TRL and others."""

    id: str
    messages: tuple[Message, ...]


class PromptCompletionRow(msgspec.Struct, frozen=True, kw_only=True):
    """mlx-lm (completions), TRL."""

    id: str
    prompt: str
    completion: str


class AlpacaRow(msgspec.Struct, frozen=True, kw_only=True):
    """Alpaca's three columns and the system text."""

    id: str
    instruction: str
    input: str
    output: str
    system: str


class ShareGptRow(msgspec.Struct, frozen=True, kw_only=True):
    """ShareGPT."""

    id: str
    conversations: tuple[Turn, ...]


class TextRow(msgspec.Struct, frozen=True, kw_only=True):
    """mlx-lm (text), in one student's form."""

    id: str
    text: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sample comes from, as far as it is known."""

    source: str | None
    teacher: str | None
    score: float | None
    """The judge's, 0 to 10."""


class TraceRow(msgspec.Struct, frozen=True, kw_only=True):
    """``hegelion_trace`` of an instruction row."""

    query: str
    mode: str
    thesis: str
    antithesis: str
    synthesis: str
    contradictions: tuple[str, ...]
    research_proposals: tuple[str, ...]
    metadata: Facts


class InstructionRow(msgspec.Struct, frozen=True, kw_only=True):
    """The form of the sample file, with the same columns in every row; it can be converted and exported again."""

    id: str
    instruction: str
    input: str
    output: str
    system: str
    hegelion_trace: TraceRow


class PairFacts(msgspec.Struct, frozen=True, kw_only=True):
    """About a preference pair."""

    id: str
    rejected_from: str
    """``thesis``, ``antithesis`` or ``source``."""
    length_ratio: float
    """Characters of the chosen text for one of the rejected text."""
    source: str | None
    teacher: str | None
    score: float | None


class PreferenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """TRL's preference type in conversational form: for DPO and its kin."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    metadata: PairFacts


Row = MessagesRow | PromptCompletionRow | AlpacaRow | ShareGptRow | TextRow | InstructionRow | PreferenceRow
ROWS: tuple[type[msgspec.Struct], ...] = (
    *(MessagesRow, PromptCompletionRow, AlpacaRow, ShareGptRow, TextRow, InstructionRow, PreferenceRow),
)


def columns(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The columns of a row."""
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))
