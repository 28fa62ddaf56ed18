"""Samples and attempts to look through: rows by their places, read when they are looked at. Bounded memory.

A ``Catalogue`` holds two shelves: the sample file's lines, and those of the rejected file. Only where each line begins
is kept (some 40 bytes a line), so a file of 100,000 samples can be scrolled and searched. ``refresh`` and ``select``
read whole files and belong in a thread; ``entry`` and ``line`` read one line.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import msgspec

from hegelion_core.dialectic.parsing import ParsedOutput, SampleFault, parse_output
from hegelion_core.generation import by_hand
from hegelion_core.generation.decisions import Action, Decision, Text
from hegelion_core.generation.sample_rows import MAX_LINE, read_row
from hegelion_core.generation.store import Rejected, SampleStore
from hegelion_core.generation.verdicts import digest
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE

View = Literal["samples", "attempts"]
SHORT = 300
"""Characters of a prompt in a table."""
_BATCH = 500
_LIMIT = 1 << 18  # bytes of a line that are read for a row of the table


@dataclass(frozen=True)
class Entry:
    """A row of a table."""

    number: int
    """From 1."""
    prompt: str
    """Its beginning."""
    teacher: str
    length: int
    """Characters of the output."""
    state: str
    reason: str = ""
    """Why an attempt gave no sample, or what a person said."""


@dataclass(frozen=True)
class Page:
    """All of a row, to be read."""

    entry: Entry
    prompt: str
    parts: ParsedOutput | None
    """The four parts as they are now; ``None`` if the text cannot be read as four parts."""
    raw: str
    """The text as the teacher wrote it."""
    fault: str = ""
    """Why it is no sample, in words."""
    facts: dict[str, object] = field(default_factory=dict)
    """What is known of how it was made."""
    history: tuple[Decision, ...] = ()
    """The decisions that stand, the last one last."""

    @property
    def text(self) -> Text:
        """The four parts to begin an edit with."""
        if self.parts is None:
            return Text(thesis="", antithesis="", synthesis="", answer=self.raw.strip())
        parts = self.parts
        return Text(
            thesis=parts.thesis, antithesis=parts.antithesis, synthesis=parts.synthesis, answer=parts.answer
        )  # fmt: skip


class Shelf(Protocol):
    """The lines of one file. Rows count from 0; a row that is not there any more raises ``IndexError``."""

    path: Path

    def __len__(self) -> int: ...

    def offset(self, index: int) -> int:
        """Where a row begins."""

    def entry(self, index: int, line: bytes) -> Entry:
        """A row of the table."""

    def page(self, index: int, line: bytes) -> Page:
        """All of a row."""

    def state(self, index: int, line: bytes) -> str:
        """How a row stands."""

    def texts(self, line: bytes) -> tuple[str, ...]:
        """What is searched."""


class Catalogue:
    """Samples and attempts of one sample file, and what a person decides on them."""

    def __init__(self, samples: Path) -> None:
        """Reads the sample file; at the first sight of 100,000 samples that takes a minute, later a second or two.

        Raises:
            UserError: it cannot be read.
        """
        self._lock = threading.Lock()
        self.store = SampleStore(samples)
        attempts = Attempts(self.store)
        attempts.refresh()
        self._attempts = attempts
        self.shelves: dict[View, Shelf] = {"samples": Samples(self.store), "attempts": attempts}
        self.version = 0
        """Changes with every decision and with every file that was replaced."""

    def refresh(self) -> bool:
        """Look for what was appended or decided since; whether anything was.

        Raises:
            OSError: a file cannot be read.
        """
        with self._lock:
            before = self._mark()
            self.store.refresh()
            self._attempts.refresh()
            after = self._mark()
            if before[2:] != after[2:] or any(new < old for old, new in zip(before[:2], after[:2], strict=True)):
                self.version += 1
            return before != after

    def decide(self, view: View, line: bytes, action: Action, *, text: Text | None = None, reason: str = "") -> None:
        """Decide on a row.

        Raises:
            UserError: it cannot be done, and why.
            OSError: it could not be written; nothing was decided.
        """
        with self._lock:
            try:
                if view == "samples":
                    by_hand.decide(self.store, line, action, text=text, reason=reason)
                elif action == "undo":
                    by_hand.take_back(self.store, line)
                else:
                    by_hand.take_up(self.store, line, text=text, reason=reason)
            finally:
                self.version += 1

    def select(
        self,
        view: View,
        start: int,
        pattern: re.Pattern[str] | None,
        states: frozenset[str],
        stopped: Callable[[], bool] = bool,
    ) -> Iterator[tuple[int, array[int]]]:
        """Find rows from ``start`` on, some at a time.

        Args:
            view: which shelf.
            start: the first row that is looked at.
            pattern: is searched for in prompts, texts and reasons; all rows without one.
            states: of these states; of all if empty.
            stopped: asked now and then.

        Yields:
            How many rows of the shelf were looked at, and those that were found since the last time.
        """
        shelf = self.shelves[view]
        total, found = len(shelf), array("Q")
        if start >= total:
            yield total, found
            return
        with open_regular(shelf.path) as file:
            for index in range(start, total):
                with contextlib.suppress(IndexError):  # the file was replaced meanwhile
                    if _matches(shelf, index, _line(file, shelf, index), pattern, states):
                        found.append(index)
                if index % _BATCH == _BATCH - 1:
                    yield index + 1, found
                    found = array("Q")
                    if stopped():
                        return
        yield total, found

    def line(self, view: View, index: int, limit: int = MAX_LINE) -> bytes:
        """A row's line, cut after ``limit`` bytes; empty if it is not there any more."""
        shelf = self.shelves[view]
        with contextlib.suppress(OSError, IndexError), open_regular(shelf.path) as file:
            return _line(file, shelf, index, limit)
        return b""

    def entry(self, view: View, index: int) -> Entry | None:
        """A row of the table; none if it is not there any more."""
        line = self.line(view, index, _LIMIT)
        if not line:
            return None
        if not line.endswith(b"\n") and len(line) == _LIMIT:
            return Entry(index + 1, "(a line that is too long for the table)", "", _LIMIT, "unusable")
        with contextlib.suppress(IndexError):
            return self.shelves[view].entry(index, line)
        return None

    def page(self, view: View, index: int) -> tuple[Page, bytes] | None:
        """All of a row, and its line; none if it is not there any more."""
        line = self.line(view, index)
        with contextlib.suppress(IndexError):
            return (self.shelves[view].page(index, line), line) if line else None
        return None

    def export(self, view: View, rows: Sequence[int], target: Path) -> int:
        """Write rows into a new file, samples as the decisions want them; returns how many were written.

        A sample that was rejected by hand, or that is none, is written as it stands in its file: the person chose it.

        Raises:
            OSError: it cannot be written; what was there is as it was.
        """
        shelf = self.shelves[view]
        beside = target.with_name(f".{target.name}.tmp")
        count = 0
        try:
            with open_regular(shelf.path) as source, open(beside, "wb") as file:
                for index in rows:
                    line = _line(source, shelf, index).strip()
                    file.write((self._decided(line) if view == "samples" else line) + b"\n")
                    count += 1
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        return count

    def _decided(self, line: bytes) -> bytes:
        try:
            return msgspec.json.encode(self.store.decisions.read(line))
        except (*UNREADABLE, SampleFault):
            return line

    def _mark(self) -> tuple[int, int, int, int]:
        return len(self.store), len(self._attempts), self.store.decisions.size, self.store.accepted


def _line(file: BinaryIO, shelf: Shelf, index: int, limit: int = MAX_LINE) -> bytes:
    file.seek(shelf.offset(index))
    return file.readline(limit)


def _matches(shelf: Shelf, index: int, line: bytes, pattern: re.Pattern[str] | None, states: frozenset[str]) -> bool:
    if states and shelf.state(index, line) not in states:
        return False
    return pattern is None or any(pattern.search(text) for text in shelf.texts(line))


class Samples:
    """The sample file."""

    def __init__(self, store: SampleStore) -> None:
        self.path = store.path
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def offset(self, index: int) -> int:
        return self._store.offset(index)

    def state(self, index: int, line: bytes) -> str:
        return self._store.state(index)

    def texts(self, line: bytes) -> tuple[str, ...]:
        row, metadata = _decode(line)
        stands = self._store.decisions.of(digest(line))
        said = stands.reason if stands is not None else ""
        return row.query, self._text(line, row.output), _teacher(metadata), said

    def entry(self, index: int, line: bytes) -> Entry:
        row, metadata = _decode(line)
        return self._entry(index, row.query, metadata, line, self._text(line, row.output))

    def page(self, index: int, line: bytes) -> Page:
        row, metadata = _decode(line)
        text = self._text(line, row.output)
        entry = self._entry(index, row.query, metadata, line, text)
        parts, fault = _parts(text)
        if entry.state == "unusable":
            fault = fault or _contract_fault(line)
        history = self._store.decisions.history(digest(line))
        return Page(entry, row.query, parts, row.output, fault, metadata, history)

    def _entry(self, index: int, query: str, metadata: dict[str, object], line: bytes, text: str) -> Entry:
        stands = self._store.decisions.of(digest(line))
        said = stands.reason if stands is not None else ""
        return Entry(index + 1, query[:SHORT], _teacher(metadata), len(text), self._store.state(index), said)

    def _text(self, line: bytes, output: str) -> str:
        """The output as it is now: an edit stands in its place."""
        stands = self._store.decisions.of(digest(line))
        return stands.text.output if stands is not None and stands.text is not None else output


class Attempts:
    """The rejected file."""

    def __init__(self, store: SampleStore) -> None:
        self.path = store.rejected_path
        self._store = store
        self._offsets = array("Q")
        self._end = self._inode = 0

    def __len__(self) -> int:
        return len(self._offsets)

    def refresh(self) -> None:
        """Find the lines that were appended since. Raises ``OSError``."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._offsets, self._end, self._inode = array("Q"), 0, 0
            return
        if status.st_ino != self._inode or status.st_size < self._end:
            self._offsets, self._end, self._inode = array("Q"), 0, status.st_ino
        if status.st_size == self._end:
            return
        with open_regular(self.path) as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if line.strip():
                    self._offsets.append(self._end)
                self._end += len(line)

    def offset(self, index: int) -> int:
        return self._offsets[index]

    def state(self, index: int, line: bytes) -> str:
        return self._taken_up(line) or _attempt(line).kind

    def texts(self, line: bytes) -> tuple[str, ...]:
        attempt = _attempt(line)
        return attempt.query, attempt.text, attempt.reason, attempt.detail, attempt.teacher

    def entry(self, index: int, line: bytes) -> Entry:
        attempt = _attempt(line)
        state = self._taken_up(line) or attempt.kind
        return Entry(index + 1, attempt.query[:SHORT], attempt.teacher, len(attempt.text), state, attempt.reason)

    def page(self, index: int, line: bytes) -> Page:
        attempt, row = _attempt(line), self._store.decisions.row_of(digest(line).hex())
        history = self._store.decisions.history(row) if row is not None else ()
        stands = self._store.decisions.of(row) if row is not None else None
        parts, _ = _parts(stands.text.output if stands is not None and stands.text is not None else attempt.text)
        return Page(
            self.entry(index, line),
            attempt.query,
            parts,
            attempt.text,
            f"{attempt.reason}: {attempt.detail}" if attempt.detail else attempt.reason,
            {"teacher": attempt.teacher, "attempt": attempt.attempt, "at": attempt.at, "call": attempt.call_id},
            history,
        )

    def _taken_up(self, line: bytes) -> str:
        """How the sample stands that was made of an attempt, if it counts."""
        row = self._store.decisions.row_of(digest(line).hex())
        if row is None or not (places := self._store.find(row)):
            return ""
        state = self._store.state(places[0])
        return state if state in ("accepted by hand", "edited") else ""


class _Row(msgspec.Struct, frozen=True):
    """What is shown of a line of the sample file, whatever it is."""

    instruction: str | None = None
    input: str | None = None
    output: str = ""
    hegelion_trace: dict[str, object] | str | None = None

    @property
    def query(self) -> str:
        query = "\n\n".join(part for part in (self.instruction, self.input) if part and part.strip())
        trace = self.hegelion_trace
        traced = trace.get("query") if isinstance(trace, dict) else None
        return query or (traced if isinstance(traced, str) else "")


_rows: msgspec.json.Decoder[_Row] = msgspec.json.Decoder(_Row)


def _decode(line: bytes) -> tuple[_Row, dict[str, object]]:
    """A line's fields and its metadata; of one that cannot be read, the line itself as its output."""
    try:
        row = _rows.decode(line.removeprefix(b"\xef\xbb\xbf"))
    except UNREADABLE:
        return _Row(output=line.decode("utf-8", "replace").strip()), {}
    metadata = row.hegelion_trace.get("metadata") if isinstance(row.hegelion_trace, dict) else None
    return row, metadata if isinstance(metadata, dict) else {}


def _attempt(line: bytes) -> Rejected:
    try:
        return msgspec.json.decode(line, type=Rejected)
    except UNREADABLE:
        text = line.decode("utf-8", "replace").strip()
        return Rejected(
            at=0.0, prompt_id="", query="", reason="unreadable", detail="", attempt=0, text=text, teacher=""
        )  # fmt: skip


def _parts(text: str) -> tuple[ParsedOutput | None, str]:
    """The parts of a text, or what keeps it from being read."""
    try:
        return parse_output(text), ""
    except SampleFault as fault:
        return None, f"{fault.reason}: {fault.detail}"


def _contract_fault(line: bytes) -> str:
    try:
        read_row(line)
    except SampleFault as fault:
        return f"{fault.reason}: {fault.detail}"
    except UNREADABLE as error:
        return str(error)
    return ""


def _teacher(metadata: dict[str, object]) -> str:
    names = (metadata.get("teacher"), metadata.get("teacher_version"))
    return " ".join(name for name in names if isinstance(name, str) and name)
