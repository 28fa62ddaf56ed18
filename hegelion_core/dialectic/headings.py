"""Headings of the three sections, in every form and many of the languages in which models write them.

A heading stands at the start of a line (``### Thesis``, ``1. THESIS``, ``- Thesis:``, ``**Thesis (for):**``,
``THESIS - ...``, ``[THESIS]``, ``<thesis>``, ``| Thesis | ...``); one that is strongly emphasised and has a colon
(``**Thesis:**``) may stand anywhere. Inside a fenced block there are no headings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from hegelion_core.dialectic import code_spans
from hegelion_core.dialectic.code_spans import Closers, Fence
from hegelion_core.dialectic.words import folded, plain

SECTIONS = ("thesis", "antithesis", "synthesis")


class Heading(NamedTuple):
    """One heading of a text: its section, where it starts and ends, and whether it is the first cell of a table row."""

    section: str
    start: int
    end: int
    is_cell: bool


_WORDS = {
    "thesis": "thesis|th[eè]se|these|te[sz]is|tesi|tese|tes|tez[aăe]?|teze|t[eé]zis|teesi|тез[иа]с?|теза|luận đề|θέση"
    "|正题|正題|论题|論題|正论|正論|正方|テーゼ|定立|정립|테제|정|(?:ال)?أطروحة|(?:ال)?فرضية|थीसिस|पक्ष|वाद|תזה|تز|برنهاد",
    "antithesis": "anti-?thesis|anti-?th[eè]se|ant[ií]-?t[eè]sis|ant[ií]t[eé]sis|antitesi|ant[ií]tese"
    "|antites|antitez[aăe]?|antyteza|antiteze|antit[eé]zis|antiteesi|антитезис|антитеза|phản đề|αντίθεση|反题|反題"
    "|反论|反論|反方|アンチテーゼ|反定立|반정립|안티테제|반"
    "|نقيض (?:ال)?أطروحة|(?:ال)?نقيض(?:ة)?|एंटीथीसिस|प्रतिपक्ष|प्रतिवाद|אנטיתזה|آنتی\u200c?تز|برابرنهاد",
    "synthesis": "synthesis|synth[eè]se|s[ií]ntesis|sintesi|s[ií]ntese|syntes|sentez|syntez[ae]|syntéza|sintez[aă]"
    "|szint[eé]zis|synteesi|синтез|hợp đề|σύνθεση|合题|合題|综合|綜合|総合|ジンテーゼ|合|종합|진테제|합"
    "|(?:ال)?تركيب(?:ة)?|(?:ال)?توليف(?:ة)?|संश्लेषण|सिंथेसिस|संवाद|סינתזה|سنتز|هم\u200c?نهاد",
}


def _first_letters() -> str:
    """The letters with which the words begin, looked at first: nearly every line is passed over by that alone."""
    return "tasтасlphθασ正论論反合综綜総テアジ定정테반안종진합اأفنتथएपवसתאסآب"


_WORD = "(?:" + "|".join(f"(?P<{name}>{words})" for name, words in _WORDS.items()) + ")"
_WORD = rf"(?=[{_first_letters()}]){_WORD}"
_SPACE = r"[^\S\n]"
_COLON = r"[:：]"
_DIGITS = r"(?:\(?\d{1,2}|[ivx]{1,4}|[一二三]|第[一二三](?:步|部分)?)"
_NUMBER = (
    rf"(?:(?:(?:step|part|phase|stage|schritt|étape|paso|шаг){_SPACE}*)?{_DIGITS}{_SPACE}*[.):：、–—-]+{_SPACE}*)?"
)
_SYMBOLS = "(?:[\u2190-\u2bff\U0001f000-\U0001faff\ufe0f\u200d]{1,4} ?)?"
_ARTICLE = rf"(?:(?:the|my|our|proposed|final|initial|die|la|le|el|il){_SPACE}+|l['’])?"
# What may stand behind the word: a qualifier, then the end of the emphasis, a colon, a dash or the line's end.
_QUALIFIER = rf"(?:{_SPACE}+(?:statement|position))?(?:{_SPACE}*[(（][^()（）\n]{{1,60}}[)）])?"
_LINE_END = rf"{_SPACE}*(?=\n|\Z)"
_SEPARATOR = rf"(?:{_SPACE}*{_COLON}|{_SPACE}+[–—-](?=\s)|{_LINE_END})"
_AT_LINE = re.compile(
    rf"[>\s]{{0,40}}(?P<cell>\|{_SPACE}*)?(?:\#{{1,6}}{_SPACE}*)?(?:[-*+•]{_SPACE}+)?{_NUMBER}{_SYMBOLS}"
    rf"(?P<marks>(?P<strong>\*{{2,3}}|_{{2,3}})|[*_]|){_SPACE}*{_NUMBER}{_SYMBOLS}{_ARTICLE}(?P<open>[\[<【])?{_WORD}"
    r"(?(open)(?:\]|>|】)(?P=marks)"
    rf"{_COLON}?|(?(cell){_QUALIFIER}{_COLON}?(?P=marks){_SPACE}*\||(?(strong)"
    rf"{_QUALIFIER}(?:{_SPACE}*{_COLON}{_SPACE}*(?P=marks)|(?P=marks){_QUALIFIER}{_SEPARATOR}?)|"
    rf"{_QUALIFIER}(?:{_SPACE}*{_COLON}{_SPACE}*(?P=marks)|(?P=marks){_QUALIFIER}{_SEPARATOR}))))",
    re.IGNORECASE,
)
_EMPHASISED = (
    rf"{_NUMBER}{_WORD}"
    rf"{_QUALIFIER}(?:{_SPACE}*{_COLON}{_SPACE}*(?P=marks)|(?P=marks){_QUALIFIER}{_SPACE}*{_COLON})"
)
_WITHIN_LINE = re.compile(
    rf"(?P<marks>\*\*(?<![\w*`]\*\*)\*?|__(?<![\w`]__)){_EMPHASISED}",
    re.IGNORECASE,
)
_RIGHT_BEHIND = re.compile(rf"(?P<marks>\*\*\*?|__){_EMPHASISED}", re.IGNORECASE)
"""Behind another heading, whose marks are none of this one's: in the canonical form a space stands between them."""
_MAX_LENGTH = 160
"""Characters of a line that are looked at for a heading; a heading is short, and a line may be as long as the text."""


_ASCII_STEMS = ("tes", "thes", "tez", "tees")
_STEMS = (
    *_ASCII_STEMS,
    *(
        "thès",
        "tés",
        "téz",
        "tès",
        "тез",
        "đề",
        "θεση",
        "θέση",
        "题",
        "題",
        "正论",
        "正論",
        "反论",
        "反論",
        "方",
        "定立",
    ),
    *("テーゼ", "综合", "綜合", "総合", "合", "정", "반", "합", "테제", "أطروحة", "فرضية", "نقيض", "تركيب", "توليف"),
    *("थीसिस", "पक्ष", "वाद", "संश्लेषण", "सिंथेसिस", "תזה", "تز", "برنهاد", "برابرنهاد", "نهاد"),
)
"""A line that holds none of these, without case, holds no heading: a quick look that spares nearly all of them."""


def headings(text: str) -> list[Heading]:
    """Every heading of ``text``, in order. Time is linear in its length."""
    found = list(_candidates(text))
    if found and code_spans.may_hold_fences(text):
        return _outside_fences(text, found)
    return found


def may_hold_all(text: str) -> bool:
    """A quick look; false means that the headings of the three sections cannot all be there."""
    text = plain(text)
    return sum(map(folded(text).count, _ASCII_STEMS if text.isascii() else _STEMS)) >= len(SECTIONS)


def _candidates(text: str) -> Iterator[Heading]:
    emphasis = "**" in text or "__" in text
    position = 0
    for line in text.split("\n"):
        taken = 0
        if _may_begin(line[:_MAX_LENGTH]) and (at_line := _AT_LINE.match(line, 0, _MAX_LENGTH)) is not None:
            taken = at_line.end()
            yield Heading(_section(at_line), position, position + taken, at_line["cell"] is not None)
        if emphasis and (line.find("**", taken) >= 0 or line.find("__", taken) >= 0):
            for within in _within(line, taken):
                yield Heading(_section(within), position + within.start(), position + within.end(), False)
        position += len(line) + 1


def _within(line: str, position: int) -> Iterator[re.Match[str]]:
    """The headings inside a line; up to ``position`` reaches the one at its start."""
    while (
        found := (_RIGHT_BEHIND.match(line, position) if position else None) or _WITHIN_LINE.search(line, position)
    ) is not None:
        yield found
        position = found.end()


def _may_begin(start: str) -> bool:
    return any(map(folded(start).__contains__, _ASCII_STEMS if start.isascii() else _STEMS))


def _section(found: re.Match[str]) -> str:
    return "thesis" if found["thesis"] else "antithesis" if found["antithesis"] else "synthesis"


def _outside_fences(text: str, found: list[Heading]) -> list[Heading]:
    """The headings that stand in no closed fenced block. A block may begin behind a heading on its line."""
    fences = code_spans.line_fences(text)
    closers = Closers(fences)
    marks: list[Heading | Fence] = [*found, *fences]
    kept: list[Heading] = []
    opener: Fence | None = None
    for mark in sorted(marks, key=lambda mark: mark.start):
        fence = mark if isinstance(mark, Fence) else None
        if isinstance(mark, Heading):
            if opener is not None:
                continue
            kept.append(mark)
            fence = code_spans.fence_at(text, mark.end)
        if fence is not None and opener is None:
            opener = fence if closers.will_close(fence) else None
        elif fence is not None and opener is not None and code_spans.closes(fence, opener):
            opener = None
    return kept
