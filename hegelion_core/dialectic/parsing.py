"""A teacher's answer to its parts and back: the ``<thought>`` block with its three sections, and the answer.

The canonical form, which ``render_output`` writes::

    <thought>
    **THESIS**: ...
    **ANTITHESIS**: ...
    **SYNTHESIS**: ...
    </thought>
    the answer

Models write headings in many forms; ``headings.py`` reads them. Nothing is invented: a part that is not there is a
fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hegelion_core.dialectic import code_spans
from hegelion_core.dialectic.headings import SECTIONS, Heading, headings, may_hold_all
from hegelion_core.dialectic.labels import labelled_items

__all__ = [
    "SECTIONS",
    "ParseFault",
    "ParsedOutput",
    "SampleFault",
    "clean",
    "holds_trace",
    "parse_output",
    "render_output",
    "split_answer",
]


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


_TAG = re.compile(r"<(/?)(thought|think)>", re.IGNORECASE)
_NESTED = re.compile(r"^[^\S\n]*+</?think(?:ing)?>|</?think(?:ing)?>[^\S\n]*+$", re.IGNORECASE | re.MULTILINE)
_END_TAGS = ("</thesis>", "</antithesis>", "</synthesis>", "[/thesis]", "[/antithesis]", "[/synthesis]")
_ANSWER = (
    r"(?:(?:the |my )?(?:final|finale|endgültige|abschließende|итоговый|окончательный|最终|最終|最后|最後|최종)[ \t]*)?"
    r"(?:answer|antwort|réponse|respuesta|resposta|risposta|ответ|答案|回答|答え|答|답변|답|الإجابة|الجواب|उत्तर|cevap|odpowiedź)"
    r"(?:[ \t]+(?:finale?|definitiva|النهائية|النهائي))?"
)
_ANSWER_LABEL = re.compile(
    rf"(?:\s*+(?:(?:\#{{1,6}}[ \t]*)?(?:\*\*|__)?{_ANSWER}(?:(?:\*\*|__)[ \t]*[:：]|[ \t]?[:：][ \t]*(?:\*\*|__)?)"
    rf"|\#{{1,6}}[ \t]*(?:\*\*)?{_ANSWER}(?:\*\*)?[ \t]*\n|\*\*{_ANSWER}\*\*[ \t]*\n|<answer>))+",
    re.IGNORECASE,
)
_INNER_ANSWER = re.compile(r"(?<=[.!?\s*])(?:FINAL )?ANSWER\s?:(?:\*\*)?")
_LINE_START = re.compile(r"^(?=[^\S\n]*+\S)", re.MULTILINE)
_FENCED = re.compile(r"\s*```[a-z]*[ \t]*\n(.*)\n```\s*", re.IGNORECASE | re.DOTALL)
# Control characters and lone surrogates have no place in training text, and could steer a terminal.
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")

_CONTROLS = bytes({*range(32), 0x7F} - {*b"\t\n"})


def clean(text: str) -> str:
    """``text`` with line feeds as its only line ends and without control characters."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if _is_clean(text) else _UNWANTED.sub("", text)


def _is_clean(text: str) -> bool:
    """A quick look: what is unwanted is not printable. False if in doubt."""
    if text.isascii():
        return len(text.encode().translate(None, _CONTROLS)) == len(text)
    return text.replace("\n", "").replace("\t", "").isprintable()


def parse_output(text: str) -> ParsedOutput:
    """Read the parts of an answer; whatever stands before the block is left out.

    Raises:
        SampleFault: no block, an open block, several of them, a section that is missing or out of order.
    """
    text = clean(text)
    if (fenced := _FENCED.fullmatch(text)) is not None:
        text = fenced[1]
    block, rest = _split_block(text)
    sections, answer = _sections(block), _answer(rest)
    _refuse_nested_thinking((*sections.values(), answer))
    return ParsedOutput(
        **sections,
        answer=answer,
        contradictions=labelled_items(sections["antithesis"], "contradiction", "evidence"),
        research_proposals=labelled_items(sections["synthesis"], "proposal", "prediction"),
    )


def render_output(parsed: ParsedOutput) -> str:
    """The canonical form. ``parse_output(render_output(x)) == x`` for everything that ``parse_output`` gave."""
    return (
        f"<thought>\n**THESIS**: {parsed.thesis}\n**ANTITHESIS**: {parsed.antithesis}\n"
        f"**SYNTHESIS**: {parsed.synthesis}\n</thought>\n{parsed.answer}"
    )


def split_answer(text: str) -> tuple[str, str]:
    """What stands before the final answer, and the answer; it begins behind the block's end or at its label.

    Without either, all of it stands before, and the answer is empty.
    """
    closing = [tag for tag in _TAG.finditer(text) if tag[1]]
    if closing and (answer := _answer(text[closing[-1].end() :])):
        return text[: closing[-1].start()].strip(), answer
    labels = (found for line in _LINE_START.finditer(text) if (found := _ANSWER_LABEL.match(text, line.start())))
    if (label := next(labels, None) or _INNER_ANSWER.search(text)) is None:
        return text.strip(), ""
    return text[: label.start()].strip(), _answer(text[label.end() :])


def holds_trace(text: str) -> bool:
    """Whether a text holds all three headings."""
    if text.count("\n") + text.count("**") + text.count("__") < 2:  # each stands on a line of its own, or is emphasised
        return False
    if not may_hold_all(text):
        return False
    return {heading.section for heading in headings(text)} == set(SECTIONS)


def _split_block(text: str) -> tuple[str, str]:
    """The block's inside and what follows it. ``<think>`` counts where there is no ``<thought>``."""
    tags = [(found[2].lower(), bool(found[1]), found.start(), found.end()) for found in _TAG.finditer(text)]
    name = "thought" if any(tag == "thought" for tag, *_ in tags) else "think"
    opens = [end for tag, closing, _, end in tags if tag == name and not closing]
    closes = [(start, end) for tag, closing, start, end in tags if tag == name and closing]
    if not opens:
        raise SampleFault("no_thought_block", "There is no <thought>...</thought> block around the three sections.")
    if len(opens) > 1 or len(closes) > 1:
        raise _several_blocks()
    if not closes or closes[0][0] < opens[0]:
        raise SampleFault("unclosed_thought", "The <thought> block is not closed with </thought>.")
    return text[opens[0] : closes[0][0]], text[closes[0][1] :]


def _several_blocks() -> SampleFault:
    return SampleFault(
        "several_thought_blocks", "There must be exactly one <thought> block, and no <think> in sections or answer."
    )


def _refuse_nested_thinking(texts: Iterable[str]) -> None:
    """A mention of the tag inside a line, or in code, is none."""
    for text in texts:
        if ">" in text and _NESTED.search(code_spans.without_code(text)):
            raise _several_blocks()


def _sections(block: str) -> dict[str, str]:
    """The text of each section: up to the first heading of the next one, so a section may mention earlier ones."""
    found = headings(block)
    chosen: list[Heading] = []
    for name in SECTIONS:
        position = chosen[-1].end if chosen else 0
        ahead = [heading for heading in found if heading.section == name and heading.start >= position]
        if not ahead:
            if any(heading.section == name for heading in found):
                raise SampleFault("wrong_order", "The sections must come in the order THESIS, ANTITHESIS, SYNTHESIS.")
            raise SampleFault(f"missing_{name}", f"The <thought> block has no **{name.upper()}**: section.")
        chosen.append(_row(block, ahead))
    ends = [chosen[1].start, chosen[2].start, len(block)]
    return {
        heading.section: _section_text(block[heading.end : end], heading.is_cell)
        for heading, end in zip(chosen, ends, strict=True)
    }


def _row(block: str, same: list[Heading]) -> Heading:
    """The first of some headings, with those that follow it at once (``### Thesis``, ``**Thesis:**``) as one."""
    first = last = same[0]
    for heading in same[1:]:
        if block[last.end : heading.start].strip():
            break
        last = heading
    return last._replace(start=first.start)


def _section_text(text: str, is_cell: bool) -> str:
    return _without_end(text.strip().rstrip("|") if is_cell else text, _END_TAGS)


def _answer(text: str) -> str:
    """The answer without a label or tags around it."""
    text = text.strip()
    while (label := _ANSWER_LABEL.match(text)) is not None:
        text = text[label.end() :].strip()
    return _without_end(text, ("</answer>",))


def _without_end(text: str, tags: tuple[str, ...]) -> str:
    """``text`` without white space around it and without tags at its end."""
    text = text.strip()
    if not text.endswith((">", "]")):
        return text
    end = len(text)
    while (tag := next((tag for tag in tags if text[max(0, end - len(tag)) : end].lower() == tag), None)) is not None:
        end -= len(tag)
        while end and text[end - 1].isspace():
            end -= 1
    return text[:end]
