"""Lines of a sample file to training rows, one after the other; what cannot be one is counted and named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hegelion_core.conversion.rendering import ChatFormat
from hegelion_core.dialectic.contract import Accepted, read_accepted
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.generation import verdicts
from hegelion_core.generation.decisions import REJECTED, Decisions, read_decided, read_undecided
from hegelion_core.generation.sample_rows import MAX_LINE
from hegelion_core.generation.store import verdict_of
from hegelion_core.generation.verdicts import UNUSABLE, Verdict
from hegelion_core.spill import SeenKeys
from hegelion_core.unreadable import UNREADABLE

LOGGED_LINES = 100
"""Skipped lines that the log names one by one; the others are only counted."""
PLACES = 3
"""Line numbers that are kept of each reason."""


@dataclass
class Tally:
    """What became of the lines."""

    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason to number of lines: ``duplicate``, ``broken_line`` (no JSON), ``torn_last_line``, ``too_long``,
    ``not_a_sample``, or a fault of the contract; ``rejected_by_hand`` where a person decided so."""
    places: dict[str, list[int]] = field(default_factory=dict)
    """Reason to the first lines, counted from 1."""

    def skip(self, reason: str, line: int) -> None:
        """Count a line that gives no row."""
        self.skipped[reason] += 1
        known = self.places.setdefault(reason, [])
        if len(known) < PLACES:
            known.append(line)

    def words(self, what: str) -> list[str]:
        """A line of each reason, such as ``what: 3 duplicate (line 4, 9, 12)``."""
        return [
            f"{what}: {count} {reason} (line {', '.join(map(str, self.places.get(reason, [])))}"
            + (", ...)" if count > len(self.places.get(reason, [])) else ")")
            for reason, count in self.skipped.most_common()
        ]


def counts(skipped: Counter[str]) -> str:
    """``3 duplicate, 1 broken_line``: most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in skipped.most_common())


def prompt_key(name: str) -> bytes:
    """The 8 bytes of a prompt's id."""
    return bytes.fromhex(name.removeprefix("p-"))


class RowMaker:
    """Makes rows of lines; what the contract said of a line before is not asked again."""

    def __init__(
        self, source: Path, format_: ChatFormat, tally: Tally, seen: SeenKeys, log: Callable[[str], None]
    ) -> None:
        """What is known of ``source`` is read: the decisions on it, and the cache of its verdicts.

        Args:
            source: the sample file.
            format_: the student's form.
            tally: is kept as lines are taken.
            seen: the prompts that have a row already (``prompt_key``); added to.
            log: takes a line for people.

        Raises:
            UserError: the decisions cannot be read.
        """
        self.judged: list[tuple[bytes, Verdict]] = []
        """What the contract said of lines that were not known, until someone takes it."""
        self._source = source
        self._format = format_
        self._tally = tally
        self._seen = seen
        self._log = log
        self._decisions = Decisions.beside(source)
        self._known = verdicts.Following(verdicts.cache_path(source))
        self._encode = msgspec.json.Encoder().encode

    def take(self, number: int, line: bytes, name: bytes) -> tuple[bytes, bytes] | None:
        """The prompt of a line and its row with a newline, or none; ``name`` is the line's ``verdicts.digest``.

        Raises:
            UserError: the prompts that were seen cannot be kept.
        """
        try:
            if len(line) > MAX_LINE:
                raise SampleFault("too_long", f"A line of more than {MAX_LINE >> 20} MiB is no sample.")
            prompt, sample = self._sample(line, name)
            if prompt in self._seen:
                raise SampleFault("duplicate", "This prompt has a row already.")
            row = self._encode(self._format.accepted_row(sample)) + b"\n"
        except SampleFault as fault:
            self._skip(number, fault.reason, fault.detail)
        except msgspec.ValidationError as error:
            self._skip(number, "not_a_sample", str(error))
        except UNREADABLE as error:
            self._skip(number, "broken_line" if line.endswith(b"\n") else "torn_last_line", str(error))
        else:
            self._seen.add(prompt)
            self._tally.rows += 1
            return prompt, row
        return None

    def _sample(self, line: bytes, name: bytes) -> tuple[bytes, Accepted]:
        stands = self._decisions.of(name) if self._decisions else None
        if stands is not None:
            sample = read_decided(line, stands)
        else:
            known = self._known.get(name)
            if known is not None and known.canonical and not known.by_hand:
                accepted = read_accepted(line)
                assert accepted is not None  # noqa: S101 - part of what canonical means
                return prompt_key(known.prompt_id), accepted
            try:
                sample, by_hand = read_undecided(line)
            except (*UNREADABLE, SampleFault):
                self.judged.append((name, UNUSABLE))
                raise
            self.judged.append((name, verdict_of(line, sample, by_hand)))
            if by_hand:
                raise SampleFault(REJECTED, "The person who accepted it took that back.")
        prompt = prompt_key(prompt_id(sample.instruction))
        return prompt, Accepted(sample.id, sample.instruction, sample.system, sample.output)

    def _skip(self, number: int, reason: str, detail: str) -> None:
        self._tally.skip(reason, number)
        if (total := self._tally.skipped.total()) <= LOGGED_LINES:
            self._log(f"{self._source.name}, line {number}: skipped, {reason}: {detail}")
        elif total == LOGGED_LINES + 1:
            self._log("Further lines that are skipped are only counted.")
