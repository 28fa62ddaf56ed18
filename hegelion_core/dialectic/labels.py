"""Labelled items inside a section: contradictions with their evidence, research proposals with their predictions.

Read in the forms and many of the languages in which models write them: a line each (``CONTRADICTION: ...``,
``**Contradiction 2:** ...``, ``- CONTRADICTION -- ...``), a list or a table under a heading (``### Contradictions``),
or within a line (``CONTRADICTION: a. EVIDENCE: b.``). Nothing is invented, nothing is given twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from hegelion_core.dialectic.words import folded, plain

Kind = Literal["contradiction", "evidence", "proposal", "prediction"]

_WORDS: dict[Kind, str] = {
    "contradiction": "contradictions?|contradicci[óo]n(?:es)?|contradi[çc](?:ão|ao|ões)|contraddizion[ei]"
    "|widerspr[üu]che?|противоречи[ея]|sprzeczno(?:ść|ści)|çelişki(?:ler)?|tegenspraak|矛盾(?:点|點)?|모순(?:점)?"
    "|(?:ال)?تناقض(?:ات)?|विरोधाभास|अंतर्विरोध",
    "evidence": "(?:supporting )?evidences?|evidenz|belege?|beweise?|nachweise?|preuves?|evidencias?|pruebas?"
    "|evidências?|provas?|prov[ae]|evidenz[ae]|доказательств[оа]|подтверждени[ея]|dow[óo]d|kanıt|bewijs|证据|證據|依据|依據"
    "|根拠|証拠|근거|증거|(?:ال)?دليل|(?:ال)?أدلة|साक्ष्य|प्रमाण",
    "proposal": r"(?:research[\s_-]*)?proposals?|proposed[\s_-]+(?:research|study|experiment)"
    "|forschungs(?:vorschl(?:ag|äge)|idee)|propositions? de recherche|propuestas? de investigación"
    "|propostas? de (?:pesquisa|investigação)|propost[ae] di ricerca|предложени[ея] (?:по )?исследовани[яю]"
    "|propozycja bada(?:ń|wcza)|araştırma önerisi|研究建议|研究建議|研究提案|研究方案|연구 ?제안|مقترح بحثي|शोध प्रस्ताव",
    "prediction": r"(?:(?:testable|falsifiable|verifiable)[\s_-]*)?predictions?"
    "|(?:(?:über)?prüfbare|testbare)?[ ]?(?:vorhersagen?|prognosen?)|prédictions?(?: (?:testables?|vérifiables?))?"
    "|predicci[óo]n(?:es)?(?: (?:comprobables?|verificables?))?"
    "|previs(?:ão|ões)(?: (?:testáve(?:l|is)|verificáve(?:l|is)))?"
    "|prevision[ei](?: verificabil[ei])?|(?:проверяем(?:ое|ые) )?(?:предсказани[ея]|прогноз)|(?:testowalna )?prognoza"
    "|(?:sınanabilir )?öngörü|(?:可检验的?|可驗證的?|可验证的?|検証可能な)?(?:预测|預測|予測)|(?:검증 ?가능한 )?예측"
    "|(?:ال)?توقع(?: قابل للاختبار)?|(?:परीक्षणीय )?भविष्यवाणी",
}
_ANY_KIND = "(?:" + "|".join(f"(?P<{kind}>{words})" for kind, words in _WORDS.items()) + ")"
_SPACE = r"[^\S\n]"
_BULLET = r"(?:[-*+•–]|\(?\d{1,2}[.):]|\(?[a-z][.)])"
_LEAD = (
    rf"(?P<indent>[>\s]*+)(?:\#{{1,6}}\s*+)?(?P<bullet>{_BULLET}\s++)?"
    "(?:[\u2190-\u21ff\u2500-\u2bff\U0001f000-\U0001faff\ufe0f]{1,3}\\s*+)?"
)
_NUMBER = r"(?:\s?[#№]?\s?(?:\d{1,2}|[A-Z](?![\w'])|[一二三四五①-⑨]))?"
_QUALIFIER = r"(?:\s?[(（][^()（）]{1,40}[)）]|\s(?:&|and)\s(?:supporting\s)?evidence)?"
_MARKS = r"(?P<marks>\*{1,3}|_{1,3})?"
_LABEL = re.compile(
    rf"{_LEAD}\(?{_MARKS}\s?(?:(?:key|main|core|central|internal|logical|first|second|third)\s)?{_ANY_KIND}"
    rf"{_NUMBER}{_QUALIFIER}(?:(?P<closed>\*{{1,3}}|_{{1,3}}){_QUALIFIER}\s?(?:[:：.–—]|-(?=\s))?|\s?[:：](?P<late>\*{{1,3}}|_{{1,3}})?"
    r"|\s?[–—]|\s-(?=\s)|\s*+\Z)\s*+(?P<text>.*)\Z",
    re.IGNORECASE,
)
_ITEM = re.compile(rf"(?P<indent>[>\s]*+)(?P<bullet>{_BULLET})\s++(?P<text>\S.*)")
# Labels inside a line: in capitals or strongly emphasised, or those of the support behind a sentence, dash or bracket.
_COLON = re.compile("[:：]")
_TO_COLON = r"\s?\d{0,2}(?:\*{1,3}|_{1,3})?\s?[:：]"
_LONGEST_LABEL = 60
_LOOKED_AT = 120
"""Characters of a line in which the label at its start begins."""
_CAPITALS = r"(?<![\w*_])(?:CONTRADICTION|EVIDENCE|(?:RESEARCH[_ -])?PROPOSAL|(?:TESTABLE[_ -])?PREDICTION)"
_CAPITAL_WORDS = ("CONTRADICTION", "EVIDENCE", "PROPOSAL", "PREDICTION")
_CAPITAL_LABEL = re.compile(_CAPITALS + _TO_COLON)
_STRONG = re.compile(rf"(?:{_CAPITALS}|(?i:\*\*(?<!\*\*\*)(?:{'|'.join(_WORDS.values())}))){_TO_COLON}\Z")
_BEHIND_TEXT: dict[Kind, re.Pattern[str]] = {
    kind: re.compile(
        rf"(?:(?<=[.!?;)])(?=\s)|(?<=[。！？；])|\s[–—-](?=\s)|\s?[(（])\s*+(?P<label>\*{{0,3}}(?:{words}){_TO_COLON}\Z)",
        re.IGNORECASE,
    )
    for kind, words in _WORDS.items()
    if kind in ("evidence", "prediction")
}
_NOTHING = re.compile(
    r"\W*(?:none|nil|n/?a|nothing|no contradictions?"
    r"|keine?|ninguna?|aucune?|nenhuma?|nessuna?|нет|无|無|没有|なし|없음)"
    r"(?: (?:found|identified|apparent|here|needed))?\W*",
    re.IGNORECASE,
)
_DIVIDER = re.compile(r"[\s|:-]+")
_BEGINNINGS = (
    "contradi contraddi widerspr противореч sprzeczno çelişki tegensp 矛盾 모순 تناقض विरोध proposal "
    "proposed forschungs proposition propuesta propost предложен propozycja öneri 研究 연구 مقترح शोध"
)
_STEMS = _BEGINNINGS.split()
_ASCII_STEMS = [*filter(str.isascii, _STEMS)]
_SUPPORT_BEGINNINGS = (
    "eviden evidên beleg bewe bewijs nachweis preuve prueba prov доказ подтвер dow kanıt kanit "
    "证据 證據 依据 依據 根拠 証拠 "
    "근거 증거 دليل أدلة साक्ष्य प्रमाण predic prédic previs vorhers progno предсказ прогноз öngörü 预测 預測 予測 예측 "
    "توقع भविष्य"
)
_ALL_STEMS = _STEMS + _SUPPORT_BEGINNINGS.split()
_ALL_ASCII_STEMS = [*filter(str.isascii, _ALL_STEMS)]
"""Beginnings of the words for items: a text that holds none of them is passed over at once."""


def labelled_items(text: str, label: Kind, support: Kind) -> tuple[str, ...]:
    """The items of one kind, in order, each with its support on a line of its own (``EVIDENCE: ...``).

    An item begins at its label, or at a list item or table row under a heading for several. It goes on until a blank
    line, another item or another label. Support joins the item before it unless other text stands between them.
    """
    if not _may_hold_items(text):
        return ()
    reader = _Reader(label, support)
    for line, found in _logical_lines(text, support):
        reader.read(line, found)
    return reader.finished()


def before_items(text: str) -> str:
    """What stands before the first labelled item or heading for items; the whole text if that is nothing."""
    if not _may_hold_items(text):
        return text
    position = 0
    for line in text.split("\n"):
        found = _label(line)
        if found is None and any(map(line.__contains__, _CAPITAL_WORDS)):
            found = _CAPITAL_LABEL.search(line)
        if found is not None:
            return text[: position + found.start()].strip() or text
        position += len(line) + 1
    return text


def _may_hold_items(text: str) -> bool:
    text = plain(text)
    return any(map(folded(text).__contains__, _ASCII_STEMS if text.isascii() else _STEMS))


def _label(line: str) -> re.Match[str] | None:
    """The label at the start of a line."""
    start = line[:_LOOKED_AT]
    if len(line) > _LOOKED_AT and not any(map(start.__contains__, ":：–—*_-")):
        return None  # nothing there can end a label
    if not any(map(folded(start).__contains__, _ALL_ASCII_STEMS if start.isascii() else _ALL_STEMS)):
        return None
    return _LABEL.match(line)


class _Reader:
    """Reads a section line by line."""

    def __init__(self, label: Kind, support: Kind) -> None:
        self._label, self._support = label, support
        self._items: list[list[str]] = []
        """Each the pieces of its text."""
        self._open = False
        """Support may join the last item."""
        self._growing = False
        """A line of plain text goes on with what stands before it."""
        self._waiting: Literal["", "item", "support"] = ""
        """What a label promised and its line did not hold."""
        self._list: re.Match[str] | None = None
        """The first item of the list under a heading."""
        self._listing = False

    def finished(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys("".join(pieces) for pieces in self._items))

    def read(self, line: str, found: re.Match[str] | None) -> None:
        if found is not None:
            self._read_label(_kind(found), _text(found))
        elif not line.strip():
            self._growing = False
        elif self._listing and (bullet := _ITEM.fullmatch(line)) is not None:
            self._read_bullet(bullet)
        else:
            self._read_plain(line.strip())

    def _read_label(self, kind: Kind, text: str) -> None:
        if kind == self._support:
            self._read_support(text)
            return
        self._close()
        if kind == self._label and text:
            self._add(text)
        elif kind == self._label:
            self._listing, self._list, self._waiting = True, None, "item"

    def _read_support(self, text: str) -> None:
        if not self._open or (self._listing and not text):  # a heading for the support of a whole list fits no item
            self._close()
        elif text:
            self._add_support(text)
        else:
            self._waiting, self._growing = "support", False

    def _read_bullet(self, bullet: re.Match[str]) -> None:
        text = bullet["text"].strip()
        self._list = self._list or bullet
        if self._open and _is_detail(bullet, self._list):
            self._items[-1].append(f" {text}")
        else:
            self._add(text)

    def _read_plain(self, text: str) -> None:
        if self._growing:
            self._items[-1].append(f" {text}")
        elif self._waiting == "support":
            found = _ITEM.fullmatch(text)
            self._add_support(found["text"].strip() if found else text)
        elif self._waiting == "item" and not text.endswith((":", "：")):  # or else it announces the list
            self._add(text)
            self._listing = False
        elif not self._waiting:
            self._close()

    def _add(self, text: str) -> None:
        self._waiting = ""
        self._open = self._growing = not _says_nothing(text)
        if self._open:
            self._items.append([text])

    def _add_support(self, text: str) -> None:
        self._waiting, self._growing = "", not _says_nothing(text)
        if self._growing:
            self._items[-1].append(f"\n{self._support.upper()}: {text}")

    def _close(self) -> None:
        self._open = self._growing = self._listing = False
        self._waiting = ""


def _is_detail(bullet: re.Match[str], first: re.Match[str]) -> bool:
    """Whether a bullet belongs to the item above it: it is indented deeper, or no number in a list of numbers."""
    indents = [len(found["indent"].expandtabs(4)) for found in (bullet, first)]
    numbered = [any(map(str.isalnum, found["bullet"])) for found in (bullet, first)]
    return indents[0] > indents[1] or numbered == [False, True]


def _says_nothing(text: str) -> bool:
    return len(text) < 60 and _NOTHING.fullmatch(text) is not None


def _kind(found: re.Match[str]) -> Kind:
    return next(kind for kind in _WORDS if found[kind] is not None)


def _text(found: re.Match[str]) -> str:
    """What stands behind a label, without the end of an emphasis or bracket that began before it."""
    text, marks = found["text"].strip(), found["marks"]
    if marks and not found["closed"] and not found["late"] and marks in text:
        text = text.replace(marks, "", 1).strip()
    if text.endswith((")", ").", "）", "）。")) and text.count(")") + text.count("）") > text.count("(") + text.count(
        "（"
    ):
        text = re.sub(r"[)）]([.。]?)\Z", r"\1", text)
    return text


# A section's lines, with each label and each table cell on a line of its own


_Line = tuple[str, re.Match[str] | None]
"""A line, and the label at its start."""


def _logical_lines(text: str, support: Kind) -> Iterator[_Line]:
    header: list[Kind | None] | None = None
    lines = text.split("\n")
    for line, following in pairwise([*lines, ""]):
        if not line.lstrip().startswith("|"):
            header = None
            yield from _split_at_labels(line, support)
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if header is None and "-" in following and _DIVIDER.fullmatch(following):
            header = [_kind(found) if (found := _LABEL.match(cell)) else None for cell in cells]
        elif header is None:
            yield _line(": ".join(cells))
        elif not _DIVIDER.fullmatch(line):
            yield from _row(header, cells)


def _row(header: list[Kind | None], cells: list[str]) -> Iterator[_Line]:
    """The cells of a table's row, each behind its column's label, support last."""
    labelled = [(kind, cell) for kind, cell in zip(header, cells, strict=False) if kind and cell]
    for kind, cell in sorted(labelled, key=lambda pair: pair[0] in _BEHIND_TEXT):
        yield _line(f"{kind}: {cell}")


def _split_at_labels(line: str, support: Kind) -> Iterator[_Line]:
    """A line of its own for each label inside a line."""
    found = _label(line)
    begin = found.start("text") if found else 0
    cuts = [cut for colon in _COLON.finditer(line, begin) if (cut := _cut(line, begin, colon.end(), support))]
    position = 0
    for end, start in cuts:
        if end >= position and any(map(str.isalnum, line[position:end])):
            yield _line(line[position:end])
            position = start
    yield _line(line[position:]) if position else (line, found)


def _line(text: str) -> _Line:
    return text, _label(text)


def _cut(line: str, begin: int, colon: int, support: Kind) -> tuple[int, int] | None:
    """Where the text ends before a label with its colon at the end of ``line[:colon]``, and where the label begins."""
    begin = max(begin, colon - _LONGEST_LABEL)
    if not line[begin : colon - 1].rstrip("*_0123456789 \t\u00a0\u202f")[-1:].isalpha():
        return None  # a quick look: there is no word before the colon
    if (behind := _BEHIND_TEXT[support].search(line, begin, colon)) is not None:
        return behind.start(), behind.start("label")
    strong = _STRONG.search(line, begin, colon)
    return (strong.start(), strong.start()) if strong else None
