"""The quality of a whole sample file: what is in it, what stands in it twice, what leaked from the held-out prompts.

The file is read line by line. Of each sample some 1,000 bytes are kept; texts that have to be compared exactly are
read again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from hegelion_core.dialectic import identity
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.sample import Sample
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import quality_report as q
from hegelion_core.generation.decisions import BY_HAND, REJECTED, Decisions
from hegelion_core.generation.held_out import HeldOutPrompts
from hegelion_core.generation.near_duplicates import Clusters, NearDuplicates
from hegelion_core.generation.sample_figures import SampleFigures, count, ordered, output_words, shown
from hegelion_core.generation.sample_rows import MAX_LINE, SampleRows, open_samples
from hegelion_core.generation.shingles import shingles, words
from hegelion_core.unreadable import UNREADABLE

PROMPT_SHINGLE, OUTPUT_SHINGLE = 2, 3
"""Words in a shingle. Prompts are short: one changed word would make longer shingles of them all new."""
EXAMPLES = 10
"""Examples that each list of a report names."""
EXAMPLE_CHARACTERS = 2500
"""The sample that is shown in full is no longer than this."""
_REPORT_EVERY = 256

Progress = Callable[[str, float], None]
"""Takes what is being done, and which share of it is done (0 to 1)."""


def assess(
    samples_path: Path,
    rejected_path: Path,
    held_out: Sequence[str],
    near_threshold: float = 0.8,
    progress: Progress = lambda what, share: None,
) -> q.QualityReport:
    """The quality report of a sample file as it is now.

    Args:
        samples_path: the sample file, whoever wrote its rows.
        rejected_path: the file of answers that were not accepted; it may be missing.
        held_out: prompts that no sample should have.
        near_threshold: the Jaccard of word shingles, above 0 and at most 1, from which texts are near duplicates.
        progress: is told how far the work is.

    Raises:
        UserError: there is no such file, it cannot be read, is empty, or holds no sample and little JSON.
    """
    if not 0 < near_threshold <= 1:
        raise ValueError(f"near_threshold is {near_threshold}, not above 0 and at most 1")
    decisions = Decisions.beside(samples_path)
    with open_samples(samples_path) as file:
        rows = SampleRows(file, decisions.read)
        assessment = _Assessment(
            rows, decisions, HeldOutPrompts(held_out, threshold=near_threshold, shingle_words=PROMPT_SHINGLE)
        )
        for number, offset, line in rows.lines():
            assessment.take(number, offset, line)
            if assessment.rows % _REPORT_EVERY == 0:
                progress("reading samples", min(1.0, offset / rows.size))
        if not assessment.rows:
            raise UserError(
                f"{samples_path}: is empty.", "Generate samples first (hegelion-console generate).", ExitCode.USAGE
            )
        if not assessment.figures.count and 2 * assessment.not_json >= assessment.rows:
            raise UserError(
                f"{samples_path}: is no sample file: {assessment.not_json} of {assessment.rows} lines are no JSON.",
                "Give a JSONL file with a sample a line.",
                ExitCode.USAGE,
            )
        not_accepted = read_not_accepted(rejected_path, assessment.figures.count - assessment.figures.foreign)
        return assessment.report(near_threshold, len(held_out), not_accepted, progress)


def read_not_accepted(path: Path, accepted: int) -> q.NotAccepted:
    """What a file of rejected answers holds; a missing one holds nothing.

    Args:
        path: the file.
        accepted: samples of ours that were accepted.

    Raises:
        UserError: it is there but cannot be read.
    """
    if not path.is_file():
        return q.NotAccepted(rejected={}, failed={}, unreadable=0, share_accepted=None)
    counts: dict[str, Counter[str]] = {"rejected": Counter(), "failed": Counter()}
    unreadable = 0
    with open_samples(path) as file:
        rows = SampleRows(file)
        for _, _, line in rows.lines():
            try:
                row = _attempts.decode(line)
            except UNREADABLE:
                unreadable += 1
            else:
                count(counts["failed" if row.kind == "failed" else "rejected"], row.reason)
    # A surplus answer was good, only late: it says nothing of the teacher.
    judged = accepted + counts["rejected"].total() - counts["rejected"]["surplus"]
    return q.NotAccepted(
        rejected=ordered(counts["rejected"]),
        failed=ordered(counts["failed"]),
        unreadable=unreadable,
        share_accepted=accepted / judged if judged else None,
    )


class _Attempt(msgspec.Struct, frozen=True):
    """What is counted of a line of the rejected file."""

    kind: str = "rejected"
    reason: str = "unknown"


_attempts: msgspec.json.Decoder[_Attempt] = msgspec.json.Decoder(_Attempt)


class _Assessment:
    """Takes the lines of a sample file, then makes the report."""

    def __init__(self, rows: SampleRows, decisions: Decisions, held_out: HeldOutPrompts) -> None:
        self.rows = self.not_json = 0
        self._decisions = decisions
        self._by_hand: Counter[str] = Counter()
        self.figures = SampleFigures()
        self._rows = rows
        self._held_out = held_out
        self._prompts = _Texts(rows, PROMPT_SHINGLE, lambda sample: words(sample.instruction))
        self._outputs = _Texts(rows, OUTPUT_SHINGLE, output_words)
        self._unusable: Counter[str] = Counter()
        self._unusable_lines: list[q.UnusableLine] = []
        self._overlaps: Counter[str] = Counter()
        self._overlap_examples: list[q.Overlap] = []
        self._example: tuple[tuple[int, str], q.Example] | None = None

    def take(self, number: int, offset: int, line: bytes) -> None:
        """Take a line that is not blank."""
        self.rows += 1
        whole = line.endswith(b"\n")
        if len(line) >= MAX_LINE and not whole:
            self.not_json += 1
            self._refuse(number, "line_too_long", f"The line is longer than {MAX_LINE >> 20} MiB.")
            return
        try:
            sample = self._decisions.read(line)
        except SampleFault as fault:
            if fault.reason == REJECTED:
                self._by_hand["rejected"] += 1
            else:
                self._refuse(number, fault.reason, fault.detail)
        except msgspec.ValidationError as error:
            self._refuse(number, "not_a_sample", str(error))
        except UNREADABLE as error:
            self.not_json += 1
            self._refuse(number, "broken_line" if whole else "torn_last_line", str(error))
        else:
            if isinstance(how := sample.hegelion_trace.metadata.get(BY_HAND), str):
                count(self._by_hand, how)
            self._accept(number, self._rows.keep(number, offset), sample)

    def report(
        self, near_threshold: float, held_out: int, not_accepted: q.NotAccepted, progress: Progress
    ) -> q.QualityReport:
        """Everything; the near duplicates are looked for now."""
        figures = self.figures
        progress("comparing prompts", 0.0)
        near_prompts = self._prompts.near(near_threshold)
        progress("comparing outputs", 0.5)
        near_outputs = self._outputs.near(near_threshold)
        progress("comparing outputs", 1.0)
        return q.QualityReport(
            rows=self.rows,
            accepted=figures.count,
            foreign=figures.foreign,
            unusable=ordered(self._unusable),
            unusable_lines=tuple(self._unusable_lines),
            by_hand=ordered(self._by_hand),
            distinct_prompts=figures.count - self._prompts.surplus,
            duplicate_prompts=self._prompts.duplicates(),
            duplicate_outputs=self._outputs.duplicates(),
            near_threshold=near_threshold,
            near_prompts=near_prompts,
            near_outputs=near_outputs,
            held_out=q.HeldOut(
                prompts=held_out,
                exact=self._overlaps["held_out"],
                near=self._overlaps["nearly_held_out"],
                examples=tuple(self._overlap_examples),
            ),
            lengths=figures.lengths(),
            synthesis_to_thesis=figures.ratios(),
            contradictions=figures.contradictions(),
            research_proposals=figures.proposals(),
            scripts=ordered(figures.scripts),
            modes=ordered(figures.modes),
            teachers=ordered(figures.teachers),
            recipes=ordered(figures.recipes),
            sources=ordered(figures.sources),
            known=figures.known(),
            first_created=figures.first_created,
            last_created=figures.last_created,
            not_accepted=not_accepted,
            warnings=ordered(figures.warnings),
            flagged=figures.flagged(),
            example=self._example[1] if self._example is not None else None,
        )

    def _refuse(self, number: int, reason: str, detail: str) -> None:
        count(self._unusable, reason)
        if len(self._unusable_lines) < EXAMPLES:
            self._unusable_lines.append(q.UnusableLine(line=number, reason=reason, detail=shown(detail)))

    def _accept(self, number: int, index: int, sample: Sample) -> None:
        prompt, output, warnings = self.figures.add(sample)
        name = identity.prompt_id(sample.instruction)
        key = int.from_bytes(hashlib.blake2b(sample.output.encode(), digest_size=8).digest(), "big")
        found = shingles(prompt, PROMPT_SHINGLE)
        if self._prompts.add(int(name[2:], 16), index, found):
            warnings.append("duplicate_prompt")
        if self._outputs.add(key, index, shingles(output, OUTPUT_SHINGLE)):
            warnings.append("duplicate_output")
        place = _place(number, sample)
        if (match := self._held_out.match(name, found)) is not None:
            what = "held_out" if match.exact else "nearly_held_out"
            warnings.append(what)
            self._overlaps[what] += 1
            if len(self._overlap_examples) < EXAMPLES:
                text = shown(sample.instruction, 100)
                overlap = q.Overlap(sample=place, held_out=match.number + 1, text=text, jaccard=match.jaccard)
                self._overlap_examples.append(overlap)
        self.figures.flag(place, warnings)
        # Of the samples that are short enough the one with the least key: the same in whatever order they stand.
        rank = key, sample.instruction
        short = len(sample.instruction) + len(sample.output) <= EXAMPLE_CHARACTERS
        if short and (self._example is None or rank < self._example[0]):
            self._example = rank, q.Example(instruction=sample.instruction, output=sample.output)


class _Texts:
    """One text of each sample: which of them stand in the file twice, and which nearly."""

    def __init__(self, rows: SampleRows, shingle_words: int, words_of: Callable[[Sample], list[str]]) -> None:
        self.surplus = 0
        self._rows = rows
        self._shingle_words = shingle_words
        self._words_of = words_of
        self._first: dict[int, int] = {}
        self._repeats: list[tuple[int, int]] = []
        self._near = NearDuplicates()
        self._distinct = array("Q")
        """Indices of the samples whose texts are looked at for near duplicates."""

    def add(self, key: int, index: int, found: frozenset[str]) -> bool:
        """Add a sample's text, known by its key; says whether an earlier sample has the same."""
        first = self._first.setdefault(key, index)
        if first != index:
            self.surplus += 1
            if len(self._repeats) < EXAMPLES:
                self._repeats.append((first, index))
            return True
        if found:
            self._near.add(key, found)
            self._distinct.append(index)
        return False

    def duplicates(self) -> q.Duplicates:
        return q.Duplicates(
            surplus=self.surplus, examples=tuple(self._pair(one, other, 1.0) for one, other in self._repeats)
        )

    def near(self, threshold: float) -> q.NearDuplicates:
        clusters: Clusters = self._near.find(threshold, lru_cache(512)(self._shingles))
        nearest = sorted(clusters.links, key=lambda link: -link.jaccard)[:EXAMPLES]
        return q.NearDuplicates(
            shingle_words=self._shingle_words,
            clusters=len(clusters.sizes),
            texts=sum(clusters.sizes),
            largest=max(clusters.sizes, default=0),
            complete=clusters.complete,
            examples=tuple(
                self._pair(self._distinct[link.one], self._distinct[link.other], link.jaccard) for link in nearest
            ),
        )

    def _shingles(self, number: int) -> frozenset[str]:
        sample = self._rows.sample(self._distinct[number])
        return shingles(self._words_of(sample), self._shingle_words) if sample is not None else frozenset()

    def _pair(self, one: int, other: int, alike: float) -> q.Pair:
        first, second = sorted((one, other))
        return q.Pair(one=self._place(first), other=self._place(second), jaccard=round(alike, 4))

    def _place(self, index: int) -> q.Place:
        return _place(self._rows.line_of(index), self._rows.sample(index))


def _place(line: int, sample: Sample | None) -> q.Place:
    return q.Place(line=line, id=shown(sample.id, 80) if sample is not None else "")
