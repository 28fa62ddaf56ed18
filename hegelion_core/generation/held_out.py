"""Whether a prompt is, or nearly is, one of those that are held out. Exact: nothing is estimated, nothing missed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import clean
from hegelion_core.generation.shingles import jaccard, shingles, words

_ROUNDING = 1e-9
"""0.7 * 10 is a little more than 7."""


@dataclass(frozen=True)
class Match:
    """The held-out prompt that a prompt is nearest to."""

    number: int
    """Counted from 0."""
    jaccard: float
    exact: bool
    """Whether they are the same prompt."""


class HeldOutPrompts:
    """Prompts to be found again, by their identity and by their shingles."""

    def __init__(self, prompts: Sequence[str], *, threshold: float, shingle_words: int) -> None:
        """``threshold`` is of the Jaccard of two prompts' shingles of ``shingle_words`` words."""
        self._threshold = threshold
        texts = [clean(prompt).strip() for prompt in prompts]
        self._shingles = [shingles(words(text), shingle_words) for text in texts]
        self._numbers = {prompt_id(text): number for number, text in reversed(list(enumerate(texts)))}
        self._having: defaultdict[str, list[int]] = defaultdict(list)
        frequency = Counter(shingle for each in self._shingles for shingle in each)
        for number, each in enumerate(self._shingles):
            # Two sets at the threshold share so much that one of the rarest few of either is among what they share.
            few = len(each) - math.ceil(threshold * len(each) - _ROUNDING) + 1
            for shingle in sorted(each, key=lambda shingle: (frequency[shingle], shingle))[:few]:
                self._having[shingle].append(number)

    def match(self, name: str, prompt: frozenset[str]) -> Match | None:
        """The nearest held-out prompt, if there is one at the threshold; of equally near ones the first.

        Args:
            name: the prompt's id.
            prompt: its shingles.
        """
        if (number := self._numbers.get(name)) is not None:
            return Match(number, 1.0, exact=True)
        near = [(-alike, number) for number, alike in self._near(prompt) if alike >= self._threshold]
        return Match(min(near)[1], -min(near)[0], exact=False) if near else None

    def _near(self, prompt: frozenset[str]) -> Iterator[tuple[int, float]]:
        candidates = {number for shingle in prompt for number in self._having.get(shingle, ())}
        return ((number, jaccard(prompt, self._shingles[number])) for number in candidates)
