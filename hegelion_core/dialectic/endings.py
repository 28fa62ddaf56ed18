"""Whether a text seems to stop before its end. A token limit leaves no other mark.

The two mistakes do not weigh the same: a whole answer that is refused costs a call, a cut one that is accepted
teaches the student to stop anywhere. Still, what may well be whole passes: code, a list, an address, a number, a
signature, a poem, an emoji.
"""

from __future__ import annotations

import re
import unicodedata

from hegelion_core.dialectic import code_spans

_ENDS = ".!?。！？…．؟।॥۔։។။"
_CLOSERS = "\"'”’“»›«)）]】」』》}*_`~"
_ANY_SENTENCE_END = re.compile(rf"[{_ENDS}](?:[\s{re.escape(_CLOSERS)}]|\Z)|[。！？]")
_LIST_ITEM = re.compile(r"\s*+(?:[-*+•–]|\(?\d{1,3}[.)、])\s*+\S")
_HEADING = re.compile(r"\s*+[#>]")
_LABELLED = re.compile(r"\s*+[*_]{0,3}\w[\w ’'/()-]{0,40}[*_]{0,3}[:：]")
"""``Bottom line: ...``"""
_EMPTY_ITEM = re.compile(r"\s*+(?:[-*+•]|\d{1,3}[.)])\s*+\*{0,2}")
_OPEN_MARK = re.compile(r"(?:[,，、；:：(（\[{&「『《【]|(?<=\w\w)[-–—]|\s[–—+=<“])\Z")
_FACE = re.compile(r"[:;=8]['’]?-?[(\[{]\Z")
_CLOSING_FORMULA = re.compile(
    r"\b(?:regards|sincerely|yours|best|cheers|love|thanks|wishes|faithfully|truly|grüße[n]?)\W*,\Z", re.IGNORECASE
)
_OPEN_ENDS = (
    "a an the of and or but nor to at with without whose was were be for from if because while than into their "
    "our your my und oder aber der die das dem den des ein eine einen sowie weil dass et ou mais les des du "
    "une que qui dans pour avec y pero los las una por para mas uma os dos das gli della nel и или но что в на "
    "с для"
)
_OPEN_WORDS = frozenset(_OPEN_ENDS.split())
"""Words that end no sentence, unless a mark follows them. Written with a capital they may (vitamin A)."""
_OPENERS = re.compile(
    r"(?:This|That|These|Those|It|However|But|Additionally|Moreover|Furthermore|Therefore|Finally|Overall|While|If|When"
    r"|Because|Although|We|They|You)\s.*[a-z]"
)
_BRACKETS = (("(", ")"), ("（", "）"), ("[", "]"), ("「", "」"), ("『", "』"), ("《", "》"), ("【", "】"))
_WORDS_OF_SHORT_LINE = 6
_WORDS_OF_SHORT_ANSWER = 12


def ends_open(text: str) -> bool:
    """Whether a text ends in an open code block, a comma, an opening bracket or a word that can't end a sentence."""
    if code_spans.is_open(text):
        return True
    bare = text[-200:].rstrip().rstrip("*_`")
    if _OPEN_MARK.search(bare[-4:]) is not None:
        return not _FACE.search(bare) and not _CLOSING_FORMULA.search(bare)
    words = bare.rsplit(None, 2)
    return len(words) > 2 and words[-1].lstrip("([\"'“„«*_") in _OPEN_WORDS


def is_cut(answer: str) -> bool:
    """Whether a final answer seems to stop before its end."""
    if ends_open(answer):
        return True
    *before, last = [line for line in answer.split("\n") if line.strip()] or [""]
    if before and _EMPTY_ITEM.fullmatch(last):
        return _LIST_ITEM.match(before[-1]) is not None
    if _ends_sentence(answer):
        return False
    if last.lstrip().startswith("|"):
        return not last.rstrip().endswith("|") and before[-1:] != [] and before[-1].rstrip().endswith("|")
    if _may_end_anything(answer):
        return False
    return _leaves_open(last) or _breaks_off(answer, before, last)


def _ends_sentence(text: str) -> bool:
    last = text[-200:].rstrip().rstrip(_CLOSERS)[-1:]
    return last != "" and last in _ENDS


def _may_end_anything(answer: str) -> bool:
    """Whether the last character or word tells nothing: a symbol, number, address, tag, a script without full stops."""
    if unicodedata.category(answer[-1:] or ".")[0] not in "LMN":
        return True
    word = answer[-200:].split()[-1]
    return re.search(r"[\d./_@#\\]", word) is not None or unicodedata.name(answer[-1], "").startswith(("THAI", "LAO"))


def _leaves_open(line: str) -> bool:
    """Whether a bracket, inline code or an emphasis is opened on the last line and not closed."""
    if any(line.count(left) > line.count(right) for left, right in _BRACKETS) or line.count("`") % 2:
        return True
    return line.count("**") % 2 == 1 and line.rpartition("**")[2][:1].isalnum()


def _breaks_off(answer: str, before: list[str], last: str) -> bool:
    """Whether the last line, which ends in a bare word, ought to end in a mark as the text before it does."""
    if _LIST_ITEM.match(last):
        items = [line for line in before if _LIST_ITEM.match(line)]
        return len(items) >= 2 and all(map(_ends_sentence, items))
    if _HEADING.match(last) or (_LABELLED.match(last) and not _ANY_SENTENCE_END.search(last)):
        return False
    ended = sum(map(_ends_sentence, before))
    if _length(last) <= _WORDS_OF_SHORT_LINE:
        return ended > 0 and _OPENERS.fullmatch(last.strip()) is not None
    if len(before) >= 3 and ended == 0:  # a poem
        return False
    return _ANY_SENTENCE_END.search(answer) is not None or _length(answer) > _WORDS_OF_SHORT_ANSWER


def _length(text: str) -> float:
    """Words; of a script without spaces a character is half a word."""
    wide = 0 if text.isascii() else sum(unicodedata.east_asian_width(char) == "W" for char in text)
    return max(wide / 2, len(text.split()))
