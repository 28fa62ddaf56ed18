"""Decisions made by hand: ``<data>.decisions.jsonl`` beside the sample file, a line a decision, never rewritten.

A decision is about one line of the sample file, known by its content's hash: about that answer, not about its prompt.
The decisions on a row, one after the other, make its history; an ``undo`` takes the last one away. What is left tells
how the row stands (``standing``): the last word decides, and the last edit's text holds.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Literal

import msgspec

from hegelion_core import workspace
from hegelion_core.dialectic.parsing import ParsedOutput, SampleFault, render_output
from hegelion_core.dialectic.sample import Sample
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import verdicts
from hegelion_core.generation.sample_rows import read_row
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE

Action = Literal["accept", "reject", "edit", "undo"]
BY_HAND = "by_hand"
"""Stands in the metadata of a row that a person made of a rejected answer."""
REJECTED = "rejected_by_hand"
"""Why a reader leaves a row out."""


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """The four parts of a sample as a person wrote them."""

    thesis: str
    antithesis: str
    synthesis: str
    answer: str

    @property
    def output(self) -> str:
        """In the form of a sample's output."""
        return render_output(ParsedOutput(self.thesis, self.antithesis, self.synthesis, self.answer))


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the file."""

    at: float
    """Seconds since 1970."""
    action: Action
    row: str
    """Hash of the line that it is about, 32 hex digits (``verdicts.digest``)."""
    id: str = ""
    """Of the sample, for people."""
    prompt_id: str = ""
    attempt: str = ""
    """The row was made of a rejected answer: the hash of its line in the rejected file."""
    text: Text | None = None
    """What an edit wrote."""
    reason: str = ""
    """In the person's words."""


class Standing(msgspec.Struct, frozen=True):
    """How a row stands after all decisions on it."""

    action: Literal["accept", "reject", "edit"]
    text: Text | None
    prompt_id: str
    reason: str

    @property
    def rejected(self) -> bool:
        return self.action == "reject"


History = tuple[Decision, ...]


def decided(history: History, decision: Decision) -> History:
    """The history of a row after one more decision."""
    return history[:-1] if decision.action == "undo" else (*history, decision)


def standing(history: History) -> Standing | None:
    """How a row stands; ``None``: as if nobody had ever decided."""
    if not history:
        return None
    last = history[-1]
    assert last.action != "undo"  # noqa: S101 - an undo is in no history
    text = next((each.text for each in reversed(history) if each.text is not None), None)
    return Standing(last.action, text, last.prompt_id, last.reason)


def decisions_path(samples: Path) -> Path:
    """Where the decisions on a sample file lie."""
    return samples.with_suffix(".decisions.jsonl")


class Decisions:
    """The decisions on a sample file, as far as they were read. Lines that are none do no harm."""

    def __init__(self, samples: Path) -> None:
        """Empty until ``refresh``."""
        self.path = decisions_path(samples)
        self.foreign = 0
        """Lines that could not be read."""
        self._histories: dict[bytes, History] = {}
        self._rows_of_attempts: dict[str, bytes] = {}
        self._offset = self._size = self._inode = 0

    @classmethod
    def beside(cls, samples: Path) -> Decisions:
        """The decisions on a sample file as they are now.

        Raises:
            UserError: the file cannot be read. To go on without it would undo what a person decided.
        """
        found = cls(samples)
        try:
            found.refresh()
        except OSError as error:
            raise UserError(
                f"{found.path}: cannot be read ({error.strerror}).",
                "It holds what was decided by hand. Make it readable, or move it away to do without.",
                ExitCode.USAGE,
            ) from None
        return found

    def __bool__(self) -> bool:
        return bool(self._histories)

    @property
    def size(self) -> int:
        """Bytes that were read so far."""
        return self._offset

    def of(self, row: bytes) -> Standing | None:
        """How the row with this hash stands."""
        history = self._histories.get(row)
        return standing(history) if history else None

    def history(self, row: bytes) -> History:
        return self._histories.get(row, ())

    def row_of(self, attempt: str) -> bytes | None:
        """The row that was made of a rejected answer, by the hash of the answer's line."""
        return self._rows_of_attempts.get(attempt)

    def refresh(self) -> dict[bytes, Standing | None]:
        """Read what was appended since; returns the rows on which there is news, and how they stood before.

        A torn last line has to wait.

        It costs one look at the file's size if nothing was added.

        Raises:
            OSError: the file cannot be read.
        """
        before: dict[bytes, Standing | None] = {}
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return self._forget(0) if self._inode else before
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            raise OSError(errno.EINVAL, "is no regular file", str(self.path))
        self._size = status.st_size
        if status.st_ino != self._inode or status.st_size < self._offset:
            before = self._forget(status.st_ino)
        if status.st_size == self._offset:
            return before
        with open_regular(self.path) as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._take(line, before)
        return before

    def append(self, decision: Decision) -> None:
        """Add a decision, durably; whoever calls holds the store's lock and reads it with ``refresh``.

        Raises:
            OSError: it could not be written; nothing was added.
        """
        torn = b"\n" if self._size > self._offset else b""
        workspace.append(self.path, torn + msgspec.json.encode(decision) + b"\n")

    def read(self, line: bytes) -> Sample:
        """The sample on a line of the sample file, as the decisions want it.

        Raises:
            msgspec.DecodeError: see ``read_row``.
            SampleFault: it is no sample, or it was rejected by hand (``REJECTED``).
        """
        stands = self.of(verdicts.digest(line)) if self._histories else None
        return read_decided(line, stands)

    def _take(self, line: bytes, before: dict[bytes, Standing | None]) -> None:
        try:
            decision = _decoder.decode(line)
            row = bytes.fromhex(decision.row)
        except (*UNREADABLE, ValueError):
            self.foreign += bool(line.strip())
            return
        if len(row) != verdicts.DIGEST or (decision.action == "edit") != (decision.text is not None):
            self.foreign += 1
            return
        history = self._histories.get(row, ())
        before.setdefault(row, standing(history))
        self._histories[row] = decided(history, decision)
        if decision.attempt:
            self._rows_of_attempts[decision.attempt] = row

    def _forget(self, inode: int) -> dict[bytes, Standing | None]:
        before = {row: standing(history) for row, history in self._histories.items()}
        self._histories, self._rows_of_attempts = {}, {}
        self._offset, self._inode, self.foreign = 0, inode, 0
        return before


def read_decided(line: bytes, stands: Standing | None) -> Sample:
    """The sample on a line, where ``stands`` is what was decided on it.

    Raises:
        msgspec.DecodeError: see ``read_row``.
        SampleFault: it is no sample, or it was rejected by hand (``REJECTED``).
    """
    if stands is None:
        sample, by_hand = read_undecided(line)
        if by_hand:
            raise SampleFault(REJECTED, "The person who accepted it took that back.")
        return sample
    if stands.rejected:
        raise SampleFault(REJECTED, stands.reason or "A person rejected it.")
    sample = read_row(line, by_hand=True, output=stands.text.output if stands.text else None)
    word = "edited" if stands.text else "accepted"
    trace = sample.hegelion_trace
    return msgspec.structs.replace(
        sample, hegelion_trace=msgspec.structs.replace(trace, metadata={**trace.metadata, BY_HAND: word})
    )


def read_undecided(line: bytes) -> tuple[Sample, bool]:
    """The sample on a line, and whether a person made it of a rejected answer, overruling the contract.

    Raises:
        msgspec.DecodeError: see ``read_row``.
        SampleFault: it is no sample.
    """
    try:
        sample = read_row(line)
    except SampleFault:
        if _BY_HAND not in line or BY_HAND not in (sample := read_row(line, by_hand=True)).hegelion_trace.metadata:
            raise
    return sample, BY_HAND in sample.hegelion_trace.metadata


_BY_HAND = f'"{BY_HAND}"'.encode()
_decoder: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)
