"""The sample store: the accepted samples' file, and beside it the answers and attempts that were not accepted.

The file is the truth: what counts is what is durably in it, whoever wrote it. Append, limit and uniqueness are checked
under one lock that every process on the same output takes.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import time
from collections.abc import Iterator, KeysView
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from hegelion_core import workspace
from hegelion_core.dialectic.contract import read_accepted
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.sample import Sample
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.events import SamplesCounted
from hegelion_core.generation import verdicts
from hegelion_core.generation.decisions import Decisions, read_undecided
from hegelion_core.generation.sample_rows import MAX_LINE
from hegelion_core.generation.tally import State, Tally
from hegelion_core.generation.verdicts import UNUSABLE, Verdict
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE

Outcome = Literal["accepted", "duplicate", "full"]
Kind = Literal["rejected", "failed"]


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that gave no sample: a line of ``<output>.rejected.jsonl``. Nothing that was paid for is lost."""

    at: float
    prompt_id: str
    query: str
    kind: Kind = "rejected"
    """An answer that does not meet the contract, or a call that gave none."""
    reason: str
    detail: str
    attempt: int
    text: str
    """The answer as the teacher wrote it, or what a call that failed had written so far; empty if there was none."""
    teacher: str
    call_id: str = ""


class SampleStore:
    """One process's view of the sample file and the decisions on it; ``refresh`` follows other writers."""

    def __init__(self, path: Path) -> None:
        """Raises ``UserError`` if the file cannot be read."""
        self.path = path
        self.rejected_path = path.with_suffix(".rejected.jsonl")
        self.decisions = Decisions(path)
        self._tally = Tally()
        self._offset = 0
        self._size = 0
        self._inode = 0
        self._lock = path.with_name(f".{path.name}.lock")
        self._cache = verdicts.cache_path(path)
        try:
            self.rejected = _count_rejected(self.rejected_path)
            self.refresh()
        except OSError as error:
            raise UserError(
                f"{path}: cannot be used as the sample file ({error.strerror}).",
                "Name a file in a folder that you can write to with --output.",
                ExitCode.USAGE,
            ) from None

    @property
    def done(self) -> KeysView[str]:
        """Ids of the prompts that have an accepted sample."""
        return self._tally.done

    @property
    def accepted(self) -> int:
        """Distinct prompts with a sample that meets the contract or a person accepted, and none rejected."""
        return len(self.done)

    @property
    def foreign(self) -> int:
        """Accepted rows that another program wrote."""
        return self._tally.foreign

    @property
    def unusable(self) -> int:
        """Lines that hold no sample."""
        return self._tally.unusable

    def withdrawn(self) -> Iterator[str]:
        """Ids of the prompts whose samples were all rejected by hand; they may be asked anew."""
        return self._tally.withdrawn()

    def is_withdrawn(self, prompt_id: str) -> bool:
        """Whether all samples of a prompt, one at least, were rejected by hand."""
        return self._tally.is_withdrawn(prompt_id)

    def __len__(self) -> int:
        """Rows of the file, whatever they are."""
        return len(self._tally)

    def row(self, index: int) -> bytes:
        """The hash of a row's line; rows count from 0."""
        return self._tally.row(index)

    def find(self, row: bytes) -> list[int]:
        """The rows with this hash."""
        return self._tally.find(row)

    def line(self, index: int) -> bytes:
        """A row's line, cut after ``MAX_LINE`` bytes.

        Raises:
            OSError: the file cannot be read.
        """
        with open_regular(self.path) as file:
            file.seek(self.offset(index))
            return file.readline(MAX_LINE)

    def offset(self, index: int) -> int:
        """Where a row begins in the file."""
        return self._tally.offsets[index]

    def state(self, index: int) -> State:
        """How a row stands."""
        return self._tally.state(index, self.decisions.of(self._tally.row(index)))

    def counted(self) -> SamplesCounted:
        """What is in the file, as an event."""
        return SamplesCounted(
            path=str(self.path),
            accepted=self.accepted,
            foreign=self.foreign,
            unusable=self.unusable,
            rejected=self.rejected,
        )

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other process on this output from appending and from claiming prompts."""
        return workspace.locked(self._lock)

    def refresh(self) -> None:
        """Read what was appended since; a file that was replaced or cut is read anew. A torn last line has to wait."""
        for row, before in self.decisions.refresh().items():
            self._tally.decide(row, before, self.decisions.of(row))
        self._read_samples()

    def _read_samples(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._reset(0)
            return
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(self.path))
        anew = status.st_ino != self._inode or status.st_size < self._offset
        if anew:
            self._reset(status.st_ino)
        self._size = status.st_size
        if status.st_size == self._offset:
            return
        with open_regular(self.path) as file:
            known = verdicts.load(self._cache) if anew else {}
            found: dict[bytes, Verdict] = {}
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if line.strip():
                    name = verdicts.digest(line)
                    found[name] = known.get(name) or _judge(line)
                    self._count(name, found[name])
                self._offset += len(line)
        if anew and found.keys() != known.keys():
            verdicts.save(self._cache, found.items())

    def mend(self) -> None:
        """End the last lines that have no end, and count what they hold.

        Raises:
            OSError: a file cannot be written.
        """
        with self.locked():
            self.settle()
            _end_last_line(self.rejected_path)

    def settle(self) -> None:
        """``refresh``, and what ``mend`` says; whoever calls holds the lock.

        A writer that was killed may have left a line without an end; the next must not become part of it. If it is no
        whole object, no reader of the file could go on behind it: it goes to the rejected file.
        """
        self.refresh()
        if self._size > self._offset:
            if torn := _torn(self.path):
                self._keep_torn(torn)
            _end_last_line(self.path)
            self.refresh()

    def _keep_torn(self, torn: bytes) -> None:
        self._write_rejected(
            Rejected(
                at=time.time(),
                prompt_id="",
                query="",
                kind="failed",
                reason="torn",
                detail=f"The last line of {self.path.name} was cut, as by the end of whoever wrote it.",
                attempt=0,
                text=torn.decode("utf-8", "replace"),
                teacher="",
            )
        )

    def append(self, sample: Sample, limit: int) -> Outcome:
        """Add a sample, durably, unless its prompt is done or the file holds ``limit`` samples.

        Raises:
            OSError: the disk is full or the file cannot be written; nothing was added.
        """
        with self.locked():
            self.settle()
            name = prompt_id(sample.instruction)
            if name in self.done:
                return "duplicate"
            if self.accepted >= limit:
                return "full"
            self.add(sample, Verdict(name, canonical=True))
        return "accepted"

    def add(self, sample: Sample, verdict: Verdict) -> bytes:
        """Add a sample, durably, whatever is there; whoever calls holds the lock and has called ``settle``.

        Returns:
            The hash of its line.

        Raises:
            OSError: the disk is full or the file cannot be written; nothing was added.
        """
        line = msgspec.json.encode(sample) + b"\n"
        workspace.append(self.path, line)
        row = verdicts.digest(line)
        self._inode = self._inode or self.path.stat().st_ino
        self._count(row, verdict)  # accounted for without reading it again
        self._offset += len(line)
        verdicts.add(self._cache, row, verdict)
        return row

    def reject(self, attempt: Rejected) -> None:
        """Keep an attempt that gave no sample.

        Raises:
            OSError: it could not be written; nothing was added.
        """
        workspace.make_folder(self.path.parent)
        with self.locked():  # an append that fails is cut back, and must not take another's along
            self._write_rejected(attempt)
        self.rejected += attempt.kind == "rejected"

    def _write_rejected(self, attempt: Rejected) -> None:
        _end_last_line(self.rejected_path)
        workspace.append(self.rejected_path, msgspec.json.encode(attempt) + b"\n")

    def knows_call(self, call_id: str) -> bool:
        """Whether a call's answer was kept already, accepted or not. After ``mend``: a torn line has kept nothing."""
        # As they stand in a line of ours; in a text inside of one, the quotes are escaped.
        names = {self.path: f'"call":"{call_id}"', self.rejected_path: f'"call_id":"{call_id}"'}
        return any(_contains(path, name.encode()) for path, name in names.items())

    def _reset(self, inode: int) -> None:
        self._inode, self._offset, self._size = inode, 0, 0
        self._tally = Tally()

    def _count(self, row: bytes, verdict: Verdict) -> None:
        self._tally.add(self._offset, row, verdict, self.decisions.of(row))


def _judge(line: bytes) -> Verdict:
    try:
        return verdict_of(line, *read_undecided(line))
    except (*UNREADABLE, SampleFault):
        return UNUSABLE


def verdict_of(line: bytes, sample: Sample, by_hand: bool) -> Verdict:
    """The verdict on a line that ``read_undecided`` could read."""
    foreign = not by_hand and "prompt_id" not in sample.hegelion_trace.metadata
    accepted = read_accepted(line)
    canonical = accepted is not None and accepted.output == sample.output
    return Verdict(prompt_id(sample.instruction), foreign=foreign, by_hand=by_hand, canonical=canonical)


class _Kind(msgspec.Struct, frozen=True):
    kind: str = "rejected"


def _torn(path: Path) -> bytes:
    """A last line that has no end and is the beginning of an object; empty where there is none."""
    try:
        with open_regular(path) as file:
            tail = _tail(file)
    except FileNotFoundError:
        return b""
    if not tail.startswith(b"{"):
        return b""
    try:
        msgspec.json.decode(tail)
    except UNREADABLE:
        return tail
    return b""


def _end_last_line(path: Path) -> None:
    """Let a file end with a whole line: a torn one is cut off, another gets its end."""
    try:
        with open(workspace.open_own(path, os.O_RDONLY, make=False), "rb") as file:
            if not _tail(file):
                return
    except FileNotFoundError:
        return
    if not (torn := _torn(path)):
        workspace.append(path, b"\n")
        return
    with open(workspace.open_own(path, os.O_RDWR, make=False), "r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - len(torn))
        os.fsync(file.fileno())


def _tail(file: BinaryIO) -> bytes:
    """What stands behind the last line end."""
    end, length, found = file.seek(0, os.SEEK_END), _BLOCK, b""
    while len(found) < end and b"\n" not in found:
        file.seek(max(0, end - length))
        found = file.read()
        length *= 4
    return found[found.rfind(b"\n") + 1 :]


_BLOCK = 1 << 14


def _count_rejected(path: Path) -> int:
    """Answers, not failed calls; a torn line counts for nothing."""
    count = 0
    decoder = msgspec.json.Decoder(_Kind)
    if path.is_file():
        with open_regular(path) as file:
            for line in file:
                try:
                    count += decoder.decode(line).kind == "rejected"
                except UNREADABLE:
                    continue
    return count


def _contains(path: Path, text: bytes) -> bool:
    try:
        with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(text) >= 0
    except (FileNotFoundError, ValueError):  # mmap takes no empty file
        return False
