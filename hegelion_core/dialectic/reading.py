"""The parts of an answer as far as they are there: for people who read along, and for answers that are no samples.

``parsing.parse_output`` says whether an answer is whole; this never refuses and leaves nothing out. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hegelion_core.dialectic.headings import headings
from hegelion_core.dialectic.parsing import SampleFault, parse_output

_OPEN = re.compile(r"<(thought|think)>", re.IGNORECASE)

Parts = list[tuple[str, str]]
"""Names (``Thesis``, ``Answer``, ...; empty: it belongs to nothing) and texts, in the order of the answer."""


def parts_so_far(text: str) -> Parts:
    """What an answer holds, part by part, finished or not."""
    try:
        whole = parse_output(text)
    except SampleFault:
        return [(name, part.strip()) for name, part in _parts(text) if part.strip()]
    named = (
        ("Thesis", whole.thesis),
        ("Antithesis", whole.antithesis),
        ("Synthesis", whole.synthesis),
        ("Answer", whole.answer),
    )
    return [(name, part) for name, part in named if part]


def _parts(text: str) -> Iterator[tuple[str, str]]:
    opened = _OPEN.search(text)
    if opened is None:
        yield from _sections(text, "")
        return
    yield "", text[: opened.start()]
    block, closing, rest = _split(text[opened.end() :], f"</{opened[1].lower()}>")
    yield from _sections(block, "Thought")
    if closing:
        yield "Answer", rest


def _split(text: str, closing: str) -> tuple[str, str, str]:
    found = re.search(re.escape(closing), text, re.IGNORECASE)
    return (text[: found.start()], closing, text[found.end() :]) if found else (text, "", "")


def _sections(text: str, unnamed: str) -> Iterator[tuple[str, str]]:
    """What stands behind each heading; what stands before the first is called ``unnamed``."""
    found = headings(text)
    ends = [heading.start for heading in found] + [len(text)]
    yield unnamed, text[: ends[0]]
    for heading, end in zip(found, ends[1:], strict=True):
        yield heading.section.capitalize(), text[heading.end : end]
