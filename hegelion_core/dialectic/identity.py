"""When two prompts are the same prompt, and the id that follows from it."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_MARKS = (
    r"[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u06d6-\u06ed\u0730-\u074a\u08d3-\u08ff\u0e38-\u0e3a"
    r"\u0e48-\u0e4b\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f\u3099\u309a\ufe20-\ufe2f]"
)
_LONG_RUN = re.compile(f"({_MARKS}{{30}}){_MARKS}+")
"""More combining marks in a row than any writing has (Unicode's stream-safe text format allows 30)."""
_SHORT = 2000


def normalise(text: str) -> str:
    """A prompt as it is compared: NFKC, case folded, runs of whitespace one space, none at the ends.

    Idempotent. Folding case can undo NFKC and the reverse, so both are done twice (Unicode Standard, 3.13, D146).
    """
    if text.isascii():
        return " ".join(text.lower().split())
    folded = nfkc(nfkc(text).casefold()).casefold()
    return " ".join(nfkc(folded).split())


def nfkc(text: str) -> str:
    """NFKC in linear time: of a run of combining marks only the first 30 stay, since sorting them takes its square.

    A short text is left its runs.
    """
    if len(text) <= _SHORT:
        return unicodedata.normalize("NFKC", text)
    return _LONG_RUN.sub(r"\1", unicodedata.normalize("NFKC", _LONG_RUN.sub(r"\1", text)))


def prompt_id(text: str) -> str:
    """``p-`` and the first 16 hex digits of the SHA-256 of the normalised text (UTF-8; lone surrogates replaced)."""
    return "p-" + hashlib.sha256(normalise(text).encode("utf-8", "replace")).hexdigest()[:16]
