"""A teacher's answer to its parts and back: the ``<thought>`` block with its three sections, and the answer.

The canonical form, which ``render_output`` writes::

    <thought>
    **THESIS**: ...
    **ANTITHESIS**: ...
    **SYNTHESIS**: ...
    </thought>
    the answer

Models write headings in many forms (``### Thesis``, ``1. THESIS``, ``- Thesis:``, ``**Thesis (for):**``); all are read.
Nothing is invented: a part that is not there is a fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from hegelion_core.dialectic.labels import labelled_items

SECTIONS = ("thesis", "antithesis", "synthesis")


class SampleFault(Exception):
    """An answer that is no good sample.

    ``reason`` is a short stable slug that is counted; ``detail`` is a sentence that a person can read and that the
    teacher is told when it is asked again.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


ParseFault = SampleFault
"""The fault of an answer whose form cannot be read; one class with the contract's faults."""


@dataclass(frozen=True)
class ParsedOutput:
    """The parts of an answer. Contradictions and proposals also stand in their section's text."""

    thesis: str
    antithesis: str
    synthesis: str
    answer: str
    contradictions: tuple[str, ...] = ()
    research_proposals: tuple[str, ...] = ()


_WORDS = {
    "thesis": "thesis|these|thèse|tesis|tesi|tese|тезис|正题|正題|论题|正论|正論|テーゼ",
    "antithesis": "anti-?thesis|antithese|antithèse|ant[ií]tesis|antitesi|ant[ií]tese|антитезис"
    "|反题|反題|反论|反論|アンチテーゼ",
    "synthesis": "synthesis|synthese|synthèse|s[ií]ntesis|sintesi|s[ií]ntese|синтез|合题|合題|综合|総合|ジンテーゼ",
}
_WORD = re.compile(
    # The first letters of them all, looked at first: most of a text is passed over by that alone.
    "(?=[tasтас正論论反合综総テアジ])(?:" + "|".join(f"(?P<{name}>{words})" for name, words in _WORDS.items()) + ")",
    re.IGNORECASE,
)
# What may stand before a heading's word: quote marks, hashes, a bullet, a number or step, emphasis, an open bracket.
_NUMBER = r"(?:(?:(?:step|part|phase|stage)\s*)?(?:\d{1,2}|[ivx]{1,4})\s*[.):–—-]+\s*)?"
_LEAD = re.compile(
    rf"[>\s]*(?:\#{{1,6}}\s*)?(?:[-*+•]\s+)?{_NUMBER}(?P<marks>\*{{1,3}}|_{{1,3}}|)\s*{_NUMBER}(?:the\s+)?(?P<open>[\[<]?)",
    re.IGNORECASE,
)
_INLINE_LEAD = re.compile(rf"(?<!\w)(?P<marks>(?<!\*)\*{{2,3}}|(?<!_)__)(?P<open>){_NUMBER}\Z", re.IGNORECASE)
# What may stand behind it: a qualifier, the end of the emphasis, a colon, a dash or the line's end.
_QUALIFIER = r"(?:\s+statement)?(?:\s*[(（][^()（）]{1,60}[)）])?"
_SEPARATOR = r"(?:\s*[:：]|\s+[–—-](?=\s)|\s*\Z)"


_MAX_LEAD, _MAX_TAIL = 60, 120  # characters


@lru_cache(64)
def _tail(marks: str, opened: str, inline: bool) -> re.Pattern[str]:
    """What must follow a heading's word, given what stood before it."""
    if opened:
        return re.compile(r"\]:?" if opened == "[" else ">")
    if not marks:
        return re.compile(_QUALIFIER + _SEPARATOR)
    close = re.escape(marks)
    separator = r"\s*[:：]" if inline else f"(?:{_SEPARATOR})?" if len(marks) > 1 else _SEPARATOR
    return re.compile(rf"{_QUALIFIER}(?:\s*[:：]\s*{close}|{close}{_QUALIFIER}{separator})")


_END_TAG = re.compile(r"</(?:thesis|antithesis|synthesis)>\Z", re.IGNORECASE)
_ANSWER_LABEL = re.compile(
    r"(?:\s*(?:\#{1,6}[ \t]*)?(?:\*\*|__)?(?:final[ \t]+)?answer(?:\*\*[ \t]*[:：]|__[ \t]*[:：]|[:：][ \t]*\*\*|[:：])"
    r"|\s*\#{1,6}[ \t]*(?:final[ \t]+)?answer[ \t]*\n|\s*\*\*(?:final[ \t]+)?answer\*\*[ \t]*\n|\s*<answer>)+",
    re.IGNORECASE,
)
_ANSWER_END = re.compile(r"</answer>\Z", re.IGNORECASE)
_FENCED = re.compile(r"\s*```[a-z]*[ \t]*\n(.*)\n```\s*", re.IGNORECASE | re.DOTALL)
# Control characters and lone surrogates have no place in training text, and could steer a terminal.
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` with line feeds as its only line ends and without control characters."""
    return _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def parse_output(text: str) -> ParsedOutput:
    """Read the parts of an answer; whatever stands before the block is left out.

    Raises:
        SampleFault: no block, an open block, several of them, a section that is missing or out of order.
    """
    text = clean(text)
    if (fenced := _FENCED.fullmatch(text)) is not None:
        text = fenced[1]
    block, rest = _split_block(text)
    sections = _sections(block)
    return ParsedOutput(
        **sections,
        answer=_answer(rest),
        contradictions=labelled_items(sections["antithesis"], "contradiction", "evidence"),
        research_proposals=labelled_items(sections["synthesis"], "proposal", "prediction"),
    )


def render_output(parsed: ParsedOutput) -> str:
    """The canonical form. ``parse_output(render_output(x)) == x`` for everything that ``parse_output`` gave."""
    return (
        f"<thought>\n**THESIS**: {parsed.thesis}\n**ANTITHESIS**: {parsed.antithesis}\n"
        f"**SYNTHESIS**: {parsed.synthesis}\n</thought>\n{parsed.answer}"
    )


def holds_second_trace(section: str) -> bool:
    """Whether a section's text holds all three headings again."""
    return {name for name, _, _ in _headings(section)} == set(SECTIONS)


def _split_block(text: str) -> tuple[str, str]:
    """The block's inside and what follows it. ``<think>`` counts where there is no ``<thought>``."""
    for tag in ("thought", "think"):
        opens = list(re.finditer(rf"<{tag}>", text, re.IGNORECASE))
        closes = list(re.finditer(rf"</{tag}>", text, re.IGNORECASE))
        if not opens:
            if tag == "thought" and closes:
                break
            continue
        if len(opens) > 1 or len(closes) > 1:
            raise SampleFault("several_thought_blocks", "There must be exactly one <thought> block.")
        if not closes or closes[0].start() < opens[0].end():
            raise SampleFault("unclosed_thought", "The <thought> block is not closed with </thought>.")
        return text[opens[0].end() : closes[0].start()], text[closes[0].end() :]
    raise SampleFault("no_thought_block", "There is no <thought>...</thought> block around the three sections.")


def _headings(text: str) -> list[tuple[str, int, int]]:
    """Every heading: its section, where it starts and where it ends.

    A heading stands at the start of a line; one that is strongly emphasised and has a colon may stand anywhere.
    """
    found = []
    for word in _WORD.finditer(text):
        # Only so much around the word is looked at: a heading is short, and a line may be as long as the text.
        near = max(0, word.start() - _MAX_LEAD)
        line = text.rfind("\n", near, word.start()) + 1
        end = text.find("\n", word.end(), word.end() + _MAX_TAIL)
        after = text[word.end() : word.end() + _MAX_TAIL if end < 0 else end]
        start = line or near
        before = text[start : word.start()]
        lead, inline = (_LEAD.fullmatch(before) if line or near == 0 else None), False
        if lead is None:
            lead, inline = _INLINE_LEAD.search(before), True
        if lead is None or word.lastgroup is None:
            continue
        tail = _tail(lead["marks"], lead["open"], inline).match(after)
        if tail is not None:
            found.append((word.lastgroup, start + lead.start(), word.end() + tail.end()))
    return found


def _sections(block: str) -> dict[str, str]:
    """The text of each section: up to the first heading of the next one, so a section may mention earlier ones."""
    headings = _headings(block)
    chosen: list[tuple[int, int]] = []
    position = 0
    for name in SECTIONS:
        ahead = [(start, end) for found, start, end in headings if found == name and start >= position]
        if not ahead:
            if any(found == name for found, _, _ in headings):
                raise SampleFault("wrong_order", "The sections must come in the order THESIS, ANTITHESIS, SYNTHESIS.")
            raise SampleFault(f"missing_{name}", f"The <thought> block has no **{name.upper()}**: section.")
        chosen.append(ahead[0])
        position = ahead[0][1]
    ends = [chosen[1][0], chosen[2][0], len(block)]
    texts = (block[start:end] for (_, start), end in zip(chosen, ends, strict=True))
    return {name: _section_text(text) for name, text in zip(SECTIONS, texts, strict=True)}


def _section_text(text: str) -> str:
    previous = None
    while text != previous:
        previous, text = text, _END_TAG.sub("", text.strip())
    return text


def _answer(text: str) -> str:
    """The answer without a label or tags around it."""
    previous = None
    while text != previous:
        previous = text
        text = _ANSWER_END.sub("", text.strip()).strip()
        if (label := _ANSWER_LABEL.match(text)) is not None:
            text = text[label.end() :].strip()
    return text
