"""The sample contract: what an answer must be to become a sample, and what a line of the sample file holds.

One contract for every teacher. It asks for substance, not for length, so that a small local model can meet it; what
a strong teacher gets wrong (refusals, copies, cuts, another language, a try at a tool) fails it all the same.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from hegelion_core.dialectic import identity, language
from hegelion_core.dialectic.code_spans import without_code
from hegelion_core.dialectic.endings import ends_open, is_cut
from hegelion_core.dialectic.labels import before_items
from hegelion_core.dialectic.parsing import (
    SECTIONS,
    ParsedOutput,
    SampleFault,
    clean,
    holds_trace,
    parse_output,
    render_output,
)
from hegelion_core.dialectic.refusals import refuses
from hegelion_core.dialectic.sample import Sample, SampleTrace
from hegelion_core.dialectic.tool_calls import imitates_call
from hegelion_core.dialectic.words import triples, words
from hegelion_core.teachers.teacher import Answer

ContractFault = SampleFault
"""The fault of an answer that can be read but is no good sample; one class with the parser's faults."""

MIN_WIDTH, MIN_WORDS = 20, 4
"""A section needs this width in columns (a Han character counts two) or this many words."""
COPY_SHARE = 0.85
"""Two texts with this share of their word triples in common are copies."""
WRAPPED_WORDS, WRAPPING_WORDS = 8, 6
"""A text of so many words or more, in which so few stand around another text's words, is a copy too."""
REPETITIVE_SHARE = 0.3
"""A text of 60 words or more with fewer distinct word triples than this share only repeats itself."""

_PLACEHOLDER = re.compile(
    r"[\W_]*(?:\.\.\.|…|todo|tbd|n/?a|none|placeholder|string|text"
    r"|your (?:thesis|antithesis|synthesis|answer)(?: \w+){0,3}|(?:insert|write|state) (?:\w+ ){1,4}here"
    r"|(?:the )?(?:thesis|antithesis|synthesis|answer)(?: here)?)[\W_]*",
    re.IGNORECASE,
)
_WORDS_OF_PLACEHOLDER = 8
_ECHO = re.compile(
    r"\W*(?:the strongest direct position on the question|the strongest case against that thesis"
    r"|a new position that keeps what is right on both sides|the final answer for the person who asked)\b",
    re.IGNORECASE,
)
"""A section that only repeats what the recipe asks for."""
_ABOUT_DIALECTIC = re.compile(r"thes[ie]s|dialecti|dialekti|hegel|辩证|辯證|弁証|диалект|변증", re.IGNORECASE)
_WORD = re.compile(r"\w+")


def check(parsed: ParsedOutput, *, query: str, truncated: bool = False) -> None:
    """Accept the parts of an answer to ``query``, or say what is wrong with it.

    Raises:
        SampleFault: the first fault; ``truncated`` (the teacher's own word that a limit cut it) is one.
    """
    for fault in _faults(parsed, query, truncated):
        raise fault


def meets(parsed: ParsedOutput, query: str) -> bool:
    """Whether the parts of an answer to ``query`` meet the contract."""
    return next(_faults(parsed, query, truncated=False), None) is None


def read_whole(text: str) -> ParsedOutput:
    """The parts of a text, none of them empty: what a person may accept whatever the contract says.

    Raises:
        SampleFault: it cannot be read, or lacks a part.
    """
    parsed = parse_output(text)
    for name in (*SECTIONS, "answer"):
        if not getattr(parsed, name).strip():
            raise SampleFault(f"empty_{name}", f"The {name} is empty.")
    return parsed


def make_sample(query: str, answer: Answer, *, prompt_id: str, system: str, metadata: Mapping[str, object]) -> Sample:
    """The sample that a teacher's answer makes; its id is its prompt's, since a prompt stands in a file once.

    What the answer says of itself (time, tokens, the teacher's own facts) joins ``metadata``.

    Raises:
        SampleFault: the answer does not meet the contract.
    """
    if answer.truncated:
        raise _cut_off()
    parsed = _read(answer.text, query)
    facts = {**metadata, **_facts(answer)}
    return _sample(parsed, query=query, sample_id=prompt_id, system=system, mode=answer.mode, metadata=facts)


def read_sample(line: bytes, *, by_hand: bool = False, output: str | None = None) -> Sample:
    """The sample on a line of a sample file, ours or another program's.

    A row without an id gets its prompt's; the trace is always parsed from ``output``, which is given in its canonical
    form, so a placeholder trace and ``<think>`` do no harm.

    Args:
        line: the line.
        by_hand: a person accepted it: all four parts must be there, and the contract is not asked.
        output: stands in place of the line's output.

    Raises:
        msgspec.DecodeError: not JSON, or not an object with the fields of a sample.
        SampleFault: no prompt, or an output that does not meet the contract.
    """
    row = _decoder.decode(line)
    trace = row.hegelion_trace if isinstance(row.hegelion_trace, dict) else {}
    traced_query = trace.get("query")
    query = _query(row) or (clean(traced_query) if isinstance(traced_query, str) else "")
    if not query.strip():
        raise SampleFault("no_prompt", "The row holds no prompt (instruction).")
    text = row.output if output is None else output
    parsed = read_whole(text) if by_hand else _read(text, query)
    metadata = trace.get("metadata")
    mode = trace.get("mode")
    return _sample(
        parsed,
        query=query,
        sample_id=row.id or identity.prompt_id(query),
        system=row.system or "",
        mode=mode if isinstance(mode, str) else "single",
        metadata=metadata if isinstance(metadata, dict) else {},
    )


class Accepted(NamedTuple):
    """What a training row needs of a sample."""

    id: str
    query: str
    system: str
    output: str
    """In its canonical form."""


def read_accepted(line: bytes) -> Accepted | None:
    """What ``read_sample`` would give for a line that is known to meet the contract; its output as it stands there.

    Much quicker, since nothing is parsed: the caller knows that the output is canonical. None where that does not
    suffice: the prompt stands in the trace alone, or nothing of this is known.
    """
    row = _accepted_decoder.decode(line.removeprefix(b"\xef\xbb\xbf"))
    query = _query(row)
    if not query.strip():
        return None
    return Accepted(row.id or identity.prompt_id(query), query, row.system or "", row.output)


def is_placeholder(text: str) -> bool:
    """Whether a text only stands where one should be, as ``...`` or "Your thesis here"."""
    return _is_placeholder(_Part("text", text))


@cache
def fingerprint() -> str:
    """16 hex digits that change when the code changes that decides a verdict; for caches of verdicts."""
    digest = hashlib.sha256()
    for name in _DECIDING:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


_DECIDING = (
    *(
        "code_spans",
        "contract",
        "endings",
        "headings",
        "identity",
        "labels",
        "language",
        "parsing",
        "refusals",
        "sample",
    ),
    *("tool_calls", "words"),
)


class _Texts(msgspec.Struct, frozen=True):
    """What a training row is made of."""

    output: str
    instruction: str | None = None
    input: str | None = None
    system: str | None = None
    id: str | None = None


class _Row(_Texts, frozen=True):
    """What a line needs to be looked at as a sample."""

    hegelion_trace: dict[str, object] | str | None = None


_decoder: msgspec.json.Decoder[_Row] = msgspec.json.Decoder(_Row)
_accepted_decoder: msgspec.json.Decoder[_Texts] = msgspec.json.Decoder(_Texts)


def _query(row: _Texts) -> str:
    """The prompt; an input belongs to it."""
    parts = (row.instruction, row.input) if row.input else (row.instruction,)
    return "\n\n".join([text for part in parts if part and not (text := clean(part)).isspace() and text])


def _facts(answer: Answer) -> dict[str, object]:
    """What is known of how an answer was made."""
    known = {
        "seconds": round(answer.seconds, 3) or None,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
    }
    return {**answer.metadata, **{name: value for name, value in known.items() if value is not None}}


def _sample(
    parsed: ParsedOutput,
    *,
    query: str,
    sample_id: str,
    system: str,
    mode: str,
    metadata: Mapping[str, object],
) -> Sample:
    return Sample(
        id=sample_id,
        instruction=query,
        output=render_output(parsed),
        system=system,
        hegelion_trace=SampleTrace(
            query=query,
            mode=mode,
            thesis=parsed.thesis,
            antithesis=parsed.antithesis,
            synthesis=parsed.synthesis,
            contradictions=parsed.contradictions,
            research_proposals=parsed.research_proposals,
            metadata=dict(metadata),
        ),
    )


# The faults, in the order in which they are worth telling


def _read(text: str, query: str) -> ParsedOutput:
    """The parts of a text that meets the contract; what stands before the block is looked at for calls to tools."""
    try:
        parsed = parse_output(text)
    except SampleFault:
        if refuses(bare := clean(text).strip(), query):
            raise _refusal("reply") from None
        if imitates_call(bare, query):
            raise _tool_use() from None
        raise
    opened = _OPENED.search(text)
    if opened and imitates_call(clean(text[: opened.start()]), query):
        raise _tool_use()
    check(parsed, query=query)
    return parsed


class _Part:
    """A text and what the faults look at."""

    def __init__(self, name: str, text: str, of_text: list[str] | None = None) -> None:
        """``of_text``, the words, where they are known."""
        self.name = name
        self.text = text
        self.prose: _Part = self
        """What stands before labelled items: what a copy copies."""
        if of_text is None and name in ("antithesis", "synthesis") and (prose := before_items(text)) != text:
            self.prose = _Part(name, prose, words(prose))
            of_text = self.prose.words + words(text[len(prose) :])
        self.words: list[str] = words(text) if of_text is None else of_text
        self.vocabulary = frozenset(self.words)

    def without_code(self) -> language.Written:
        text = without_code(self.text)
        return text, self.words if text == self.text else words(text)


_OPENED = re.compile("<(?:thought|think)>", re.IGNORECASE)


def _faults(parsed: ParsedOutput, query: str, truncated: bool) -> Iterator[SampleFault]:
    if truncated:
        yield _cut_off()
    sections = [_Part(name, getattr(parsed, name)) for name in SECTIONS]
    parts = [*sections, _Part("answer", parsed.answer)]
    if any(imitates_call(part.text, query) for part in parts):
        yield _tool_use()
    yield from _substance_faults(sections, parts[-1], query)
    yield from (_refusal(part.name) for part in parts if refuses(part.text, query))
    prompt = _Part("prompt", query)
    yield from _copies({part.name: part for part in [*parts, prompt]})
    if is_cut(parsed.answer) or any(ends_open(part.text) for part in sections):
        yield _cut_off()
    together = "\n".join(part.text for part in sections), [word for part in sections for word in part.words[:70]]
    if language.differs((query, prompt.words), together, parts[-1].without_code()):
        yield SampleFault("wrong_language", "Sections and answer must be in the language of the question.")


def _substance_faults(sections: list[_Part], answer: _Part, query: str) -> Iterator[SampleFault]:
    for part in sections:
        if _is_placeholder(part) or _is_trivial(part):
            yield SampleFault(f"trivial_{part.name}", f"The {part.name} is empty or too short to say anything.")
        if holds_trace(part.text):
            yield _repeated(part.name)
    if not any(map(str.isalnum, answer.text)) or _is_placeholder(answer):
        yield SampleFault("empty_answer", "There is no final answer after </thought>.")
    if holds_trace(answer.text) and not _ABOUT_DIALECTIC.search(query):
        yield _repeated("answer")
    for part in (*sections, answer):
        if _is_repetitive(part):
            yield SampleFault("repetitive", f"The {part.name} repeats itself over and over.")


def _copies(parts: Mapping[str, _Part]) -> Iterator[SampleFault]:
    for name, original in (
        ("thesis", "prompt"),
        ("antithesis", "thesis"),
        ("synthesis", "thesis"),
        ("synthesis", "antithesis"),
        ("answer", "synthesis"),
        ("answer", "prompt"),
    ):
        one, other = parts[name].prose, parts[original].prose
        if _is_copy(one, other) or (name in _CONCLUDING and _wraps(one.words, other.words)):
            yield SampleFault(f"{name}_copies_{original}", f"The {name} only copies the {original}.")


_CONCLUDING = ("synthesis", "answer")


def _cut_off() -> SampleFault:
    return SampleFault("cut_off", "The reply stops before its end; write it shorter and finish every sentence.")


def _refusal(name: str) -> SampleFault:
    return SampleFault("refusal", f"The {name} refuses instead of arguing the question.")


def _repeated(name: str) -> SampleFault:
    return SampleFault("repeated_sections", f"The {name} holds all three sections once more.")


def _tool_use() -> SampleFault:
    return SampleFault("tool_use", "The reply must be text only, without any call to a tool.")


# What the faults look at


def _is_placeholder(part: _Part) -> bool:
    if len(part.words) <= _WORDS_OF_PLACEHOLDER and _PLACEHOLDER.fullmatch(part.text[:200]):
        return True
    return _ECHO.match(part.text) is not None


def _is_trivial(part: _Part) -> bool:
    if len(part.words) >= 3 * MIN_WORDS:  # however many of them are pieces of "isn't"
        return False
    text = part.text[:400]
    if len(_WORD.findall(text.replace("'", "").replace("’", ""))) >= MIN_WORDS:
        return False
    letters = (char for char in text if char.isalnum() or char == " ")
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in letters) < MIN_WIDTH


def _is_repetitive(part: _Part) -> bool:
    enough = REPETITIVE_SHARE * len(part.words)
    if len(part.words) < 60 or len(part.vocabulary) - 2 >= enough:  # a word that is new makes a triple that is new
        return False
    return len(triples(part.words)) < enough


def _is_copy(one: _Part, other: _Part) -> bool:
    """Whether two texts have ``COPY_SHARE`` of their word triples in common; none are counted where words tell."""
    if not one.words:
        return False
    shared = len(one.vocabulary & other.vocabulary)
    alone = len(one.vocabulary) + len(other.vocabulary) - 2 * shared  # each in a triple of its own, but the first two
    if alone - 4 > (1 - COPY_SHARE) * (len(one.words) + len(other.words)):
        return False
    left, right = triples(one.words), triples(other.words)
    return len(left & right) >= COPY_SHARE * len(left | right)


def _wraps(one: list[str], other: list[str]) -> bool:
    """Whether one text holds all the words of the other in a row and few of its own ("In conclusion, ...")."""
    shorter, longer = (one, other) if len(one) < len(other) else (other, one)
    if len(shorter) < WRAPPED_WORDS or len(longer) - len(shorter) > max(WRAPPING_WORDS, len(shorter) // 5):
        return False
    return f" {' '.join(shorter)} " in f" {' '.join(longer)} "
