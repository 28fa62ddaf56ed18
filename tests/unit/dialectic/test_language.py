"""Whether a text is in its prompt's language."""

from __future__ import annotations

import pytest

from hegelion_core.dialectic import language
from hegelion_core.dialectic.words import words

TEXTS = {
    "english": "The streets of the city are for the people who live there, and that is what they should be.",
    "german": "Die Straßen der Stadt sind für die Menschen da, und das ist es, was sie sein sollten.",
    "french": "Les rues de la ville sont pour les gens qui y vivent, et c'est ce qu'elles doivent être pour tous.",
    "spanish": "Las calles de la ciudad son para los que viven en ella, y eso es lo que deben ser.",
    "portuguese": "As ruas da cidade são para os que vivem nela, e é isso que devem ser para as pessoas.",
    "italian": "Le strade della città sono per le persone che ci vivono, e questo è quello che devono essere.",
    "dutch": "De straten van de stad zijn voor de mensen en dat is wat het moet zijn, niet een weg.",
    "polish": "Ulice są dla ludzi, którzy w nich żyją, i to jest to, czym powinny być, a nie drogą do pracy.",
    "turkish": "Sokaklar insanlar için ve bu çok önemli, daha iyi bir şehir için de ne gerekirse.",
    "russian": "Улицы города существуют для людей, которые в нём живут.",
    "chinese": "城市的街道属于住在那里的人们。",
    "japanese": "街の道は、そこに住む人々のためにあるべきだ。",
    "korean": "도시의 거리는 그곳에 사는 사람들을 위한 것이다.",
    "arabic": "شوارع المدينة للناس الذين يعيشون فيها.",
    "hindi": "शहर की सड़कें उन लोगों के लिए हैं जो वहाँ रहते हैं।",
    "thai": "ถนนในเมืองเป็นของคนที่อาศัยอยู่ที่นั่น",
}


def differs(prompt: str, *texts: str) -> bool:
    return language.differs((prompt, words(prompt)), *((text, words(text)) for text in texts))


@pytest.mark.parametrize("asked", TEXTS)
@pytest.mark.parametrize("given", TEXTS)
def test_every_pair_of_languages(asked: str, given: str) -> None:
    expected = asked != given and {asked, given} != {"chinese", "japanese"}  # a Japanese text may be all kanji
    assert differs(TEXTS[asked], TEXTS[given]) is expected


def test_one_of_several_texts_is_enough() -> None:
    assert differs(TEXTS["german"], TEXTS["german"], TEXTS["english"])
    assert not differs(TEXTS["german"], TEXTS["german"], "42")


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("Translate this into your own words.", TEXTS["chinese"]),
        ("Answer in French, please, as you would for the people of the city.", TEXTS["french"]),
        ("用英语回答：翻译这句话", TEXTS["english"]),
        (f"Say what is right or wrong about this passage: {TEXTS['chinese'] * 3}", TEXTS["english"]),
        ("Cars?", TEXTS["german"]),
        ("", TEXTS["german"]),
        (TEXTS["english"], ""),
        (TEXTS["english"], "x = 3"),
        (TEXTS["chinese"], "像 GPT、Transformer 这样的模型代替的是任务，而不是职业。"),
    ],
)
def test_doubt_counts_as_no(prompt: str, text: str) -> None:
    assert not differs(prompt, text)
