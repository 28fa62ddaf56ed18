"""Whether two texts are in the same language: by script, and among a few Latin languages by their commonest words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_SCRIPTS = {
    "HIRAGANA": "japanese",
    "KATAKANA": "japanese",
    "HANGUL": "korean",
    "CJK": "han",
}
_COMMON_WORDS = {
    "english": "the of and to is that it for with this are not be as on can should what how why would",
    "german": "der die das und ist nicht ein eine zu den mit von für auf dass sich werden wie warum sollte kann",
    "french": "le la les des et est que une dans pour pas sur qui avec ce nous être pourquoi comment doit",
    "spanish": "el los las y es que una en por para con no del se como más pero cómo qué debería",
    "portuguese": "o os as e é que uma em por para com não do da se como mais mas dos ao",
    "italian": "il gli le e è che una di per con non del della si come più ma nel perché dovrebbe",
}
_VOCABULARY = {language: frozenset(words.split()) for language, words in _COMMON_WORDS.items()}
_WORDS = re.compile(r"[^\W\d_]+")
_OTHER_LANGUAGE_WANTED = re.compile(
    r"transl|traduc|traduz|tradui|übersetz|перев|翻译|翻譯|翻訳|번역"
    r"|\b(?:in|to|into|from)\s+(?:english|german|french|spanish|portuguese|italian|dutch|russian|chinese|japanese"
    r"|korean|arabic|hindi|turkish|polish|swedish|latin|greek|hebrew|persian|vietnamese|thai|ukrainian)\b",
    re.IGNORECASE,
)
_LOOKED_AT = 4000  # characters; enough to tell a language, and bounded for prompts of any length


def differs(prompt: str, text: str) -> bool:
    """Whether ``text`` is clearly in another language than ``prompt``; doubt, and prompts that ask for another
    language, count as no."""
    if _OTHER_LANGUAGE_WANTED.search(prompt):
        return False
    asked, given = _script(prompt[:_LOOKED_AT]), _script(text[:_LOOKED_AT])
    if asked is None or given is None:
        return False
    if asked != given:
        return {asked, given} != {"han", "japanese"}  # a Japanese text may be mostly kanji
    if asked != "LATIN":
        return False
    one, other = _latin_language(prompt[:_LOOKED_AT]), _latin_language(text[:_LOOKED_AT])
    return one is not None and other is not None and one != other


def _script(text: str) -> str | None:
    """The script of at least 70 % of the letters; none where there are few letters or no such script."""
    counts: Counter[str] = Counter()
    for letter, count in Counter(filter(str.isalpha, text)).items():
        name = "LATIN" if letter.isascii() else unicodedata.name(letter, "?").partition(" ")[0]
        counts[_SCRIPTS.get(name, name)] += count
    if counts["japanese"] * 10 >= counts.total():  # kana between kanji
        counts["japanese"] += counts.pop("han", 0)
    if counts.total() < 4:
        return None
    script, count = counts.most_common(1)[0]
    few = 12 if script == "LATIN" else 4
    return script if count >= few and count >= 0.7 * counts.total() else None


def _latin_language(text: str) -> str | None:
    """The language whose commonest words are at least three and twice as many as any other's."""
    words = [word.lower() for word in _WORDS.findall(text)]
    hits = Counter({language: sum(word in known for word in words) for language, known in _VOCABULARY.items()})
    (first, most), (_, second) = hits.most_common(2)
    return first if most >= 3 and most >= 2 * second else None
