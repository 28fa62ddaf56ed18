"""Whether two texts are in the same language: by script, and among a few Latin languages by their commonest words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from hegelion_core.dialectic.words import plain

_SCRIPTS = {
    "HIRAGANA": "japanese",
    "KATAKANA": "japanese",
    "HANGUL": "korean",
    "CJK": "han",
}
_COMMON_WORDS = {
    "english": (
        "the of and to is that it for with this are not be as on can should what how why would from their "
        "does if or they have has by more which who when there been you your my than about"
    ),
    "german": (
        "der die das und ist nicht ein eine zu den mit von für auf dass sich werden wie warum sollte kann "
        "auch aus bei oder nach wenn dem im einen einer gibt wird sind"
    ),
    "french": (
        "le la les des et est que une dans pour pas sur qui avec ce nous être pourquoi comment doit du au "
        "aux par cette ses il elle sont plus mais ou faut"
    ),
    "spanish": (
        "el los las y es que una en por para con no del se como más pero cómo qué debería lo su sus ser "
        "este esta debe sin sobre hay"
    ),
    "portuguese": (
        "o os as e é que uma em por para com não do da se como mais mas dos ao um ser ou pelo pela deve isso na"
    ),
    "italian": (
        "il gli le e è che una di per con non del della si come più ma nel perché dovrebbe sono nella dei "
        "delle questo quando anche"
    ),
    "dutch": "de het een en van niet dat is op te zijn voor met aan ook maar naar wordt kan",
    "polish": "i w na nie się z do to jest że ale dla po jak czy przez od są",
    "turkish": "ve bir bu için de da ile mi mı çok daha olarak ne gibi ama değil",
    "indonesian": "yang dan di untuk dengan ini itu tidak dari adalah pada apakah dalam",
    "vietnamese": "là và của có không các cho được trong một những với người",
}
_LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in _COMMON_WORDS.items():
    for _word in _words.split():
        _LANGUAGES_OF.setdefault(_word, []).append(_language)
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
_NO_LETTERS = bytes(code for code in range(256) if not chr(code).isalpha() or code > 127)
_OTHER_LANGUAGE_WANTED = re.compile(
    r"transl|traduc|traduz|tradui|übersetz|перев|翻译|翻譯|翻訳|번역"
    r"|\b(?:in|to|into|from)\s+(?:english|german|french|spanish|portuguese|italian|dutch|russian|chinese|japanese"
    r"|korean|arabic|hindi|turkish|polish|swedish|latin|greek|hebrew|persian|vietnamese|thai|ukrainian)\b",
    re.IGNORECASE,
)
_LOOKED_AT = 200
"""Words; enough to tell a language."""
_QUOTED = 20
"""A prompt with so many letters of a script may be answered in it."""

Written = tuple[str, list[str]]
"""A text and its words (``words.words``)."""


def differs(prompt: Written, *texts: Written) -> bool:
    """Whether one of ``texts`` is clearly in another language than ``prompt``; doubt, and prompts that ask for another
    language, count as no."""
    in_prompt = _scripts(prompt[0])
    asked = _main(in_prompt)
    if asked is None:
        return False
    tongue = _latin_language(prompt[1]) if asked == "LATIN" else None
    for text, words in texts:
        given = _main(_scripts(text))
        if given is None:
            continue
        if asked != given:
            differs = {asked, given} != {"han", "japanese"} and in_prompt.get(
                given, 0
            ) < _QUOTED  # kanji may stand alone
        else:
            differs = tongue is not None and _latin_language(words) not in (None, tongue)
        if differs and not _OTHER_LANGUAGE_WANTED.search(prompt[0]):
            return True
    return False


def _scripts(text: str) -> dict[str, int]:
    """How many letters of each script."""
    text = plain(text)
    counts = {"LATIN": len(text.encode("ascii", "ignore").translate(None, _NO_LETTERS))}
    if text.isascii():
        return counts
    for letter, count in Counter("".join(_NOT_ASCII.findall(text))).items():
        if (script := _script(letter)) is not None:
            counts[script] = counts.get(script, 0) + count
    if counts.get("japanese", 0) * 10 >= sum(counts.values()):  # kana between kanji
        counts["japanese"] = counts.get("japanese", 0) + counts.pop("han", 0)
    return counts


@lru_cache(8192)
def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    name = unicodedata.name(letter, "?").partition(" ")[0]
    return _SCRIPTS.get(name, name)


def _main(counts: dict[str, int]) -> str | None:
    """The script of at least 70 % of the letters; none where there are few letters or no such script."""
    script = max(counts, key=counts.__getitem__)
    few = 12 if script == "LATIN" else 4
    return script if counts[script] >= few and counts[script] >= 0.7 * sum(counts.values()) else None


def _latin_language(words: list[str]) -> str | None:
    """The language whose commonest words are at least three and twice as many as any other's."""
    counts = Counter(words[:_LOOKED_AT])
    hits = dict.fromkeys(_COMMON_WORDS, 0)
    for word in counts.keys() & _LANGUAGES_OF.keys():
        for language in _LANGUAGES_OF[word]:
            hits[language] += counts[word]
    first = max(hits, key=hits.__getitem__)
    most = hits.pop(first)
    return first if most >= 3 and most >= 2 * max(hits.values()) else None
