"""The data set card: a README.md for the hub, written from a quality report. Nothing in it is guessed.

Names and texts that come from the sample file are shown as text, whatever Markdown or HTML they hold, and without the
folders of the machine on which they were made.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from huggingface_hub import DatasetCardData

from hegelion_core.generation.quality_report import WARNINGS, NearDuplicates, Number, QualityReport, Spread

MARK = "<!-- Written by hegelion-console quality; written anew, it replaces what was changed here. -->"
"""Stands in every card, so that a card of ours can be told from another file."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_KNOWN_SOURCES = {"HuggingFaceH4/ultrafeedback_binarized": "MIT"}
"""Licences that the sources' own cards state."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~<>&$])")
_LOCAL_PATH = re.compile(r"(?<![\w:/.])(?:file://)?(?:~|[A-Za-z]:)?[/\\](?:[^/\\()\n]+[/\\])*(?=[^\s/\\])")
_FIELDS = (
    ("id", "the prompt's id: p- and 16 hex digits of the SHA-256 of its normalised text"),
    ("instruction", "the prompt"),
    ("input", "empty"),
    ("output", "the <thought> block with thesis, antithesis and synthesis, then the answer"),
    ("system", "the system text for the student"),
    ("hegelion_trace.query", "the prompt"),
    ("hegelion_trace.mode", "single (one reply) or turns (one reply a section)"),
    ("hegelion_trace.thesis, .antithesis, .synthesis", "the sections as text"),
    ("hegelion_trace.contradictions, .research_proposals", "items that the sections label as such"),
    ("hegelion_trace.metadata", "source and row of the prompt, teacher and version, recipe, attempts, time, tokens"),
)


def card(
    report: QualityReport,
    *,
    data_file: str,
    name: str = "Dialectical samples",
    license: str | None = None,  # noqa: A002 - the hub's name for it
    languages: Sequence[str] = (),
    tags: Sequence[str] = ("dialectics", "reasoning", "synthetic", "hegelion"),
) -> str:
    """The card of a sample file, Markdown with YAML front matter.

    Args:
        report: of the file.
        data_file: its path relative to the card.
        name: what the data set is called.
        license: the hub's identifier; without one the card says that none is set.
        languages: ISO codes of the samples' languages; without any the card names none.
        tags: for the hub's search.
    """
    head = DatasetCardData(
        pretty_name=name,
        license=license,
        language=list(languages) or None,
        size_categories=[size_category(report.accepted)],
        task_categories=["text-generation"],
        tags=list(tags),
        configs=[
            {"config_name": "default", "data_files": [{"split": "train", "path": _LOCAL_PATH.sub("", data_file)}]}
        ],
    )
    sections = (
        _what(report, name),
        _how(report),
        _fields(report),
        _quality(report),
        _limits(report),
        _terms(report, license),
    )
    return f"---\n{head.to_yaml()}\n---\n\n{MARK}\n\n" + "\n\n".join("\n".join(section) for section in sections) + "\n"


def local_free(text: str) -> str:
    """A text in which each absolute path is only the name at its end."""
    return _LOCAL_PATH.sub("", text)


def plain(text: str) -> str:
    """A text as Markdown that shows it, on one line, without folders of the machine it comes from."""
    line = " ".join(local_free(text).split())
    return _SPECIAL.sub(r"\\\1", line)


def fenced(text: str) -> str:
    """A text as a code block that it cannot end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _what(report: QualityReport, name: str) -> list[str]:
    lines = [
        f"# {plain(name)}",
        "",
        f"{report.accepted:,} samples of dialectical reasoning: a prompt, a thought in three steps (thesis, "
        "antithesis, synthesis), and an answer. They are meant for fine-tuning a small language model.",
    ]
    if report.example is not None:
        lines += ["", "One sample, the prompt first:", "", fenced(report.example.instruction)]
        lines += ["", fenced(report.example.output)]
    return lines


def _how(report: QualityReport) -> list[str]:
    lines = [
        "## How it was made",
        "",
        "Each prompt was put to a teacher, a language model. Its answer became a sample only if it met a contract: all "
        "sections there and of substance, none a copy of another, no refusal, not cut off, in the prompt's language. "
        + _by_hand(report),
        "",
        *_table("Teacher", report.teachers),
        *_table("Source of the prompts (with revision where it has one)", report.sources),
        *_table("Recipe", report.recipes),
        *_table("Mode", report.modes),
    ]
    if report.first_created is not None and report.last_created is not None:
        lines += [f"Made from {_day(report.first_created)} to {_day(report.last_created)} (UTC).", ""]
    known = report.known
    if "completion_tokens" in known:
        tokens = known["completion_tokens"]
        lines += [f"Tokens written, where known: {tokens.total:,} in {tokens.samples:,} samples.", ""]
    return lines[:-1]


def _by_hand(report: QualityReport) -> str:
    """What people had to do with the samples."""
    if not report.by_hand:
        return "No person wrote or checked the samples one by one."
    found = ", ".join(f"{count:,} {what}" for what, count in report.by_hand.items())
    return f"A person went over some of them: {found}. The others were not checked one by one."


def _fields(report: QualityReport) -> list[str]:
    rows = [f"| `{field}` | {plain(meaning)} |" for field, meaning in _FIELDS]
    lines = ["## Fields", "", "| field | what it holds |", "|---|---|", *rows]
    if report.foreign:
        lines += ["", f"{report.foreign:,} samples were written by other programs and may lack some of these fields."]
    return lines


def _quality(report: QualityReport) -> list[str]:
    held, accepted = report.held_out, report.not_accepted.share_accepted
    rows: list[tuple[str, str]] = [
        ("samples", f"{report.accepted:,}"),
        ("lines that are no sample", f"{sum(report.unusable.values()):,}"),
        ("distinct prompts", f"{report.distinct_prompts:,}"),
        ("samples with an earlier one's prompt", f"{report.duplicate_prompts.surplus:,}"),
        ("samples with an earlier one's output", f"{report.duplicate_outputs.surplus:,}"),
        ("prompts that are nearly another", _near(report.near_prompts)),
        ("outputs that are nearly another", _near(report.near_outputs)),
        (f"samples with one of {held.prompts:,} held-out prompts", f"{held.exact:,} exactly, {held.near:,} nearly"),
    ]
    if accepted is not None:
        rows.append(("share of judged answers that were accepted", f"{accepted:.1%}"))
    rows += [(f"prompts in {script} script", f"{count:,}") for script, count in report.scripts.items()]
    lines = ["## Quality", "", "| figure | value |", "|---|---|"]
    lines += [f"| {plain(figure)} | {value} |" for figure, value in rows]
    lines += ["", f"Nearly: a Jaccard of {report.near_threshold:g} or more of runs of words, "]
    lines[-1] += f"{report.near_prompts.shingle_words} in prompts and {report.near_outputs.shingle_words} in outputs."
    if report.lengths:
        lines += ["", "| length in words | min | 5 % | median | 95 % | max |", "|---|---|---|---|---|---|"]
        lines += [_row(part, length.words) for part, length in report.lengths.items()]
        if report.synthesis_to_thesis is not None:
            lines.append(_row("synthesis / thesis (characters)", report.synthesis_to_thesis))
        if report.contradictions is not None:
            lines.append(_row("contradictions a sample", report.contradictions))
    return lines


def _limits(report: QualityReport) -> list[str]:
    limits = [
        "The contract looks at form and substance, not at truth: facts in the samples are unchecked.",
        "A teacher's habits and biases are in its samples.",
        "Near duplicates are found by their words; the same thought in other words is not.",
    ]
    if report.modes.get("turns"):
        limits.append("In samples of mode turns the sections begin with the same fixed words.")
    limits += [f"It holds {fault}." for fault in report.faults]
    limits += [
        f"In {report.warnings[name]:,} samples {WARNINGS[name]}."
        for name in ("short_answer", "short_synthesis", "long_synthesis", "no_contradiction")
        if name in report.warnings
    ]
    return ["## Known limits", "", *(f"- {limit}" for limit in limits)]


def _terms(report: QualityReport, license_: str | None) -> list[str]:
    teachers = ", ".join(plain(name) for name in report.teachers) or "the teachers"
    sources = ", ".join(plain(name) for name in report.sources) or "the sources"
    known = [
        f"The card of {plain(source)} states the licence {stated}."
        for source, stated in _KNOWN_SOURCES.items()
        if any(name.startswith(source) for name in report.sources)
    ]
    return [
        "## Terms",
        "",
        f"- Licence: {plain(license_)}."
        if license_
        else "- Licence: none has been set. Whoever publishes this sets it.",
        f"- The answers were written by {teachers}. The terms of whoever provides a teacher bind what may be done with "
        "its answers, training included; read them before you use or publish this.",
        " ".join([f"- The prompts come from {sources}; their licences bind too.", *known]),
    ]


def _table(title: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    rows = [f"| {plain(name)} | {count:,} |" for name, count in counts.items()]
    return [f"| {title} | samples |", "|---|---|", *rows, ""]


def _near(found: NearDuplicates) -> str:
    text = f"{found.texts:,} in {found.clusters:,} clusters"
    return text if found.complete else f"{text}, but too many are alike to compare them all"


def _row(name: str, spread: Spread) -> str:
    values = (spread.min, spread.p5, spread.median, spread.p95, spread.max)
    return f"| {name} | {' | '.join(map(_figure, values))} |"


def _figure(value: Number) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def size_category(count: int) -> str:
    """The hub's word for a number of rows."""
    return next((size for limit, size in _SIZES if count < limit), "1M<n<10M")
