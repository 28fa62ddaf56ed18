"""A question that was argued through, whoever wrote it down: what every format is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from hegelion_core.dialectic.agent_log import AgentEntry, decode_entry
from hegelion_core.dialectic.contract import read_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SECTIONS, SampleFault, clean, parse_output
from hegelion_core.dialectic.sample import Sample
from hegelion_core.generation.decisions import Standing, read_decided
from hegelion_core.unreadable import UNREADABLE

BOM = b"\xef\xbb\xbf"
_PARTS = ("query", *SECTIONS)
_ROLES = {"human": "user", "gpt": "assistant", "bing": "assistant", "model": "assistant"}
"""ShareGPT's names for who speaks."""

Fields = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Argued:
    """A question and its four parts."""

    id: str
    query: str
    thesis: str
    antithesis: str
    synthesis: str
    answer: str = ""
    """Empty where the log has none of its own; then the synthesis is the answer."""
    system: str | None = None
    """None: unknown."""
    mode: str = ""
    contradictions: tuple[str, ...] = ()
    research_proposals: tuple[str, ...] = ()
    score: float | None = None
    """The judge's, 0 to 10."""
    rejected: str = ""
    """A worse answer to the same question that stood in the row."""
    once: bool = True
    """Its prompt stands in a data set once; an agent log may hold several results for one."""
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def prompt_id(self) -> str:
        """Of the question; what splits go by."""
        return prompt_id(self.query)

    @property
    def final(self) -> str:
        """What is said in the end."""
        return self.answer if self.answer.strip() else self.synthesis

    def fact(self, name: str) -> str | None:
        """A text of the metadata."""
        value = self.metadata.get(name)
        return value if isinstance(value, str) and value else None


def read_argued(line: bytes, stands: Standing | None = None) -> Argued:
    """What stands on a line of an agent log, a sample file, or a data set of another writer.

    Read are: an agent log's results (``query``, ``thesis``, ``antithesis``, ``synthesis``; also below ``result`` or
    ``hegelion_trace``), samples (``instruction``, ``output``), conversations (``messages``, ``conversations``) and
    ``prompt`` with ``completion``. The trace of the last three is parsed from the answer and has to meet the contract.

    Args:
        line: the line.
        stands: what was decided on it by hand.

    Raises:
        UNREADABLE: no JSON.
        SampleFault: it holds no such thing; the reason is what is counted.
    """
    row = _fields(msgspec.json.decode(line.removeprefix(BOM)))
    if (result := _result(row)) is not None:
        return _of_entry(row, result)
    if isinstance(row.get("output"), str):
        return _of_sample(read_decided(line, stands), _worse(row))
    system, query, answer = _conversation(row)
    made = {"instruction": query, "output": answer, "system": system, "id": _text(row, "id")}
    return _of_sample(read_sample(msgspec.json.encode(made)), _worse(row))


def open_question(line: bytes) -> str:
    """The question on a line that holds no rejected answer of its own; empty if there is none. A quick look."""
    try:
        row = _fields(msgspec.json.decode(line.removeprefix(BOM)))
        if _worse(row):
            return ""
        if (result := _result(row)) is not None:
            return _text(result, "query")
        if isinstance(row.get("output"), str):
            return "\n\n".join(text for name in ("instruction", "input") if (text := _text(row, name)).strip())
        return _conversation(row)[1]
    except (*UNREADABLE, SampleFault):
        return ""


def _result(row: Fields) -> Fields | None:
    """The part of a row that has the shape of an agent log's result."""
    if "output" in row:
        return None
    for found in (row, row.get("result"), row.get("hegelion_trace")):
        if isinstance(found, dict) and ("synthesis" in found or "thesis" in found):
            return found
    return None


def _of_entry(row: Fields, result: Fields) -> Argued:
    for part in _PARTS:
        if not isinstance(result.get(part), str):
            raise SampleFault(f"missing_{part}", f"There is no text named {part}.")
    entry = decode_entry(msgspec.json.encode(result))
    return Argued(
        id=_text(row, "id") or prompt_id(entry.query),
        query=entry.query.strip(),
        thesis=entry.thesis.strip(),
        antithesis=entry.antithesis.strip(),
        synthesis=entry.synthesis.strip(),
        answer=entry.answer.strip(),
        mode=entry.mode,
        contradictions=tuple(_joined(item.description, item.evidence) for item in entry.contradictions),
        research_proposals=tuple(
            _joined(item.description, item.testable_prediction) for item in entry.research_proposals
        ),
        score=_score(entry),
        rejected=_worse(row),
        once=False,
        metadata=entry.metadata,
    )


def _of_sample(sample: Sample, rejected: str) -> Argued:
    trace, parsed = sample.hegelion_trace, parse_output(sample.output)
    return Argued(
        id=sample.id,
        query=sample.instruction.strip(),
        thesis=trace.thesis,
        antithesis=trace.antithesis,
        synthesis=trace.synthesis,
        answer=parsed.answer,
        system=sample.system,
        mode=trace.mode,
        contradictions=trace.contradictions,
        research_proposals=trace.research_proposals,
        rejected=rejected,
        metadata=trace.metadata,
    )


def _conversation(row: Fields) -> tuple[str, str, str]:
    """System text, last question and its answer."""
    if isinstance(row.get("prompt"), str | list) and isinstance(row.get("completion"), str | list):
        told = [*_messages(row["prompt"], "user"), *_messages(row["completion"], "assistant")]
    else:
        told = [*_messages(row.get("messages"), ""), *_messages(row.get("conversations"), "")]
    if not told:
        raise _no_trace(row)
    answers = [place for place, (role, _) in enumerate(told) if role == "assistant"]
    asked = [text for role, text in told[: answers[-1] if answers else 0] if role == "user"]
    if not asked:
        raise SampleFault("no_prompt", "The conversation holds no question with an answer.")
    if len(asked) > 1:
        raise SampleFault("several_turns", "A conversation of several turns cannot be told as one question.")
    system = next((text for role, text in told if role == "system"), "") or _text(row, "system")
    return system, asked[0], told[answers[-1]][1]


def _messages(told: object, role: str) -> list[tuple[str, str]]:
    """Who says what; ``role`` is whose a bare text is."""
    if isinstance(told, str):
        return [(role, told)]
    found: list[tuple[str, str]] = []
    for message in told if isinstance(told, list) else ():
        if isinstance(message, dict):
            who = _text(message, "role") or _text(message, "from")
            found.append((_ROLES.get(who, who), _text(message, "content") or _text(message, "value")))
    return found


def last_answer(told: object) -> str:
    """The text, or the last message of an assistant."""
    return next((text for role, text in reversed(_messages(told, "assistant")) if role == "assistant"), "")


def _worse(row: Fields) -> str:
    return clean(last_answer(row.get("rejected"))).strip()


def _no_trace(row: Fields) -> SampleFault:
    if "chosen" in row and "rejected" in row:
        return SampleFault("preference_pair", "A preference pair holds no thesis and antithesis.")
    if isinstance(row.get("text"), str):
        return SampleFault("training_row", "A training row holds its prompt in a student's form only.")
    names = ", ".join(map(repr, list(row)[:8])) or "nothing"
    return SampleFault("unknown_form", f"A row of {names} is no result, sample or conversation.")


def _fields(found: object) -> Fields:
    if not isinstance(found, dict):
        raise SampleFault("not_an_object", "The line is no JSON object.")
    return found


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _score(entry: AgentEntry) -> float | None:
    return entry.judge.score if entry.judge is not None else None


def _joined(text: str, more: str) -> str:
    return f"{text}\n{more}" if more else text
