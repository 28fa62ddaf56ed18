"""A question to base and adapter, and their answers as they come: the files, and what they say. Light.

    <spool>/compare/0007/question.json   what is asked
    <spool>/compare/0007/answers.jsonl   what has come so far, a JSON line a part
    <spool>/compare/0007/stop            whoever makes it ends the answers

The core writes questions, a child process answers them in their order, and faces read along.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from hegelion_core import workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.regular import read_regular
from hegelion_core.spool import LineReader
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import RunFolder

MAX_QUESTION = 8_000
"""Characters of a question: its request must fit into a line on the socket."""
MAX_TEMPERATURE = 2.0
MAX_LINE = 1 << 24
"""Characters of a line of answers that are read; an answer stands in its last line whole."""
QUESTION, ANSWERS, STOP = "question.json", "answers.jsonl", "stop"

Who = Literal["base", "adapter"]
Ending = Literal["", "end", "cut", "stopped"]
"""How an answer ended: not yet, by the model itself, at the limit of tokens, on request."""
Progress = Literal["waiting", "loading", "answering", "ended"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What both are asked: the content of ``question.json``."""

    text: str
    temperature: float
    """Of the sampler; 0 takes the likeliest token."""
    max_new_tokens: int
    at: float
    """When it was asked, in seconds since the epoch."""


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag=True):
    """A line of ``answers.jsonl``."""


class Loading(Line, frozen=True):
    """Student or adapter is being read into memory; the answers follow."""


class Part(Line, frozen=True):
    """More of an answer."""

    who: Who
    text: str
    tokens: int
    """So far."""
    seconds: float
    """Spent on this answer so far."""


class Ended(Line, frozen=True):
    """An answer has ended; ``text`` is the whole of it, as the evaluation would take it."""

    who: Who
    text: str
    tokens: int
    seconds: float
    ending: Ending
    complete_trace: bool


class Failed(Line, frozen=True):
    """There will be no more of these answers."""

    message: str
    hint: str = ""


AnyLine = Loading | Part | Ended | Failed
_decoder: msgspec.json.Decoder[AnyLine] = msgspec.json.Decoder(AnyLine)


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One model's answer, as far as it has come."""

    text: str = ""
    tokens: int = 0
    seconds: float | None = None
    """None: not known for this answer alone."""
    ending: Ending = ""
    complete_trace: bool = False

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.seconds else None


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A question and what became of it. A pure fold over its lines (``take``)."""

    number: int
    question: Question
    progress: Progress = "waiting"
    base: Side = Side()
    adapter: Side = Side()
    failed: Failed | None = None


def take(exchange: Exchange, line: AnyLine) -> Exchange:
    """The exchange after one more line."""
    match line:
        case Loading():
            return replace(exchange, progress="loading")
        case Failed():
            return replace(exchange, progress="ended", failed=line)
        case Part():
            before = exchange.base if line.who == "base" else exchange.adapter
            side = replace(before, text=before.text + line.text, tokens=line.tokens, seconds=line.seconds)
        case Ended():
            side = Side(
                text=line.text,
                tokens=line.tokens,
                seconds=line.seconds,
                ending=line.ending,
                complete_trace=line.complete_trace,
            )
    after = replace(exchange, base=side) if line.who == "base" else replace(exchange, adapter=side)
    return replace(after, progress="ended" if after.base.ending and after.adapter.ending else "answering")


def checked(text: str, temperature: float) -> str:
    """A question as it is asked: without control characters, and white space around it.

    Raises:
        UserError: it is empty or too long, or there is no such temperature.
    """
    from hegelion_core.dialectic.parsing import clean  # compiles patterns that the client's start must not wait for

    text = clean(text).strip()
    if not text:
        raise UserError("There is no question.", "Type one, then press Enter.", ExitCode.USAGE)
    if len(text) > MAX_QUESTION:
        message = f"The question has {len(text):,} characters; {MAX_QUESTION:,} are possible."
        raise UserError(message, "Shorten it.", ExitCode.USAGE)
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise UserError(f"{temperature}: no temperature.", f"Choose 0 to {MAX_TEMPERATURE}.", ExitCode.USAGE)
    return text


def folder_of(run: RunFolder) -> Path:
    """Where the exchanges of a run lie."""
    return run.spool / "compare"


def numbers(folder: Path, after: int = 0) -> list[int]:
    """The numbers of the exchanges beyond ``after``, in order."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(number for name in names if name.isdecimal() and (number := int(name)) > after)


def place(folder: Path, number: int) -> Path:
    """The folder of an exchange."""
    return folder / f"{number:04}"


def read_question(folder: Path, number: int) -> Question | None:
    """What is asked; none if that cannot be read (yet)."""
    try:
        return msgspec.json.decode(read_regular(place(folder, number) / QUESTION), type=Question)
    except (OSError, *UNREADABLE):
        return None


def write_line(folder: Path, number: int, line: AnyLine) -> None:
    """Append a line. It need not outlive the machine, so nothing waits for the disk.

    Raises:
        OSError: the folder is gone or cannot be written.
    """
    fd = workspace.open_own(place(folder, number) / ANSWERS, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, msgspec.json.encode(line) + b"\n")
    finally:
        os.close(fd)


class _Follower:
    """An exchange that is read as it grows."""

    def __init__(self, folder: Path, number: int, question: Question) -> None:
        self.exchange = Exchange(number=number, question=question)
        self._reader = LineReader(place(folder, number) / ANSWERS, longest=MAX_LINE)

    def read(self) -> bool:
        """Whether there was more."""
        before = self.exchange
        if before.progress != "ended":
            for lines in self._reader.drain():
                for line in _decoded(lines):
                    self.exchange = take(self.exchange, line)
        return self.exchange is not before


class Exchanges:
    """The exchanges of a run, read as they grow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._followers: dict[int, _Follower] = {}

    def refresh(self) -> bool:
        """Read what is new; whether anything was."""
        changed = False
        for number in numbers(self._folder, max(self._followers, default=0)):
            if (question := read_question(self._folder, number)) is None:
                continue
            self._followers[number] = _Follower(self._folder, number, question)
            changed = True
        return sum(follower.read() for follower in self._followers.values()) > 0 or changed

    def all(self) -> tuple[Exchange, ...]:
        """Those that were read, the newest first."""
        return tuple(self._followers[number].exchange for number in sorted(self._followers, reverse=True))


def _decoded(lines: Iterable[str]) -> Iterator[AnyLine]:
    for line in lines:
        try:
            yield _decoder.decode(line)
        except UNREADABLE:
            continue  # torn by a full disk; the last line holds the whole answer
