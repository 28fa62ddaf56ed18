"""HTML and SVG that texts cannot break out of: a string is always escaped, only a ``Node`` is markup. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

_WITHOUT_END = frozenset({"meta"})
_REPLACED = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t\r"}
_UNWANTED: dict[int, str | None] = {**_REPLACED, ord("\r"): None}
"""Control characters, which no HTML document may hold, and what stands for them."""


@dataclass(frozen=True, slots=True)
class Node:
    """Markup that is whole and safe."""

    markup: str


Child = Node | str | None
NOTHING = Node("")


def escape(text: str) -> str:
    """A text as it may stand between tags and in a quoted attribute."""
    return html.escape(text.translate(_UNWANTED))


def element(tag: str, *children: Child, **attributes: str | float | None) -> Node:
    """An element.

    Args:
        tag: its name, ours.
        children: nodes, and texts of anyone; ``None`` is left out.
        attributes: names, ours, with ``_`` for ``-`` and one at the end that is dropped; values of anyone, of which
            ``None`` is left out.
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _WITHOUT_END:
        return Node(f"<{tag}{named}>")
    return Node(f"<{tag}{named}>{_inside(children)}</{tag}>")


def together(children: Iterable[Child]) -> Node:
    """Several as one."""
    return Node(_inside(children))


def style(css: str) -> Node:
    """A style sheet of ours; it is taken as it is."""
    return Node(f"<style>{css}</style>")


def document(head: Node, body: Node) -> str:
    """A whole HTML document, in UTF-8."""
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head.markup}</head>\n<body>{body.markup}</body>\n</html>\n'


def _inside(children: Iterable[Child]) -> str:
    return "".join(
        child.markup if isinstance(child, Node) else escape(child) for child in children if child is not None
    )
