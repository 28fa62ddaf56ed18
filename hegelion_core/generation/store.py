"""The sample store: the accepted samples' file, and beside it the answers that were not accepted.

The file is the truth: what counts is what is durably in it, whoever wrote it. Append, limit and uniqueness are checked
under one lock that every process on the same output takes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from hegelion_core import workspace
from hegelion_core.dialectic.contract import read_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.sample import Sample
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.events import SamplesCounted

Outcome = Literal["accepted", "duplicate", "full"]
_CHUNK = 1 << 20


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was not accepted: a line of ``<output>.rejected.jsonl``. Nothing that was paid for is lost."""

    at: float
    prompt_id: str
    query: str
    reason: str
    detail: str
    attempt: int
    text: str
    """The answer as the teacher wrote it; empty if there was none."""
    teacher: str


class SampleStore:
    """One process's view of the sample file; ``refresh`` brings it up to date with other writers."""

    def __init__(self, path: Path) -> None:
        """Raises ``UserError`` if the file cannot be read."""
        self.path = path
        self.rejected_path = path.with_suffix(".rejected.jsonl")
        self.done: set[str] = set()
        """Ids of the prompts that have an accepted sample."""
        self.foreign = 0
        self.unusable = 0
        self.rejected = _count_lines(self.rejected_path)
        self._offset = 0
        self._inode = 0
        try:
            self.refresh()
        except OSError as error:
            raise UserError(
                f"{path}: cannot be used as the sample file ({error.strerror}).",
                "Name a file in a folder that you can write to with --output.",
                ExitCode.USAGE,
            ) from None

    @property
    def accepted(self) -> int:
        """Distinct prompts with a sample that meets the contract."""
        return len(self.done)

    def counted(self) -> SamplesCounted:
        """What is in the file, as an event."""
        return SamplesCounted(
            path=str(self.path),
            accepted=self.accepted,
            foreign=self.foreign,
            unusable=self.unusable,
            rejected=self.rejected,
        )

    def refresh(self) -> None:
        """Read what was appended since; a file that was replaced or cut is read anew. A torn last line has to wait."""
        if not self.path.exists():
            self._reset(0)
            return
        with open(self.path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._reset(status.st_ino)
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._count(line)

    def append(self, sample: Sample, limit: int) -> Outcome:
        """Add a sample, durably, unless its prompt is done or the file holds ``limit`` samples.

        Raises:
            OSError: the disk is full or the file cannot be written; nothing was added.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with workspace.locked(self.path.with_name(f".{self.path.name}.lock")):
            self.refresh()
            self._end_torn_line()
            if prompt_id(sample.instruction) in self.done:
                return "duplicate"
            if self.accepted >= limit:
                return "full"
            workspace.append(self.path, msgspec.json.encode(sample) + b"\n")
            self.refresh()
        return "accepted"

    def reject(self, answer: Rejected) -> None:
        """Keep an answer that was not accepted."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        workspace.append(self.rejected_path, msgspec.json.encode(answer) + b"\n")
        self.rejected += 1

    def _end_torn_line(self) -> None:
        """A writer that was killed may have left a line without an end; the next must not become part of it."""
        if self.path.exists() and self.path.stat().st_size > self._offset:
            workspace.append(self.path, b"\n")
            self.refresh()

    def _reset(self, inode: int) -> None:
        self._inode, self._offset, self.foreign, self.unusable = inode, 0, 0, 0
        self.done.clear()

    def _count(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            sample = read_sample(line)
        except (msgspec.DecodeError, SampleFault):
            self.unusable += 1
            return
        self.done.add(prompt_id(sample.instruction))
        self.foreign += "prompt_id" not in sample.hegelion_trace.metadata


def _count_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_CHUNK), b""))
