"""What the rows of a sample file count for: the contract's verdict on each line, and what a person decided on it.

Some 40 bytes a row are kept, so that a decision costs milliseconds in a file of 100,000 rows: the row is found by its
hash and counted anew, and no other.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, KeysView
from typing import Literal

from hegelion_core.generation.decisions import Standing
from hegelion_core.generation.verdicts import DIGEST, Verdict

State = Literal["accepted", "accepted by hand", "edited", "rejected by hand", "duplicate", "unusable"]
"""How a row stands. ``duplicate``: it would count, but an earlier row of its prompt does."""

_NO_PROMPT = 0
_OWN, _FOREIGN, _BY_HAND, _UNUSABLE = range(4)


class Tally:
    """The rows so far. Rows count from 0, in the order of the file."""

    def __init__(self) -> None:
        self.foreign = 0
        """Rows of other programs that count."""
        self.unusable = 0
        """Rows that hold no sample."""
        self.offsets = array("Q")
        """Where each row begins in the file."""
        self._rows = bytearray()
        self._prompts = array("Q")
        self._origins = bytearray()
        self._counting = bytearray()
        self._samples: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._origins)

    @property
    def done(self) -> KeysView[str]:
        """Ids of the prompts that have a sample that counts."""
        return self._samples.keys()

    def withdrawn(self) -> Iterator[str]:
        """Ids of the prompts whose only samples were rejected by hand, in the order in which they were."""
        return (prompt for prompt in self._rejected if prompt not in self._samples)

    def is_withdrawn(self, prompt_id: str) -> bool:
        """Whether the prompt has samples, all of them rejected by hand."""
        return prompt_id in self._rejected and prompt_id not in self._samples

    def add(self, offset: int, row: bytes, verdict: Verdict, stands: Standing | None) -> None:
        """A line more."""
        self.offsets.append(offset)
        self._rows += row
        self._prompts.append(_number(verdict.prompt_id))
        self._origins.append(_origin(verdict))
        self._counting.append(0)
        self._count(len(self) - 1, verdict, stands, 1)

    def decide(self, row: bytes, before: Standing | None, after: Standing | None) -> None:
        """A row stands otherwise than before."""
        for index in self.find(row):
            verdict = self._verdict(index)
            self._count(index, verdict, before, -1)
            self._count(index, verdict, after, 1)

    def row(self, index: int) -> bytes:
        """The hash of a row's line."""
        return bytes(self._rows[index * DIGEST : (index + 1) * DIGEST])

    def find(self, row: bytes) -> list[int]:
        """The rows with this hash; several if lines are the same."""
        found: list[int] = []
        place = self._rows.find(row)
        while place >= 0:
            if place % DIGEST == 0:
                found.append(place // DIGEST)
            place = self._rows.find(row, place + 1)
        return found

    def state(self, index: int, stands: Standing | None) -> State:
        """How a row stands."""
        verdict = self._verdict(index)
        kind, prompt = _what(verdict, stands)
        if kind != "sample":
            return "unusable" if kind == "unusable" else "rejected by hand"
        if self._samples[prompt] > 1:
            first = next((place for place in _places(self._prompts, _number(prompt)) if self._counting[place]), index)
            if first < index:
                return "duplicate"
        if stands is None:
            return "accepted"
        return "edited" if stands.text is not None else "accepted by hand"

    def _verdict(self, index: int) -> Verdict:
        origin, number = self._origins[index], self._prompts[index]
        prompt = "" if origin == _UNUSABLE else f"p-{number:016x}"
        return Verdict(prompt, foreign=origin == _FOREIGN, by_hand=origin == _BY_HAND)

    def _count(self, index: int, verdict: Verdict, stands: Standing | None, by: int) -> None:
        kind, prompt = _what(verdict, stands)
        match kind:
            case "unusable":
                self.unusable += by
            case "rejected":
                _step(self._rejected, prompt, by)
            case "sample":
                _step(self._samples, prompt, by)
                self._counting[index] = by > 0
                self._prompts[index] = _number(prompt)  # of a line that is no sample, a person may have said it
                self.foreign += by * verdict.foreign


def _what(verdict: Verdict, stands: Standing | None) -> tuple[Literal["sample", "rejected", "unusable"], str]:
    """What a row counts as, and for which prompt."""
    prompt = verdict.prompt_id or (stands.prompt_id if stands is not None else "")
    if not prompt:
        return "unusable", ""
    if stands is None:
        return ("rejected" if verdict.by_hand else "sample"), prompt
    return ("rejected" if stands.rejected else "sample"), prompt


def _places(values: array[int], value: int) -> Iterator[int]:
    """Where a value stands."""
    start = 0
    while True:
        try:
            start = values.index(value, start) + 1
        except ValueError:
            return
        yield start - 1


def _step(counts: Counter[str], name: str, by: int) -> None:
    counts[name] += by
    if not counts[name]:
        del counts[name]


def _origin(verdict: Verdict) -> int:
    if not verdict.prompt_id:
        return _UNUSABLE
    return _FOREIGN if verdict.foreign else _BY_HAND if verdict.by_hand else _OWN


def _number(prompt_id: str) -> int:
    return int(prompt_id.removeprefix("p-"), 16) if prompt_id else _NO_PROMPT
