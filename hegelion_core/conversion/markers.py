"""Control markers inside a text are broken, so that what a text says can never become a turn, an end or a block.

A tokenizer turns ``<|im_end|>`` inside a question into the real end of the turn. So every marker within a row's texts
gets a WORD JOINER (U+2060, without width) behind its first character: it reads the same, and encodes as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

BREAK = "\u2060"
_ALWAYS = (("<", r"/?think>"), ("<", r"/?thought>"), ("<", r"[|｜][^\s<>|｜]{1,64}[|｜]>"))
"""What the product's own formats use, and the form of nearly all chat tokens, whatever the tokenizer: the first
character, and a pattern of what follows it."""


class Neutraliser:
    """Breaks each of some tokens, and the markers that are always broken, in a text.

    Blank tokens, words and those of one character stay: they mark nothing. Text without markers comes back unchanged,
    and it is idempotent.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        literal = sorted({token for token in tokens if is_marker(token)}, key=lambda token: (-len(token), token))
        forms = [*_ALWAYS, *((token[0], re.escape(token[1:])) for token in literal)]
        self.firsts = "".join(sorted({first for first, _ in forms}))
        """The characters with which markers begin."""
        rests = {first: "|".join(rest for other, rest in forms if other == first) for first in self.firsts}
        # Only one character is consumed, so that a marker which overlaps another is found too.
        self._pattern = re.compile("|".join(f"{re.escape(first)}(?={rest})" for first, rest in rests.items()))

    @property
    def identity(self) -> str:
        """Two that do the same have the same."""
        return self._pattern.pattern

    def __call__(self, text: str) -> str:
        for first in self.firsts:
            if first in text:
                return self._pattern.sub(rf"\g<0>{BREAK}", text)
        return text

    def count(self, text: str) -> int:
        """How often a marker could begin in a text."""
        return sum([text.count(first) for first in self.firsts])


def is_marker(token: str) -> bool:
    """Whether an added token of a tokenizer can steer a conversation: blanks, words and single characters cannot."""
    return len(token) > 1 and not all(character.isalnum() or character.isspace() for character in token)
