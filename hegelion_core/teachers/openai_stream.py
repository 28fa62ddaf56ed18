"""What an OpenAI-compatible endpoint streams: server-sent events to lines of a call's ``out``, and those to an answer.

Pure. The events are read here and not by the client library, since what it leaves out counts: comments, which
endpoints send while a request waits its turn, are signs of life.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from hegelion_core.dialectic import prompts
from hegelion_core.teachers.teacher import Answer, FaultKind, TeacherFault
from hegelion_core.unreadable import UNREADABLE

MAX_EVENT = 4 << 20
"""Bytes of one event; a piece of text has some hundreds, an answer that was not streamed some thousands."""

_LENGTH = {"length", "max_tokens", "model_length", "max_length"}
_FILTERED = {"content_filter", "sensitive", "safety", "refusal", "blocklist", "prohibited_content", "recitation"}
_TOOL = {"tool_calls", "function_call", "tool_use"}
_BROKEN = {"error", "network_error", "insufficient_system_resource", "abort", "cancelled"}


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of ``out``: what one piece of the network's brought, or at the end, ``seconds`` and where it came from."""

    text: str = ""
    thinking: str = ""
    tool: bool = False
    refusal: str = ""
    finish: str = ""
    """Why the model ended; empty until it has."""
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""
    """An error inside the stream, as JSON."""
    status: int = 200
    """Of that error."""
    endpoint: str = ""
    seconds: float = 0.0


class Events:
    """Splits a body into the data of its events, as it comes."""

    def __init__(self, *, whole: bool) -> None:
        """``whole``: the body is no stream but one JSON object, as from a server that cannot stream."""
        self._whole = whole
        self._rest = bytearray()
        self.done = False
        """Whether the end of the stream was announced."""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that are whole now.

        Raises:
            TeacherFault: ``protocol``, an event without end.
        """
        known = len(self._rest)
        self._rest += data
        # Only what is new is looked at: an event may come in any number of pieces.
        end = 0 if self._whole else self._rest.rfind(b"\n", known) + 1
        lines = bytes(self._rest[:end]).split(b"\n")
        del self._rest[:end]
        if len(self._rest) > MAX_EVENT:
            raise TeacherFault("protocol", f"The stream holds an event of more than {MAX_EVENT >> 20} MiB.")
        return self._data(lines)

    def finish(self) -> list[bytes]:
        """What is left when the body has ended."""
        rest = bytes(self._rest)
        self._rest.clear()
        return [rest] if self._whole and rest.strip() else self._data([rest])

    def _data(self, lines: Iterable[bytes]) -> list[bytes]:
        found = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        self.done = self.done or b"[DONE]" in found
        return [data for data in found if data and data != b"[DONE]"]


class _Part(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""


class _Delta(msgspec.Struct, frozen=True):
    content: str | list[_Part] | None = None
    reasoning_content: object = None
    reasoning: object = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: object = None
    refusal: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Event(msgspec.Struct, frozen=True):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    error: object = None


_EMPTY = Line()
_KEPT = tuple(name for name in Line.__struct_fields__ if name not in ("text", "thinking"))
_events = msgspec.json.Decoder(_Event)
_lines = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


def read_events(found: Iterable[bytes]) -> Line:
    """What some events say, in one line.

    Raises:
        TeacherFault: ``protocol``, an event that is not understood; without it the answer would have a hole.
    """
    merged: dict[str, str | int | bool] = {}
    for data in found:
        try:
            event = _events.decode(data)
        except UNREADABLE as error:
            shown = data[:80].decode("utf-8", "replace")
            raise TeacherFault("protocol", f"The stream holds what is no chat completion ({error}): {shown}") from None
        for name, value in _values(event).items():
            joined = name in ("text", "thinking", "refusal") and name in merged
            merged[name] = f"{merged[name]}{value}" if joined else value
    return msgspec.convert(merged, Line)


def _values(event: _Event) -> dict[str, str | int | bool]:
    """What an event says, by the names of ``Line``; only what is there."""
    choice = event.choices[0] if event.choices else _Choice()
    delta = choice.delta or choice.message or _Delta()
    thinking = next((said for said in (delta.reasoning_content, delta.reasoning) if isinstance(said, str)), "")
    usage = event.usage or _Usage()
    found: dict[str, str | int | bool | None] = {
        "text": _text(delta.content),
        "thinking": thinking,
        "tool": bool(delta.tool_calls or delta.function_call),
        "refusal": delta.refusal,
        "finish": choice.finish_reason,
        "model": event.model,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    if event.error:
        found |= {"error": _encoder.encode(event.error).decode(), "status": _status(event.error)}
    return {name: value for name, value in found.items() if value}


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text for part in content if part.type == "text")
    return content or ""


def _status(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 200


def encode(line: Line) -> bytes:
    """The line as it stands in ``out``."""
    return _encoder.encode(line) + b"\n"


@dataclass
class Reply:
    """All that a call has brought so far."""

    texts: list[str] = field(default_factory=list)
    thought: int = 0
    """Characters of thinking, which is never part of the answer."""
    last: Line = field(default_factory=Line)
    """The newest of each other value."""

    def add(self, line: Line) -> None:
        """Take a line into account."""
        self.texts.append(line.text)
        self.thought += len(line.thinking)
        newer = {name: value for name in _KEPT if (value := getattr(line, name)) != getattr(_EMPTY, name)}
        self.last = msgspec.structs.replace(self.last, **newer) if newer else self.last

    @property
    def text(self) -> str:
        """The model's words, without what it thought aloud before the block."""
        text = "".join(self.texts)
        _, mark, rest = text.rpartition("</think>")
        return rest.strip() if mark and "<thought>" in rest.lower() else text.strip()

    def fault(self) -> TeacherFault | None:
        """Why this is no answer; none if it is one. (An error inside the stream is the caller's.)"""
        finish = self.last.finish.lower()
        if self.last.tool or finish in _TOOL:
            return TeacherFault(
                "tool_use",
                "The model tried to use a tool, though it was offered none; the call was stopped.",
                "The prompt is set aside. Look at its text: it may try to give orders.",
            )
        if finish in _FILTERED or self.last.refusal:
            said = self.last.refusal or f"finish reason {self.last.finish}"
            return TeacherFault(
                "filtered", f"The provider does not answer this prompt: {said[:200]}", "It is set aside."
            )
        if not finish or finish in _BROKEN:
            kind: FaultKind = "transient"
            return TeacherFault(kind, f"The stream broke off{f' ({finish})' if finish else ''}.", "It is tried again.")
        if self.text:
            return None
        if self.thought and finish in _LENGTH:
            return TeacherFault(
                "protocol",
                "The model thought until the limit of tokens and answered nothing.",
                "Raise teacher.max_new_tokens, or set teacher.thinking to off.",
            )
        return TeacherFault("protocol", f"The model answered nothing (finish reason {finish}).", "Try another model.")

    @property
    def whole(self) -> bool:
        """Whether this is an answer that arrived whole, whatever happened afterwards."""
        return not self.last.error and self.fault() is None

    def answer(self) -> Answer:
        """The answer, where it is ``whole``."""
        return Answer(
            text=self.text,
            seconds=self.last.seconds,
            prompt_tokens=self.last.prompt_tokens,
            completion_tokens=self.last.completion_tokens,
            truncated=self.last.finish.lower() in _LENGTH,
            metadata={"recipe": prompts.RECIPE, "endpoint": self.last.endpoint, "model": self.last.model},
        )


def read_reply(out: bytes) -> Reply | None:
    """What a call's ``out`` holds; none where a line in its midst is no line of ours. A torn last one is left out."""
    reply = Reply()
    try:
        for line in out.split(b"\n")[:-1]:
            reply.add(_lines.decode(line))
    except UNREADABLE:
        return None
    return reply
