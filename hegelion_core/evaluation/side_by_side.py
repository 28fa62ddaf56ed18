"""Both answers to each prompt, beside each other, for people. Pure."""

from __future__ import annotations

import textwrap
from itertools import zip_longest

from hegelion_core.evaluation.summary import Evaluation, GivenAnswer

_BETWEEN = " │ "
_NARROWEST = 60
"""Characters of a line below which answers stand under each other."""


def side_by_side(evaluation: Evaluation, width: int) -> list[str]:
    """Each prompt, and what base and adapter answered; ``width`` in characters."""
    said: list[str] = []
    for number, result in enumerate(evaluation.results, start=1):
        said += ["", *_wrapped(f"{number}. {result.prompt}", width)]
        base, adapter = _answer("base", result.base), _answer("adapter", result.adapter)
        said += _beside(base, adapter, width) if width >= _NARROWEST else _below(base, adapter, width)
    return said


def _answer(name: str, given: GivenAnswer) -> str:
    marks = ["whole trace" if given.complete_trace else "no whole trace", f"{given.tokens} tokens"]
    marks += ["cut by the limit"] * given.cut
    return f"{name}: {', '.join(marks)}\n\n{given.text}"


def _beside(left: str, right: str, width: int) -> list[str]:
    column = (width - len(_BETWEEN)) // 2
    rows = zip_longest(_wrapped(left, column), _wrapped(right, column), fillvalue="")
    return [f"{one:<{column}}{_BETWEEN}{other}".rstrip() for one, other in rows]


def _below(first: str, second: str, width: int) -> list[str]:
    return [*_wrapped(first, width), "", *_wrapped(second, width)]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` characters; line ends of the text stay."""
    return [part for line in text.expandtabs(4).splitlines() for part in textwrap.wrap(line, width) or [""]]
