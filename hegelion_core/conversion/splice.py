"""A chat template rendered once, and the texts put in their places: what makes many rows quick.

Rendering is some fifty times as slow as joining strings. Most templates do nothing with a text but write it; whether
this one does is found out with probes, among them every text that the template itself mentions, since only with those
could it compare. And while rows are made, the first ones and then one in ``CHECKED`` are rendered as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hegelion_core.errors import UserError

Render = Callable[[str, str], str]
"""System text (may be empty) and question to the generation prompt."""

CHECKED = 512
"""One prompt in so many is rendered by the template itself, and the first ``FIRST`` of each shape."""
FIRST = 16

_SYSTEM, _QUESTION = "\ue000system\ue001", "\ue000question\ue001"
_PROBES = (
    "a",
    "A plain question, of some length: is it so?",
    "two\n\nparagraphs\n",
    " space around ",
    "<b>&amp;\"quotes\" 'and' \\ {{ braces }} {% tags %}",
    "äöü 漢字 🙂",
    "0",
    "None",
    "[1, 2]",
    "x" * 5000,
)


class UnevenTemplateError(Exception):
    """The template does more with some text than write it: what was spliced so far must be rendered again."""


class SplicedPrompt:
    """``render`` for many texts. Equal to it, or an ``UnevenTemplateError``."""

    def __init__(self, render: Render, literals: Iterable[str], normal: Callable[[str], str]) -> None:
        """Nothing is rendered yet.

        Args:
            render: the template.
            literals: the texts that it mentions.
            normal: what is done to every text before it is rendered.
        """
        self._render = render
        probes = map(normal, [*_PROBES, *(probe for text in literals for probe in _around(text))])
        self._probes = sorted({probe for probe in probes if probe})
        self._shapes: dict[bool, tuple[str, ...] | None] = {}
        """By whether there is a system text: what stands before, between and after the texts; none: not spliced."""
        self._count = 0

    def __call__(self, system: str, question: str) -> str:
        """The generation prompt.

        Raises:
            UnevenTemplateError: it turns out now that prompts before this one may be wrong.
        """
        shape = bool(system)
        if shape not in self._shapes:
            self._shapes[shape] = self._learn(shape)
            self._count = 0
        pieces = self._shapes[shape]
        if pieces is None:
            return self._render(system, question)
        spliced = _join(pieces, system, question)
        self._count += 1
        if (self._count <= FIRST or self._count % CHECKED == 0) and spliced != self._render(system, question):
            raise UnevenTemplateError
        return spliced

    def _learn(self, with_system: bool) -> tuple[str, ...] | None:
        system = _SYSTEM if with_system else ""
        rendered = self._render(system, _QUESTION)
        head, found, rest = rendered.partition(system) if with_system else ("", "", rendered)
        before, asked, after = rest.partition(_QUESTION)
        if not asked or _QUESTION in after or (with_system and (not found or _SYSTEM in rest)):
            return None
        pieces = (head, before, after) if with_system else (before, after)
        return pieces if all(self._serves(pieces, with_system, probe) for probe in self._probes) else None

    def _serves(self, pieces: tuple[str, ...], with_system: bool, probe: str) -> bool:
        pairs = [("A system text." if with_system else "", probe)]
        if with_system:
            pairs.append((probe, "A question?"))
        try:
            return all(self._render(*pair) == _join(pieces, *pair) for pair in pairs)
        except UserError:  # the template refuses some texts
            return False


def _join(pieces: tuple[str, ...], system: str, question: str) -> str:
    if len(pieces) == 2:
        return pieces[0] + question + pieces[1]
    return pieces[0] + system + pieces[1] + question + pieces[2]


def _around(text: str) -> tuple[str, ...]:
    return (text, f"{text}x", f"x{text}", f"x{text}y", f"{text}x{text}")


def literals(source: str) -> tuple[str, ...]:
    """The strings in a Jinja template: what it could compare something with."""
    from jinja2 import Environment
    from jinja2.exceptions import TemplateError

    try:
        tokens = list(Environment().lexer.tokenize(source))  # noqa: S701 - nothing is rendered
    except TemplateError:  # then the other probes and the checks have to do
        return ()
    return tuple(sorted({str(token.value) for token in tokens if token.type == "string" and token.value}))
