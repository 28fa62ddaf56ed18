"""Labelled items inside a section: contradictions with their evidence, research proposals with their predictions."""

from __future__ import annotations

import re

_BULLET = r"(?:[-*+•]|\(?\d{1,2}[.):])"
_ITEM = re.compile(rf"\s*{_BULLET}\s+(?P<text>\S.*)")
_LABEL = re.compile(
    rf"\s*(?:\#{{1,6}}\s*)?(?:{_BULLET}\s+)?(?P<open>\*\*|__)?\s*(?:research|testable)?[\s_-]*"
    r"(?P<label>contradiction|evidence|proposal|prediction)(?P<plural>s)?\s*\#?\d{0,2}\s*"
    r"(?:(?P<mid>\*\*|__)\s*[:：.–—-]?|[:：]\s*(?:\*\*|__)?|[–—]|$)\s*(?P<text>.*)",
    re.IGNORECASE,
)


def labelled_items(text: str, label: str, support: str) -> tuple[str, ...]:
    """The items of one kind, in order.

    An item begins at a line like ``CONTRADICTION: ...``, ``**Contradiction 2:** ...`` or at a list item below a line
    like ``Contradictions:``. Its support (evidence, prediction) follows on a line of its own. A blank line, another
    item or another label ends it.
    """
    items: list[str] = []
    listing = waiting = growing = False
    for line in text.split("\n"):
        found = _LABEL.fullmatch(line)
        kind = found["label"].lower() if found else None
        rest = found["text"].strip() if found else ""
        if kind == label:
            listing, waiting, growing = not rest, not rest, bool(rest)
            if rest:
                items.append(rest)
        elif kind == support and rest:
            items[-1:] = [f"{items[-1]}\n{support.upper()}: {rest}"] if items else []
            growing = bool(items)
        elif kind is not None:
            listing = waiting = growing = False
        elif listing and (bullet := _ITEM.fullmatch(line)) is not None:
            items.append(bullet["text"].strip())
            waiting, growing = False, True
        elif not line.strip():
            growing = False
        elif growing:
            items[-1] = f"{items[-1]} {line.strip()}"
        elif waiting:
            items.append(line.strip())
            waiting, growing = False, True
    return tuple(items)
