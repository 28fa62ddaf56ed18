"""Texts as sets of word shingles, and how alike two of them are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hegelion_core.dialectic.identity import normalise

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """The words of a text, normalised; each character of Chinese and Japanese is one. Punctuation is left out."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(normalise(text))


def shingles(words: Sequence[str], size: int) -> frozenset[str]:
    """The runs of ``size`` words, each as one string; a shorter text that has words is one shingle."""
    if len(words) <= size:
        return frozenset([" ".join(words)] if words else ())
    return frozenset(map(" ".join, zip(*(words[start:] for start in range(size)), strict=False)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Share of the shingles of both that they have in common, 0 to 1; 0 for two empty sets."""
    shared = len(one & other)
    total = len(one) + len(other) - shared
    return shared / total if total else 0.0
