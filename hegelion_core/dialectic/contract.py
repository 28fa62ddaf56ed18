"""The sample contract: what an answer must be to become a sample, and what a line of the sample file holds.

One contract for every teacher. It asks for substance, not for length, so that a small local model can meet it; what
a strong teacher gets wrong (refusals, copies, cuts, another language, a try at a tool) fails it all the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

import msgspec

from hegelion_core.dialectic import identity, language
from hegelion_core.dialectic.parsing import (
    SECTIONS,
    ParsedOutput,
    SampleFault,
    clean,
    holds_second_trace,
    parse_output,
    render_output,
)
from hegelion_core.dialectic.sample import Sample, SampleTrace
from hegelion_core.teachers.teacher import Answer

ContractFault = SampleFault
"""The fault of an answer that can be read but is no good sample; one class with the parser's faults."""

MIN_WIDTH, MIN_WORDS = 20, 4
"""A section needs this width in columns (a Han character counts two) or this many words."""
COPY_SHARE = 0.85
"""Two texts with this share of their word triples in common are copies."""
REPETITIVE_SHARE = 0.3
"""A text of 60 words or more with fewer distinct word triples than this share only repeats itself."""

_PLACEHOLDER = re.compile(
    r"[\W_]*(?:\.\.\.|…|todo|tbd|n/?a|none|placeholder|string|text"
    r"|your (?:thesis|antithesis|synthesis|answer)(?: \w+){0,3}|(?:insert|write|state) (?:\w+ ){1,4}here"
    r"|(?:the )?(?:thesis|antithesis|synthesis|answer)(?: here)?)[\W_]*",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\W*(?:(?:i'?m|i am|we are|my apologies|apologies|sorry)\W+(?:\w+\W+){0,2}?(?:sorry\W+)?(?:but\W+)?)?(?:"
    r"i (?:can'?t|cannot|can not|won'?t|will not|am unable to|am not able to|must decline to|have to decline to)"
    r"(?: \w+){0,2}? (?:(?:assist|comply|help(?! but)|fulfill?)\b"
    r"|(?:answer|provide|engage|discuss|continue|support|write)\b(?: \w+)?"
    r" (?:this|that|it|such|any|an answer|you|your|the request\w*|assistance|information|content)\b)"
    r"|i must (?:decline|refuse)\b"
    r"|as an ai(?: language)?(?: model| assistant)?\W+i (?:can'?t|cannot|do not|don'?t|am)\b"
    r"|(?:很)?(?:抱歉|对不起)[,，]?(?:但)?我?(?:无法|不能)|我(?:无法|不能)(?:回答|协助|提供|帮助)"
    r"|申し訳(?:ございません|ありません)が"
    r"|lo siento,? (?:pero )?no puedo|je suis désolée?,? (?:mais )?je ne peux pas"
    r"|es tut mir leid,? (?:aber )?ich kann)",
    re.IGNORECASE,
)
_TOOL_MARK = re.compile(r"<\|?/?(?:tool_calls?|function_calls?|invoke)\b|<\|tool_call", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?。！？…．؟।][\"'”’»)\]}*_`~]*$")
_ANY_SENTENCE_END = re.compile(r"[.!?。！？…．؟।](?:\s|[\"'”’»)\]}*_`~]|$)|[。！？]")
_LIST_LINE = re.compile(r"\s*(?:[-*+•|#>]|\d{1,3}[.)]|\*\*)\s*\S")
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_OPEN_ENDS = re.compile(
    r"(?:[,，、(（\[{&]|\b(?:an?|the|of|and|or|but|nor|to|at|with|without|whose|was|were|be|for|from|if|because|while|than"
    r"|into|their|our|your|my))\Z"
)
_WORDS_OF_SHORT_LINE = 6
_WORDS_OF_SHORT_ANSWER = 12


def check(parsed: ParsedOutput, *, query: str, truncated: bool = False) -> None:
    """Accept the parts of an answer to ``query``, or say what is wrong with it.

    Raises:
        SampleFault: the first fault; ``truncated`` (the teacher's own word that a limit cut it) is one.
    """
    for fault in _faults(parsed, query, truncated):
        raise fault


def make_sample(query: str, answer: Answer, *, prompt_id: str, system: str, metadata: Mapping[str, object]) -> Sample:
    """The sample that a teacher's answer makes; its id is its prompt's, since a prompt stands in a file once.

    What the answer says of itself (time, tokens, the teacher's own facts) joins ``metadata``.

    Raises:
        SampleFault: the answer does not meet the contract.
    """
    if answer.truncated:
        raise _cut_off()
    parsed = parse_output(answer.text)
    check(parsed, query=query)
    facts = {**metadata, **_facts(answer)}
    return _sample(parsed, query=query, sample_id=prompt_id, system=system, mode=answer.mode, metadata=facts)


def read_sample(line: bytes) -> Sample:
    """The sample on a line of a sample file, ours or another program's.

    A row without an id gets its prompt's; the trace is always parsed from ``output``, which is given in its canonical
    form, so a placeholder trace and ``<think>`` do no harm.

    Raises:
        msgspec.DecodeError: not JSON, or not an object with the fields of a sample.
        SampleFault: no prompt, or an output that does not meet the contract.
    """
    row = _decoder.decode(line)
    trace = row.hegelion_trace if isinstance(row.hegelion_trace, dict) else {}
    traced_query = trace.get("query")
    query = "\n\n".join(part for part in (clean(row.instruction or ""), clean(row.input or "")) if part.strip())
    query = query or (clean(traced_query) if isinstance(traced_query, str) else "")
    if not query.strip():
        raise SampleFault("no_prompt", "The row holds no prompt (instruction).")
    parsed = parse_output(row.output)
    check(parsed, query=query)
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


class _Row(msgspec.Struct, frozen=True):
    """What a line needs to be looked at as a sample."""

    output: str
    instruction: str | None = None
    input: str | None = None
    system: str | None = None
    id: str | None = None
    hegelion_trace: dict[str, object] | str | None = None


_decoder: msgspec.json.Decoder[_Row] = msgspec.json.Decoder(_Row)


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


def _faults(parsed: ParsedOutput, query: str, truncated: bool) -> Iterator[SampleFault]:
    if truncated:
        yield _cut_off()
    yield from _tool_faults(parsed)
    yield from _substance_faults(parsed)
    yield from _refusals(parsed)
    yield from _copies(parsed, query)
    yield from _cuts(parsed)
    if language.differs(query, f"{parsed.thesis}\n{parsed.antithesis}\n{parsed.synthesis}"):
        yield SampleFault("wrong_language", "The sections must be in the language of the question.")


def _parts(parsed: ParsedOutput) -> dict[str, str]:
    return {**{name: getattr(parsed, name) for name in SECTIONS}, "answer": parsed.answer}


def _tool_faults(parsed: ParsedOutput) -> Iterator[SampleFault]:
    if any(_TOOL_MARK.search(text) for text in _parts(parsed).values()):
        yield SampleFault("tool_use", "The reply must be text only, without any call to a tool.")


def _substance_faults(parsed: ParsedOutput) -> Iterator[SampleFault]:
    for name in SECTIONS:
        text: str = getattr(parsed, name)
        if _PLACEHOLDER.fullmatch(text) or _is_trivial(text):
            yield SampleFault(f"trivial_{name}", f"The {name} is empty or too short to say anything.")
        if holds_second_trace(text):
            yield SampleFault("repeated_sections", f"The {name} holds all three sections once more.")
    if not any(map(str.isalnum, parsed.answer)) or _PLACEHOLDER.fullmatch(parsed.answer):
        yield SampleFault("empty_answer", "There is no final answer after </thought>.")
    for name, text in _parts(parsed).items():
        if _is_repetitive(_words(text)):
            yield SampleFault("repetitive", f"The {name} repeats itself over and over.")


def _refusals(parsed: ParsedOutput) -> Iterator[SampleFault]:
    for name, text in _parts(parsed).items():
        if _REFUSAL.match(text.replace("’", "'")):
            yield SampleFault("refusal", f"The {name} refuses instead of arguing the question.")


def _copies(parsed: ParsedOutput, query: str) -> Iterator[SampleFault]:
    triples = {name: _triples(_words(text)) for name, text in {**_parts(parsed), "prompt": query}.items()}
    for name, original in (
        ("thesis", "prompt"),
        ("antithesis", "thesis"),
        ("synthesis", "thesis"),
        ("synthesis", "antithesis"),
        ("answer", "synthesis"),
        ("answer", "prompt"),
    ):
        one, other = triples[name], triples[original]
        if one and len(one & other) >= COPY_SHARE * len(one | other):
            yield SampleFault(f"{name}_copies_{original}", f"The {name} only copies the {original}.")


def _cuts(parsed: ParsedOutput) -> Iterator[SampleFault]:
    if _is_cut(parsed.answer) or any(_ends_open(getattr(parsed, name)) for name in SECTIONS):
        yield _cut_off()


def _cut_off() -> SampleFault:
    return SampleFault("cut_off", "The reply stops before its end; write it shorter and finish every sentence.")


# What the faults look at


def _is_trivial(text: str) -> bool:
    start = text.strip()[:400]  # as much as it takes to tell
    if len(_WORD.findall(start)) >= MIN_WORDS:
        return False
    letters = (char for char in start if char.isalnum() or char == " ")
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in letters) < MIN_WIDTH


def _words(text: str) -> list[str]:
    """The words of a text; each character of a script without spaces is one."""
    if text.isascii():
        return _WORD.findall(text.lower())
    words: list[str] = []
    for word in _WORD.findall(identity.normalise(text)):
        words.extend(word if unicodedata.east_asian_width(word[0]) == "W" else [word])
    return words


def _triples(words: list[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))) if words else frozenset()


def _is_repetitive(words: list[str]) -> bool:
    return len(words) >= 60 and len(_triples(words)) < REPETITIVE_SHARE * len(words)


def _ends_open(text: str) -> bool:
    """Whether a text ends in a comma, an opening bracket, or a word that can't end a sentence."""
    bare = text.rstrip().rstrip("*_`")
    return _OPEN_ENDS.search(bare[-20:].lower()) is not None


def _is_cut(answer: str) -> bool:
    """Whether an answer seems to stop before its end: an open code block or sentence.

    Code, lists, tables, headings, short lines and whole answers without any punctuation may end in a bare word.
    """
    if answer.count("```") % 2:
        return True
    if _ends_open(answer):
        return True
    if _SENTENCE_END.search(answer) or not answer[-1].isalnum():
        return False
    if re.search(r"[./_]", answer.split()[-1]):  # an address or a file's name
        return False
    last_line = answer.rsplit("\n", 1)[-1]
    if _LIST_LINE.match(last_line) or len(_words(last_line)) <= _WORDS_OF_SHORT_LINE:
        return False
    return bool(_ANY_SENTENCE_END.search(answer)) or len(_words(answer)) > _WORDS_OF_SHORT_ANSWER
