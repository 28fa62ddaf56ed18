"""The card of a data set that is pushed to the hub: what was counted, nothing that is guessed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from huggingface_hub import DatasetCardData

from hegelion_core.data_sets.build import Build
from hegelion_core.data_sets.formats import Format, Recipe
from hegelion_core.data_sets.rows import Row, columns
from hegelion_core.generation.card import fenced, plain, size_category

MARK = "<!-- Written by hegelion-console dataset; written anew, it replaces what was changed here. -->"
"""Stands in every card, so that a card of ours can be told from another file."""

FORMS: Mapping[Format, str] = {
    "dpo": "Preference pairs in TRL's conversational form: for DPO and its kin.",
    "instruction": "The form of hegelion-console's own sample file, with the same columns in every row.",
    "alpaca": "Alpaca's columns and the system text.",
    "sharegpt": "ShareGPT conversations.",
    "messages": "Conversations, as mlx-lm (chat) and TRL read them.",
    "prompt-completion": "Prompts and completions as texts, as mlx-lm (completions) and TRL read them.",
    "mlx": "A folder for `mlx_lm.lora --data`.",
}
_PAIRS = {
    "thesis": "The chosen text is the synthesis, the rejected one the thesis. Such pairs mostly teach length: see "
    "`metadata.length_ratio`.",
    "antithesis": "The chosen text is the synthesis, the rejected one the antithesis: a critique, not an answer.",
    "both": "The chosen text is the synthesis; each question has a pair against its thesis, which mostly teaches "
    "length, and one against its antithesis, which is a critique, not an answer.",
    "source": "The chosen text is the final answer, the rejected one what the source of the prompts rejects.",
}


@dataclass(frozen=True, kw_only=True)
class Details:
    """What a card says beside what was counted."""

    name: str
    license: str | None = None
    """The hub's identifier; without one the card says that none is set."""
    languages: Sequence[str] = ()


def card(build: Build, recipe: Recipe, splits: Mapping[str, tuple[str, int]], details: Details) -> str:
    """A README.md, Markdown with YAML front matter.

    Args:
        build: what was counted; it has rows.
        recipe: how the rows were made.
        splits: the hub's name of each split to its path in the data set and its rows.
        details: see there.
    """
    rows = sum(count for _, count in splits.values())
    example = build.example
    assert example is not None  # noqa: S101 - a build without rows is an error
    head = DatasetCardData(
        pretty_name=details.name,
        license=details.license,
        language=list(details.languages) or None,
        size_categories=[size_category(rows)],
        task_categories=["text-generation"],
        tags=["dialectics", "reasoning", "synthetic", "hegelion", *(["dpo"] if recipe.format == "dpo" else [])],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": path} for name, (path, _) in splits.items()],
            }
        ],
    )
    sections = (
        _what(recipe, rows, details.name),
        _example(example),
        ["| split | rows |", "|---|---|", *(f"| {name} | {count:,} |" for name, (_, count) in splits.items())],
        [f"Columns: {', '.join(f'`{name}`' for name in columns(type(example)))}."],
        _made_of(build),
        _terms(build, details),
    )
    return (
        f"---\n{head.to_yaml()}\n---\n\n{MARK}\n\n" + "\n\n".join("\n".join(part) for part in sections if part) + "\n"
    )


def _what(recipe: Recipe, rows: int, name: str) -> list[str]:
    lines = [f"# {plain(name)}", "", f"{rows:,} rows of dialectical reasoning. {FORMS[recipe.format]}"]
    if recipe.format == "dpo":
        lines += ["", _PAIRS[recipe.rejected]]
        if recipe.longest_ratio is not None:
            lines.append(f"No text is more than {recipe.longest_ratio:g} times as long as the other.")
    elif recipe.content == "trace":
        lines += [
            "",
            "An answer holds its trace (thesis, antithesis, synthesis) in a `<thought>` block. Chat templates of "
            "thinking models drop what they take for a thought: look before you train one of them.",
        ]
    return lines


def _example(row: Row) -> list[str]:
    import msgspec

    shown = msgspec.json.format(msgspec.json.encode(row), indent=2).decode()
    return ["One row:", "", fenced(shown)]


def _made_of(build: Build) -> list[str]:
    lines = ["## How it was made", "", f"{build.used:,} results or samples gave its rows."]
    for title, counts in (("Teacher", build.teachers), ("Source of the prompts", build.sources)):
        if counts:
            lines += ["", f"| {title} | questions |", "|---|---|"]
            lines += [f"| {plain(name)} | {count:,} |" for name, count in counts.items()]
    if build.tally.skipped:
        lines += ["", "| left out because | number |", "|---|---|"]
        lines += [f"| {plain(reason)} | {count:,} |" for reason, count in build.tally.skipped.most_common()]
    return lines


def _terms(build: Build, details: Details) -> list[str]:
    teachers = ", ".join(map(plain, build.teachers)) or "the teachers"
    sources = ", ".join(map(plain, build.sources)) or "the sources"
    return [
        "## Limits and terms",
        "",
        "- Facts in the answers are unchecked; a teacher's habits and biases are in them.",
        f"- Licence: {plain(details.license)}."
        if details.license
        else "- Licence: none has been set. Whoever publishes this sets it.",
        f"- The answers were written by {teachers}; the terms of whoever provides a teacher bind what may be done with "
        "them, training included.",
        f"- The prompts come from {sources}; their licences bind too.",
    ]
