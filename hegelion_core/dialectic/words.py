"""The words of a text, as copies, repetitions and the language are judged by."""

from __future__ import annotations

import re

from hegelion_core.dialectic import identity

_WORD = re.compile(r"\w+")
_WIDE = (
    "\u1100-\u1159\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3400-\u4dbf\u4e00-\ua48c"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003134a"
)
"""Letters of scripts without spaces, and Hangul."""
_HAS_WIDE = re.compile(f"[{_WIDE}]")
_WORD_OR_WIDE = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+")
_TYPOGRAPHY = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u2022\u00a0\u00ab\u00bb"
"""Marks that are no part of a word, in texts that otherwise are ASCII."""
_LOWER = "".join(chr(code).lower() if chr(code).isalnum() or chr(code) == "_" else " " for code in range(128))
"""ASCII to lower case, and to a space what is no part of a word; a table is several times as fast as a pattern."""


def plain(text: str) -> str:
    """``text`` with spaces for typographic marks: much of what is not ASCII then is, and can be handled faster."""
    if not text.isascii():
        for mark in _TYPOGRAPHY:
            text = text.replace(mark, " ")
    return text


def folded(text: str) -> str:
    """``text`` without case, as a pattern that ignores case sees it (a Turkish capital I loses its dot)."""
    return text.lower() if text.isascii() else text.casefold().replace("\u0307", "")


def words(text: str) -> list[str]:
    """Without case; each character of a script without spaces is a word. Equal for texts that NFKC makes equal."""
    text = plain(text)
    if text.isascii():
        return text.translate(_LOWER).split()
    text = identity.nfkc(text).casefold()
    return (_WORD if _HAS_WIDE.search(text) is None else _WORD_OR_WIDE).findall(text)


def triples(words: list[str]) -> frozenset[tuple[str, ...]]:
    """The distinct runs of three words; a shorter text is one run."""
    if len(words) < 3:
        return frozenset([tuple(words)] if words else [])
    return frozenset(zip(words, words[1:], words[2:], strict=False))
