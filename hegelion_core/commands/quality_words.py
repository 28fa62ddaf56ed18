"""The quality report in lines for people. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hegelion_core.commands.text import printable
from hegelion_core.commands.words import duration
from hegelion_core.generation.quality_report import (
    WARNINGS,
    Duplicates,
    NearDuplicates,
    Number,
    QualityReport,
    Spread,
)

SHOWN = 5
"""Names and examples that are shown of each kind; the JSON report has more."""


@dataclass(frozen=True)
class Line:
    """A line; ``kind`` is what a terminal may show in a style of its own."""

    text: str
    kind: Literal["title", "figure", "finding", "detail"] = "figure"


def lines(report: QualityReport, name: str) -> list[Line]:
    """The report on the file ``name``."""
    sections = (_samples, _duplicates, _held_out, _lengths, _origin, _not_accepted, _warnings, _verdict)
    found = [Line(f"Quality of {name}", "title")]
    for section in sections:
        found += section(report)
    return [Line(printable(line.text), line.kind) for line in found]


def _samples(report: QualityReport) -> Iterator[Line]:
    unusable = sum(report.unusable.values())
    foreign = f", {report.foreign:,} by other programs" if report.foreign else ""
    yield _figure("samples", f"{report.accepted:,} in {_many(report.rows, 'row')}{foreign}")
    yield _figure("prompts", f"{report.distinct_prompts:,} distinct")
    if report.by_hand:
        yield _figure("by hand", _counts(report.by_hand))
    if unusable:
        yield _figure("unusable lines", f"{unusable:,}: {_counts(report.unusable)}", finding=True)
        for line in report.unusable_lines[:SHOWN]:
            yield Line(f"    line {line.line}, {line.reason}: {line.detail}", "detail")


def _duplicates(report: QualityReport) -> Iterator[Line]:
    yield Line("Duplicates", "title")
    yield from _exact("prompts", report.duplicate_prompts)
    yield from _exact("outputs", report.duplicate_outputs)
    yield from _near("near prompts", report.near_prompts, report.near_threshold)
    yield from _near("near outputs", report.near_outputs, report.near_threshold)


def _exact(name: str, found: Duplicates) -> Iterator[Line]:
    yield _figure(name, _or_none(found.surplus, "more than once"), finding=bool(found.surplus))
    for pair in found.examples[:SHOWN]:
        yield Line(f"    line {pair.other.line} is line {pair.one.line} again ({pair.other.id})", "detail")


def _near(name: str, found: NearDuplicates, threshold: float) -> Iterator[Line]:
    text = f"{found.texts:,} in {_many(found.clusters, 'cluster')}, the largest of {found.largest:,}"
    if not found.texts:
        text = "none"
    if not found.complete:
        text += ", but too many are alike to compare them all"
    what = f"Jaccard of {found.shingle_words}-word runs {threshold:g} or more"
    yield _figure(name, f"{text} ({what})", finding=bool(found.texts))
    for pair in found.examples[:SHOWN]:
        ids = f"{pair.one.id}, {pair.other.id}"
        yield Line(f"    lines {pair.one.line} and {pair.other.line}: {pair.jaccard:.2f} ({ids})", "detail")


def _held_out(report: QualityReport) -> Iterator[Line]:
    held = report.held_out
    text = f"{held.exact:,} exactly, {held.near:,} nearly" if held.exact or held.near else "none"
    yield _figure("held out", f"{text} (of {_many(held.prompts, 'prompt')})", finding=bool(held.exact or held.near))
    for overlap in held.examples[:SHOWN]:
        alike = f"{overlap.jaccard:.2f} like" if overlap.jaccard < 1 else "is"
        yield Line(
            f"    line {overlap.sample.line} {alike} held-out prompt {overlap.held_out}: {overlap.text}", "detail"
        )


def _lengths(report: QualityReport) -> Iterator[Line]:
    if not report.lengths:
        return
    yield Line("Lengths in words", "title")
    yield Line(_columns("", ("min", "5 %", "median", "95 %", "max")))
    for part, length in report.lengths.items():
        yield Line(_columns(part, _spread(length.words)))
    more = {
        "synthesis / thesis": report.synthesis_to_thesis,
        "contradictions": report.contradictions,
        "proposals": report.research_proposals,
    }
    for name, spread in more.items():
        if spread is not None:
            yield Line(_columns(name, _spread(spread)))


def _origin(report: QualityReport) -> Iterator[Line]:
    if not report.accepted:
        return
    yield Line("Where they come from", "title")
    named = {
        "teachers": report.teachers,
        "recipes": report.recipes,
        "sources": report.sources,
        "modes": report.modes,
        "scripts": report.scripts,
    }
    for name, counts in named.items():
        yield _figure(name, _counts(counts))
    if report.first_created is not None and report.last_created is not None:
        yield _figure("made", f"{_day(report.first_created)} to {_day(report.last_created)} (UTC)")
    for name, known in report.known.items():
        total, median = (
            (duration(known.total), f"{known.median:.1f} s")
            if name == "seconds"
            else (f"{known.total:,}", f"{known.median:,}")
        )
        yield _figure(
            name.replace("_", " "), f"{total} in all, median {median}, known of {_many(known.samples, 'sample')}"
        )


def _not_accepted(report: QualityReport) -> Iterator[Line]:
    found = report.not_accepted
    if not (found.rejected or found.failed or found.unreadable):
        return
    yield Line("Not accepted", "title")
    share = "" if found.share_accepted is None else f"; {found.share_accepted:.1%} of the judged answers were accepted"
    yield _figure("rejected", f"{_counts(found.rejected)}{share}")
    if found.failed:
        yield _figure("failed calls", _counts(found.failed))
    if found.unreadable:
        yield _figure("unreadable", _many(found.unreadable, "line"))


def _warnings(report: QualityReport) -> Iterator[Line]:
    if not report.warnings:
        return
    yield Line("Worth a look", "title")
    for name, count in report.warnings.items():
        yield _figure(name.replace("_", " "), f"{_many(count, 'sample')}: {WARNINGS[name]}")
    for flagged in report.flagged[:SHOWN]:
        warnings = ", ".join(warning.replace("_", " ") for warning in flagged.warnings)
        yield Line(f"    line {flagged.sample.line} ({flagged.sample.id}): {warnings}", "detail")


def _verdict(report: QualityReport) -> Iterator[Line]:
    yield Line("Findings", "title")
    for fault in report.faults:
        yield Line(f"  {fault}", "finding")
    if not report.faults:
        yield Line("  no duplicates, no overlap with held-out prompts, no unusable lines")


def _figure(name: str, value: str, *, finding: bool = False) -> Line:
    return Line(f"  {name:<18} {value}", "finding" if finding else "figure")


def _columns(name: str, values: Sequence[str]) -> str:
    return f"  {name:<18} " + "".join(f"{value:>9}" for value in values)


def _spread(spread: Spread) -> tuple[str, ...]:
    return tuple(_number(value) for value in (spread.min, spread.p5, spread.median, spread.p95, spread.max))


def _number(value: Number) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _counts(counts: Mapping[str, int]) -> str:
    parts = [f"{count:,} {name}" for name, count in list(counts.items())[:SHOWN]]
    left = len(counts) - SHOWN
    return ", ".join(parts) + (f", and {left} more kinds" if left > 0 else "") or "none"


def _or_none(count: int, what: str) -> str:
    return f"{count:,} {what}" if count else "none"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
