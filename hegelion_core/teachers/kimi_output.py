"""What both Kimi programs print with ``--output-format stream-json``: one JSON object a line. Pure.

Kimi Code prints a version line first, an assistant line once a step, and as its last line, on success only, how to
resume the session. The legacy kimi-cli prints assistant lines only; there the exit code has to say that all is well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from hegelion_core.dialectic.steps import holds_label
from hegelion_core.unreadable import UNREADABLE

Dialect = Literal["kimi-code", "kimi-legacy"]
LineKind = Literal["version", "text", "tool", "retry", "end", "other"]


@dataclass(frozen=True)
class OutputLine:
    """One line: what it is, and its text: an assistant's words, why a step is tried again, version, or session."""

    kind: LineKind
    text: str = ""
    delay: float | None = None
    """Seconds until Kimi tries again by itself."""
    status: int | None = None
    """HTTP status for which it does."""


class _Part(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""


class _Line(msgspec.Struct, frozen=True):
    role: str
    type: str = ""
    content: str | list[_Part] | None = None
    tool_calls: list[msgspec.Raw] | None = None
    delay_ms: float | None = None
    error_message: str = ""
    status_code: int | None = None
    version: str = ""
    session_id: str = ""


_decoder: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)
_META: dict[str, LineKind] = {
    "system.version": "version",
    "turn.step.retrying": "retry",
    "session.resume_hint": "end",
}


def read_line(line: str) -> OutputLine:
    """Understand a line; whatever is not one of Kimi's objects is ``other``, with the line as its text."""
    try:
        found = _decoder.decode(line)
    except (*UNREADABLE, UnicodeEncodeError):
        return OutputLine("other", line)
    if found.tool_calls or found.role == "tool":
        return OutputLine("tool", line)
    if found.role == "assistant":
        return OutputLine("text", _text(found.content))
    if found.role == "meta":
        delay = None if found.delay_ms is None else found.delay_ms / 1000
        text = found.error_message or found.version or found.session_id
        return OutputLine(_META.get(found.type, "other"), text, delay, found.status_code)
    return OutputLine("other", line)


def read_lines(output: str) -> list[OutputLine]:
    """Every whole line of an output; a last line without its end is left out."""
    return [read_line(line) for line in output.split("\n")[:-1] if line.strip()]


def uses_tool(lines: Iterable[OutputLine]) -> bool:
    """Whether the agent asked for a tool, or one ran."""
    return any(line.kind == "tool" for line in lines)


def answer_text(lines: Iterable[OutputLine]) -> str:
    """The assistant's words.

    A user's hooks write assistant lines too, so the line that holds a trace goes first, and next to it one that holds
    the label of a dialogue's step.
    """
    texts = [line.text for line in lines if line.kind == "text" and line.text.strip()]
    traces = [text for text in texts if "</thought>" in text or "</think>" in text]
    steps = [text for text in texts if holds_label(text)]
    return (traces or steps or texts or [""])[-1]


def session(lines: Iterable[OutputLine]) -> str | None:
    """The session that Kimi Code names as its mark of success; ``None``: the mark is not there."""
    return next((line.text for line in lines if line.kind == "end"), None)


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text for part in content if part.type == "text")
    return content or ""
