"""What is known of a whole sample file: the quality report. Every list in it is bounded; counts are of everything."""

from __future__ import annotations

import msgspec

Number = int | float

SHORT_ANSWER, SHORT_SYNTHESIS, LONG_SYNTHESIS = 8, 0.4, 4.0
"""Words of an answer, and bounds of the ratio of synthesis to thesis, beyond which a sample is worth a look."""
WARNINGS = {
    "duplicate_prompt": "an earlier sample has the prompt",
    "duplicate_output": "an earlier sample has the output",
    "held_out": "the prompt is held out",
    "nearly_held_out": "the prompt is nearly one that is held out",
    "short_answer": f"the answer has fewer than {SHORT_ANSWER} words",
    "short_synthesis": f"the synthesis is shorter than {SHORT_SYNTHESIS:g} theses",
    "long_synthesis": f"the synthesis is longer than {LONG_SYNTHESIS:g} theses",
    "no_contradiction": "the antithesis labels no contradiction",
}
"""What is worth a look in a sample, and what it means."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How a figure is spread over the samples; percentiles are of the nearest rank."""

    min: Number
    p5: Number
    median: Number
    p95: Number
    max: Number


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """How long a part of the samples is. A Chinese or Japanese character counts as a word."""

    characters: Spread
    words: Spread


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the samples that say it."""

    samples: int
    total: Number
    median: Number


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sample stands; lines count from 1."""

    line: int
    id: str


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two samples that are alike, and the Jaccard of their word shingles."""

    one: Place
    other: Place
    jaccard: float


class Duplicates(msgspec.Struct, frozen=True, kw_only=True):
    """Texts that stand in the file more than once."""

    surplus: int
    """Samples whose text stands in an earlier line."""
    examples: tuple[Pair, ...]
    """The first of them, each with the line that has the text first."""


class NearDuplicates(msgspec.Struct, frozen=True, kw_only=True):
    """Distinct texts that are nearly the same."""

    shingle_words: int
    """Words in a shingle."""
    clusters: int
    texts: int
    """Distinct texts that are in a cluster."""
    largest: int
    """Texts in the largest cluster."""
    complete: bool
    """Whether all candidates could be compared; if not, there may be more."""
    examples: tuple[Pair, ...]
    """Pairs, the nearest first."""


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """A sample whose prompt is, or nearly is, one that is held out."""

    sample: Place
    held_out: int
    """The held-out prompt, counted from 1."""
    text: str
    """Its beginning."""
    jaccard: float


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """The overlap of the samples' prompts with those held out for evaluation."""

    prompts: int
    exact: int
    """Samples whose prompt is a held-out one."""
    near: int
    """Other samples whose prompt is nearly one."""
    examples: tuple[Overlap, ...]


class UnusableLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that holds no sample."""

    line: int
    reason: str
    detail: str


class Flagged(msgspec.Struct, frozen=True, kw_only=True):
    """A sample worth a look."""

    sample: Place
    warnings: tuple[str, ...]


class NotAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """What the file of rejected answers holds."""

    rejected: dict[str, int]
    """Answers by the fault for which they were rejected."""
    failed: dict[str, int]
    """Calls without an answer, by kind of failure."""
    unreadable: int
    """Lines that are no record."""
    share_accepted: float | None
    """Of the answers that were judged: accepted ones of ours over those and the rejected ones."""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One sample in full, as the file has it."""

    instruction: str
    output: str


class QualityReport(msgspec.Struct, frozen=True, kw_only=True):
    """The quality of a sample file."""

    rows: int
    """Lines that are not blank."""
    accepted: int
    """Samples that meet the contract."""
    foreign: int
    """Those of them that other programs wrote."""
    unusable: dict[str, int]
    """Other lines, by reason."""
    unusable_lines: tuple[UnusableLine, ...]
    by_hand: dict[str, int]
    """Rows that a person ``accepted`` or ``edited``, which are among the samples, or ``rejected``, which are not."""
    distinct_prompts: int
    duplicate_prompts: Duplicates
    duplicate_outputs: Duplicates
    near_threshold: float
    """The Jaccard from which two texts are near duplicates."""
    near_prompts: NearDuplicates
    near_outputs: NearDuplicates
    held_out: HeldOut
    lengths: dict[str, Length]
    """Of ``prompt``, ``thesis``, ``antithesis``, ``synthesis`` and ``answer``; empty without samples."""
    synthesis_to_thesis: Spread | None
    """Characters of the synthesis over those of the thesis."""
    contradictions: Spread | None
    research_proposals: Spread | None
    scripts: dict[str, int]
    """Samples by the script of their prompt."""
    modes: dict[str, int]
    teachers: dict[str, int]
    """Samples by teacher, version and model, as far as they say."""
    recipes: dict[str, int]
    sources: dict[str, int]
    known: dict[str, Known]
    """Of ``prompt_tokens``, ``completion_tokens``, ``seconds`` and ``attempts``, as far as samples say them."""
    first_created: float | None
    """Seconds since 1970."""
    last_created: float | None
    not_accepted: NotAccepted
    warnings: dict[str, int]
    """Samples by what is worth a look in them."""
    flagged: tuple[Flagged, ...]
    """The samples with the most warnings."""
    example: Example | None

    @property
    def faults(self) -> tuple[str, ...]:
        """What a strict check objects to, in words; none if the set is clean."""
        found = {
            "unusable lines": sum(self.unusable.values()),
            "samples with a prompt that an earlier one has": self.duplicate_prompts.surplus,
            "samples with an output that an earlier one has": self.duplicate_outputs.surplus,
            "prompts that are nearly the same as another": self.near_prompts.texts,
            "outputs that are nearly the same as another": self.near_outputs.texts,
            "samples with a held-out prompt": self.held_out.exact,
            "samples with nearly a held-out prompt": self.held_out.near,
        }
        return tuple(f"{count} {what}" for what, count in found.items() if count)
