"""A line of an agent log: ours, Hegelion's, and others'."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic import agent_log
from hegelion_core.dialectic.agent_log import (
    AgentEntry,
    Contradiction,
    Critique,
    Judgement,
    ResearchProposal,
    decode_entry,
    encode_entry,
)
from hegelion_core.dialectic.parsing import parse_output

ENTRY = AgentEntry(
    query="Why?",
    thesis="It is so.",
    antithesis="It is not.",
    synthesis="It depends.",
    answer="Look closer.",
    contradictions=(Contradiction(description="a", evidence="b"),),
    research_proposals=(ResearchProposal(description="c", testable_prediction="d"),),
    critiques=(Critique(critic="Logician", text="It is not."), Critique(critic="Ethicist", failure="timeout: late")),
    judge=Judgement(score=7.5, reasons="Fair.", critique_validity=True),
    metadata={"teacher": "local"},
)


def test_a_line_is_read_as_it_was_written() -> None:
    line = encode_entry(ENTRY)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_entry(line) == ENTRY
    assert parse_output(ENTRY.output).answer == "Look closer."


def test_hegelions_own_result_is_read() -> None:
    line = json.dumps(
        {
            "query": "Is gravity a force?",
            "mode": "synthesis",
            "thesis": "Yes.",
            "antithesis": "No.",
            "synthesis": "Both.",
            "contradictions": [{"description": "a", "evidence": "b"}, "c\nEVIDENCE: d", {"evidence": "alone"}, 3],
            "research_proposals": [{"description": "e", "testable_prediction": None}],
            "metadata": {"total_time_ms": 1470},
            "trace": {"unknown": True},
        }
    ).encode()
    entry = decode_entry(line)
    assert entry.mode == "synthesis"
    assert entry.contradictions == (
        Contradiction(description="a", evidence="b"),
        Contradiction(description="c", evidence="d"),
    )
    assert entry.research_proposals == (ResearchProposal(description="e"),)
    assert (entry.answer, entry.critiques, entry.judge) == ("", (), None)
    assert parse_output(entry.output).answer == "Both."


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b'{"query": "q"}', b'"x"', b'{"query":1,"thesis":"",...}'])
def test_what_is_no_entry_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_entry(line)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(sorted({*AgentEntry.__struct_fields__} - {"query", "thesis", "antithesis", "synthesis"})), _JSON
    )
)
def test_whatever_stands_beside_the_four_does_no_harm(more: dict[str, object]) -> None:
    line = json.dumps({"query": "q", "thesis": "t", "antithesis": "a", "synthesis": "s", **more}).encode()
    entry = decode_entry(line)
    assert (entry.query, entry.synthesis) == ("q", "s")
    assert decode_entry(encode_entry(entry)) == entry


def test_items_of_a_section_are_taken_apart() -> None:
    assert agent_log.contradictions(["a\nEVIDENCE: b: c\nEVIDENCE: d"]) == (
        Contradiction(description="a", evidence="b: c d"),
    )
    assert agent_log.research_proposals(["a"]) == (ResearchProposal(description="a"),)
