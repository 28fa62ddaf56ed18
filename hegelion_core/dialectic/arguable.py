"""Whether a prompt can be argued: has a thesis an honest antithesis here, or would one have to be forced?

Public data sets mix questions worth weighing with translation, classification, code and look-ups. ``judge`` adds up
the weights of the signs that it finds (``arguable_signs.SIGNS``), and ``THRESHOLD`` decides. It serves to prefer
prompts, not to refuse them; without any sign, a prompt counts as one that cannot be argued.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hegelion_core.dialectic.arguable_signs import (
    BARE_OPTIONS,
    CASE,
    LONG_QUESTION,
    MANY_NUMBERS,
    SIGNS,
    WHY,
    YES_NO,
    Sign,
)

THRESHOLD = 1.0
"""The least score of a prompt that can be argued."""

HEAD_WORDS, TAIL_WORDS = 120, 60
"""What is asked for stands at the beginning or the end; of a longer prompt the middle is not looked at."""
MAX_WORD_CHARS = 12
"""Together with the word counts, a bound in characters: scripts without spaces make one word of a whole text."""

LONG_QUESTION_WORDS = 8
"""A question of fewer words mostly asks for a fact (Are bats blind?)."""
CASE_SENTENCES = 4
"""A case is told in fewer sentences than these; a question after more is mostly one about a passage."""
FEW_NUMBERS, NUMBERS_SHARE = 3, 0.08
"""More numbers than these, counted and as a share of the words, are a sum and not a question of judgement."""


@dataclass(frozen=True)
class Verdict:
    """Whether a prompt can be argued, and why.

    Attributes:
        arguable: ``score`` reaches ``THRESHOLD``.
        score: the sum of the weights of the signs found; unbounded, 0 without any.
        reasons: the signs' slugs, the weightiest first.
    """

    arguable: bool
    score: float
    reasons: tuple[str, ...]


def judge(text: str) -> Verdict:
    """Judge a prompt by its first and last words, in time linear in its length; the signs are sought in a bounded part.

    Takes any string. White space and the case of ASCII letters make no difference.
    """
    found = sorted(set(_signs(_looked_at(text))), key=_rank)
    score = float(sum(sign.weight for sign in found))
    return Verdict(score >= THRESHOLD, score, tuple(sign.slug for sign in found))


def _rank(sign: Sign) -> tuple[float, str]:
    return -abs(sign.weight), sign.slug


def _looked_at(text: str) -> str:
    """The bounded part of a text that is judged: lower case, single spaces between words and at both ends."""
    most = HEAD_WORDS + TAIL_WORDS
    words = text.split(None, most)
    head, tail = (words, []) if len(words) <= most else (words[:HEAD_WORDS], text.rsplit(None, TAIL_WORDS)[1:])
    seen = " ".join(head)
    if len(seen) > most * MAX_WORD_CHARS or tail:
        seen = seen[: HEAD_WORDS * MAX_WORD_CHARS] + " " + " ".join(tail or head)[-TAIL_WORDS * MAX_WORD_CHARS :]
    return f" {seen.lower().replace('’', chr(39)).replace('¿', '')} "


def _signs(text: str) -> Iterator[Sign]:
    yield from _HELD.found_in(text)
    questions: list[str] = []
    sentences = _SENTENCE.findall(_INNER_STOP.sub("", text))
    for number, sentence in enumerate(sentences):
        is_question = sentence[-1] in "?？"
        sign = _opening(sentence, is_question)
        if sign is not None:
            yield sign
        if not is_question:
            continue
        questions.append(sentence)
        if sign in (YES_NO, WHY) and sentence.count(" ") >= LONG_QUESTION_WORDS:
            yield LONG_QUESTION
        elif sign is YES_NO and 0 < number < CASE_SENTENCES:
            yield CASE
        elif sign is None and " or " in sentence:
            yield BARE_OPTIONS
    if questions:
        yield from _ASKED.found_in(" ".join(questions))
    numbers = len(_NUMBER.findall(text))
    if numbers > FEW_NUMBERS and numbers > NUMBERS_SHARE * text.count(" "):
        yield MANY_NUMBERS


def _opening(sentence: str, is_question: bool) -> Sign | None:
    """The sign of the longest phrase with which a sentence begins, courtesies apart."""
    start = sentence.lstrip(_BEFORE_WORDS)
    if courtesy := _COURTESY.match(start):
        start = start[courtesy.end() :]
        is_question = is_question and " you" not in courtesy[0]  # "Could you ...?" asks for no yes or no
    for phrase, sign in _OPENINGS.get(start.partition(" ")[0].rstrip(_AFTER_WORDS), ()):
        if start.startswith(phrase) and (is_question or not sign.only_asked):
            return sign
    return None


_SENTENCE = re.compile(r"[^.!?;。！？；]+[.!?;。！？；]*")
_INNER_STOP = re.compile(r"\.(?=\w)")  # of 3.9, e.g. and main.py
_NUMBER = re.compile(r"[0-9]+")
_BEFORE_WORDS = " \"'“”‘«»¿¡([*-–—#>•,"
_AFTER_WORDS = "?.,!:;？"
_COURTESY = re.compile(
    r"(?:please|kindly|can you(?: please)?|could you(?: please)?|would you please|will you(?: please)?"
    r"|i (?:want|need|would like) you to|i'd like you to|help me(?: to)?|now|and|but|so|then|hi|hello|hey"
    r"|in your opinion|honestly|bitte|por favor)[ ,]+"
)


_Pairs = tuple[tuple[str, Sign], ...]


def _phrases(of: Callable[[Sign], str]) -> _Pairs:
    return tuple((phrase, sign) for sign in SIGNS for phrase in of(sign).split("|") if phrase)


def _by(key: Callable[[str], str], phrases: _Pairs) -> dict[str, _Pairs]:
    """The phrases by a key, the longest first."""
    found: defaultdict[str, list[tuple[str, Sign]]] = defaultdict(list)
    for phrase, sign in sorted(phrases, key=lambda pair: -len(pair[0])):
        found[key(phrase)].append((phrase, sign))
    return {word: tuple(some) for word, some in found.items()}


class _Phrases:
    """Many phrases, of which only those are looked for whose longest word begins like some word of the text.

    Looking for each of them would take longer than everything else together.
    """

    def __init__(self, phrases: _Pairs) -> None:
        words = tuple(pair for pair in phrases if pair[0][0] == " ")
        self._by_word = _by(lambda phrase: max(phrase.split(), key=len)[:_KEY], words)
        self._ascii = tuple(pair for pair in phrases if pair not in words and pair[0].isascii())
        self._other = tuple(pair for pair in phrases if pair not in words and not pair[0].isascii())

    def found_in(self, text: str) -> list[Sign]:
        starts = {word[:_KEY] for word in text.split(" ")}
        some = [self._by_word[start] for start in starts & self._by_word.keys()]
        other = () if text.isascii() else self._other
        return [sign for phrases in (*some, self._ascii, other) for phrase, sign in phrases if phrase in text]


_KEY = 4
_HELD = _Phrases(_phrases(lambda sign: sign.holds))
_ASKED = _Phrases(_phrases(lambda sign: sign.asks))
_OPENINGS = _by(lambda phrase: phrase.split()[0], _phrases(lambda sign: sign.opens))
