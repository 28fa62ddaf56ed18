"""When two prompts are the same prompt, and the id that follows from it."""

from __future__ import annotations

import hashlib
import unicodedata


def normalise(text: str) -> str:
    """A prompt as it is compared: NFKC, case folded, runs of whitespace one space, none at the ends.

    Idempotent. Folding case can undo NFKC and the reverse, so both are done twice (Unicode Standard, 3.13, D146).
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = unicodedata.normalize("NFKC", folded).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def prompt_id(text: str) -> str:
    """``p-`` and the first 16 hex digits of the SHA-256 of the normalised text (UTF-8; lone surrogates replaced)."""
    return "p-" + hashlib.sha256(normalise(text).encode("utf-8", "replace")).hexdigest()[:16]
