"""A line of an agent log: one question that was argued through, in the shape of Hegelion's own results, extended.

``ask --log-file`` writes such lines, ``dataset`` reads them. The names ``query``, ``mode``, ``thesis``, ``antithesis``,
``synthesis``, ``contradictions``, ``research_proposals`` and ``metadata`` are Hegelion's; ``answer``, ``critiques`` and
``judge`` are ours, and a log of another writer may do without them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hegelion_core.dialectic.parsing import ParsedOutput, clean, render_output


class Contradiction(msgspec.Struct, frozen=True, kw_only=True):
    """What conflicts with the thesis, and why it holds."""

    description: str
    evidence: str = ""


class ResearchProposal(msgspec.Struct, frozen=True, kw_only=True):
    """What to study, and what would be seen."""

    description: str
    testable_prediction: str = ""


class Critique(msgspec.Struct, frozen=True, kw_only=True):
    """What one critic says against the thesis. ``text`` is empty where it failed; then ``failure`` says why."""

    critic: str
    text: str = ""
    failure: str = ""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge says of the whole: ``score`` is from 0 to 10."""

    score: float
    reasons: str = ""
    critique_validity: bool | None = None
    """Whether the critiques hold; none: the judge did not say."""
    strengths: str = ""
    improvements: str = ""


class AgentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log."""

    query: str
    mode: str = "dialogue"
    """How it was made: ``dialogue`` is one call a part; Hegelion's own logs say ``synthesis``."""
    thesis: str
    antithesis: str
    synthesis: str
    answer: str = ""
    contradictions: tuple[Contradiction, ...] = ()
    research_proposals: tuple[ResearchProposal, ...] = ()
    critiques: tuple[Critique, ...] = ()
    judge: Judgement | None = None
    metadata: dict[str, object] = {}

    @property
    def output(self) -> str:
        """The four parts in the form of a sample's output; without an answer of its own the synthesis stands there."""
        answer = self.answer or self.synthesis
        return render_output(ParsedOutput(self.thesis, self.antithesis, self.synthesis, answer))


def encode_entry(entry: AgentEntry) -> bytes:
    """The entry as a line, with its end."""
    return msgspec.json.encode(entry) + b"\n"


def decode_entry(line: bytes) -> AgentEntry:
    """The entry on a line, of ours or of another writer.

    Contradictions and proposals may be objects, texts (``... EVIDENCE: ...`` on a line of its own) or missing; a
    critique may be a text, a judge a bare number. What is not understood beside the four names that count (``query``,
    ``thesis``, ``antithesis``, ``synthesis``) is left out.

    Raises:
        UNREADABLE: not JSON, or no object with those four texts.
    """
    row = _decoder.decode(line)
    return AgentEntry(
        query=clean(row.query),
        mode=row.mode if isinstance(row.mode, str) else "synthesis",
        thesis=clean(row.thesis),
        antithesis=clean(row.antithesis),
        synthesis=clean(row.synthesis),
        answer=clean(row.answer) if isinstance(row.answer, str) else "",
        contradictions=tuple(
            Contradiction(description=text, evidence=more) for text, more in _pairs(row.contradictions, "evidence")
        ),
        research_proposals=tuple(
            ResearchProposal(description=text, testable_prediction=more)
            for text, more in _pairs(row.research_proposals, "testable_prediction")
        ),
        critiques=tuple(_critiques(row.critiques)),
        judge=_judgement(row.judge),
        metadata=row.metadata if isinstance(row.metadata, dict) else {},
    )


def contradictions(items: Iterable[str]) -> tuple[Contradiction, ...]:
    """Labelled items of an antithesis (``labels.labelled_items``) as the log holds them."""
    return tuple(Contradiction(description=text, evidence=more) for text, more in map(_split, items))


def research_proposals(items: Iterable[str]) -> tuple[ResearchProposal, ...]:
    """Labelled items of a synthesis as the log holds them."""
    return tuple(ResearchProposal(description=text, testable_prediction=more) for text, more in map(_split, items))


class _Row(msgspec.Struct, frozen=True):
    """What a line needs to be looked at."""

    query: str
    thesis: str
    antithesis: str
    synthesis: str
    mode: object = None
    answer: object = None
    contradictions: object = None
    research_proposals: object = None
    critiques: object = None
    judge: object = None
    metadata: object = None


_decoder: msgspec.json.Decoder[_Row] = msgspec.json.Decoder(_Row)


def _pairs(items: object, second: str) -> list[tuple[str, str]]:
    """Description and what supports it, of each item that has a description."""
    found: list[tuple[str, str]] = []
    for item in items if isinstance(items, list) else ():
        if isinstance(item, str):
            found.append(_split(clean(item)))
        elif isinstance(item, dict):
            found.append((_text(item, "description"), _text(item, second)))
    return [(text, more) for text, more in found if text.strip()]


def _split(item: str) -> tuple[str, str]:
    """``text\\nEVIDENCE: more``, as ``labelled_items`` gives it; several supports are joined."""
    text, *more = item.split("\n")
    return text, " ".join(line.partition(": ")[2] or line for line in more)


def _critiques(items: object) -> list[Critique]:
    found: list[Critique] = []
    for item in items if isinstance(items, list) else ():
        if isinstance(item, str):
            found.append(Critique(critic="", text=clean(item)))
        elif isinstance(item, dict):
            found.append(
                Critique(critic=_text(item, "critic"), text=_text(item, "text"), failure=_text(item, "failure"))
            )
    return [critique for critique in found if critique.text.strip() or critique.failure]


def _judgement(found: object) -> Judgement | None:
    score = found.get("score") if isinstance(found, dict) else found
    if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 10:
        return None
    if not isinstance(found, dict):
        return Judgement(score=float(score))
    validity = found.get("critique_validity")
    return Judgement(
        score=float(score),
        reasons=_text(found, "reasons"),
        critique_validity=validity if isinstance(validity, bool) else None,
        strengths=_text(found, "strengths"),
        improvements=_text(found, "improvements"),
    )


def _text(item: dict[object, object], name: str) -> str:
    value = item.get(name)
    return clean(value) if isinstance(value, str) else ""
