"""The figures of samples, one sample after the other: some 150 bytes a sample are kept."""

from __future__ import annotations

import math
import unicodedata
from array import array
from collections import Counter
from collections.abc import Sequence

from hegelion_core.dialectic.parsing import clean
from hegelion_core.dialectic.sample import Sample
from hegelion_core.generation.quality_report import (
    LONG_SYNTHESIS,
    SHORT_ANSWER,
    SHORT_SYNTHESIS,
    Flagged,
    Known,
    Length,
    Number,
    Place,
    Spread,
)
from hegelion_core.generation.shingles import words

PARTS = ("prompt", "thesis", "antithesis", "synthesis", "answer")
KNOWN = ("prompt_tokens", "completion_tokens", "seconds", "attempts")
FLAGGED = 20
"""Samples that are named, the ones with the most warnings."""
_NAMES = 100
"""Different names that are counted one by one; of a text of a stranger's file, so much is kept."""
OTHERS = "(others)"


def shown(text: str, limit: int = 200) -> str:
    """A text of a file on one line, cut, without anything that could steer a terminal."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def count(counter: Counter[str], name: str) -> None:
    """Count a name that a file gives; the number of different names is bounded."""
    name = shown(name, 120)
    counter[name if name in counter or len(counter) < _NAMES else OTHERS] += 1


def ordered(counter: Counter[str]) -> dict[str, int]:
    """The most frequent first, equally frequent ones by name."""
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def spread(values: Sequence[Number]) -> Spread | None:
    """Extremes and percentiles of the nearest rank; none of no values."""
    if not values:
        return None
    ranked = sorted(values)
    at = {share: ranked[max(0, math.ceil(share * len(ranked)) - 1)] for share in (0.05, 0.5, 0.95)}
    return Spread(min=ranked[0], p5=at[0.05], median=at[0.5], p95=at[0.95], max=ranked[-1])


class SampleFigures:
    """Collects what is reported of each sample."""

    def __init__(self) -> None:
        self.count = self.foreign = 0
        self.modes: Counter[str] = Counter()
        self.teachers: Counter[str] = Counter()
        self.recipes: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.scripts: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()
        self.first_created: float | None = None
        self.last_created: float | None = None
        self._characters = {part: array("L") for part in PARTS}
        self._words = {part: array("L") for part in PARTS}
        self._known = {name: array("d") for name in KNOWN}
        self._ratios = array("d")
        self._contradictions = array("L")
        self._proposals = array("L")
        self._flagged: list[Flagged] = []

    def add(self, sample: Sample) -> tuple[list[str], list[str], list[str]]:
        """Take a sample.

        Returns:
            The words of its prompt, those of its output's parts, and what is worth a look in it.
        """
        trace = sample.hegelion_trace
        texts = (sample.instruction, *output_parts(sample))
        spoken = [words(text) for text in texts]
        for part, text, found in zip(PARTS, texts, spoken, strict=True):
            self._characters[part].append(len(text))
            self._words[part].append(len(found))
        self._ratios.append(ratio := len(trace.synthesis) / len(trace.thesis))
        self._contradictions.append(len(trace.contradictions))
        self._proposals.append(len(trace.research_proposals))
        self.count += 1
        count(self.modes, trace.mode)
        count(self.scripts, script(sample.instruction))
        self._provenance(trace.metadata)
        return spoken[0], [word for part in spoken[1:] for word in part], _warnings(sample, ratio, len(spoken[4]))

    def flag(self, place: Place, warnings: list[str]) -> None:
        """Keep what is worth a look in a sample."""
        self.warnings.update(warnings)
        if warnings:
            self._flagged.append(Flagged(sample=place, warnings=tuple(warnings)))
        if len(self._flagged) > 50 * FLAGGED:
            self._flagged = list(self.flagged())

    def flagged(self) -> tuple[Flagged, ...]:
        """The samples with the most warnings."""
        ranked = sorted(self._flagged, key=lambda each: (-len(each.warnings), each.sample.id, each.sample.line))
        return tuple(ranked[:FLAGGED])

    def lengths(self) -> dict[str, Length]:
        """Of each part; empty without samples."""
        found = {part: (spread(self._characters[part]), spread(self._words[part])) for part in PARTS}
        return {
            part: Length(characters=c, words=w) for part, (c, w) in found.items() if c is not None and w is not None
        }

    def known(self) -> dict[str, Known]:
        """Totals and medians of what the samples say of how they were made."""
        found: dict[str, Known] = {}
        for name, values in self._known.items():
            if (spread_ := spread(values)) is not None:
                number = float if name == "seconds" else int
                found[name] = Known(samples=len(values), total=number(math.fsum(values)), median=number(spread_.median))
        return found

    def ratios(self) -> Spread | None:
        return spread(self._ratios)

    def contradictions(self) -> Spread | None:
        return spread(self._contradictions)

    def proposals(self) -> Spread | None:
        return spread(self._proposals)

    def _provenance(self, metadata: dict[str, object]) -> None:
        self.foreign += "prompt_id" not in metadata
        teacher = " ".join(part for name in ("teacher", "teacher_version") if (part := _text(metadata, name)))
        if model := _text(metadata, "teacher_model"):
            teacher = f"{teacher} ({model})" if teacher else model
        count(self.teachers, teacher or "unknown")
        count(self.recipes, _text(metadata, "recipe") or "unknown")
        count(self.sources, _text(metadata, "source") or "unknown")
        for name, values in self._known.items():
            if (number := _number(metadata.get(name))) is not None:
                values.append(number)
        if (created := _number(metadata.get("created"))) is not None:
            self.first_created = created if self.first_created is None else min(created, self.first_created)
            self.last_created = created if self.last_created is None else max(created, self.last_created)


def output_parts(sample: Sample) -> tuple[str, str, str, str]:
    """Thesis, antithesis, synthesis and answer of a sample whose output is in its canonical form."""
    trace = sample.hegelion_trace
    return trace.thesis, trace.antithesis, trace.synthesis, sample.output.partition("</thought>\n")[2]


def output_words(sample: Sample) -> list[str]:
    """The words of those parts, one part after the other."""
    return [word for part in output_parts(sample) for word in words(part)]


def script(text: str) -> str:
    """The script of most letters of a text's beginning: ``latin``, ``cyrillic``, ``cjk``, ...; ``none`` without any."""
    if text.isascii():
        return "latin" if any(map(str.isalpha, text)) else "none"
    letters = Counter(filter(str.isalpha, text[:400]))
    names: Counter[str] = Counter()
    for letter, times in letters.items():
        names[unicodedata.name(letter, "unknown").partition(" ")[0].lower()] += times
    return min(names, key=lambda name: (-names[name], name)) if names else "none"


def _warnings(sample: Sample, ratio: float, answer_words: int) -> list[str]:
    found = {
        "short_answer": answer_words < SHORT_ANSWER,
        "short_synthesis": ratio < SHORT_SYNTHESIS,
        "long_synthesis": ratio > LONG_SYNTHESIS,
        "no_contradiction": not sample.hegelion_trace.contradictions,
    }
    return [name for name, holds in found.items() if holds]


def _text(metadata: dict[str, object], name: str) -> str:
    value = metadata.get(name)
    return value.strip() if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e15 else None
