"""Control markers inside a text are broken, so that what a text says can never become a turn, an end or a block.

A tokenizer turns ``<|im_end|>`` inside a question into the real end of the turn. So every marker within a row's texts
gets a WORD JOINER (U+2060, without width) behind its first character: it reads the same, and encodes as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

BREAK = "\u2060"
_ALWAYS = (r"</?think>", r"</?thought>", r"<[|｜][^\s<>|｜]{1,64}[|｜]>")
"""What the product's own formats use, and the form of nearly all chat tokens, whatever the tokenizer."""


def neutraliser(tokens: Iterable[str]) -> Callable[[str], str]:
    """A function that breaks each of ``tokens``, and the markers that are always broken, in a text.

    Blank tokens, words and those of one character stay: they mark nothing. Text without markers comes back unchanged,
    and the function is idempotent.
    """
    literal = sorted({token for token in tokens if is_marker(token)}, key=lambda token: (-len(token), token))
    # Only one character is consumed, so that a marker which overlaps another is found too.
    pattern = re.compile(f"(?=(?:{'|'.join([*_ALWAYS, *map(re.escape, literal)])}))(.)", re.DOTALL)
    return lambda text: pattern.sub(rf"\1{BREAK}", text)


def is_marker(token: str) -> bool:
    """Whether an added token of a tokenizer can steer a conversation: blanks, words and single characters cannot."""
    return len(token) > 1 and not all(character.isalnum() or character.isspace() for character in token)
