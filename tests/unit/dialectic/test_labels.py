"""Contradictions with evidence, proposals with predictions: every form and language, none invented, none doubled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hegelion_core.dialectic import labels
from hegelion_core.dialectic.labels import before_items, labelled_items

TWO = ("one\nEVIDENCE: why", "two")


@pytest.mark.parametrize(
    "text",
    [
        "CONTRADICTION: one\nEVIDENCE: why\nCONTRADICTION: two",
        "**CONTRADICTION**: one\n**EVIDENCE**: why\n\n**CONTRADICTION**: two",
        "1. **Contradiction:** one\n   **Evidence:** why\n2. **Contradiction:** two",
        "1. **Contradiction**: one\n   - Evidence: why\n2. **Contradiction**: two",
        "Contradiction 1: one\nEvidence: why\nContradiction 2: two",
        "CONTRADICTION #1: one\nEVIDENCE #1: why\nCONTRADICTION #2: two",
        "Contradiction A: one\nEvidence: why\nContradiction B: two",
        "**Contradiction 1 (logical)**: one\n**Evidence**: why\n**Contradiction 2 (moral)**: two",
        "**CONTRADICTION: one**\n**EVIDENCE: why**\n**CONTRADICTION: two**",
        "- CONTRADICTION — one\n- EVIDENCE — why\n- CONTRADICTION — two",
        "CONTRADICTION - one\nEVIDENCE - why\nCONTRADICTION - two",
        "CONTRADICTION：one\nEVIDENCE：why\nCONTRADICTION：two",
        "⚡ **Contradiction:** one\n📊 **Evidence:** why\n⚡ **Contradiction:** two",
        "### Contradiction 1\none\n**EVIDENCE:** why\n### Contradiction 2\ntwo",
        "### Contradiction 1\none\n#### Evidence\nwhy\n### Contradiction 2\ntwo",
        "Before.\n\n**Contradictions:**\n1. one\nEVIDENCE: why\n2. two\n\nAfter.",
        "### Contradictions\n1. one\n   - Evidence: why\n2. two",
        "### Contradictions\n\n1. one\n\n   - **Evidence**: why\n\n2. two",
        "Contradictions:\n- one\n  - Evidence: why\n- two",
        "Key contradictions:\nThere are these:\n- one\n  - Evidence: why\n- two",
        "**Contradictions and evidence**:\n(a) one (Evidence: why)\n(b) two",
        "Plain words. CONTRADICTION: one EVIDENCE: why CONTRADICTION: two",
        "Plain words. **Contradiction:** one **Evidence:** why **Contradiction:** two",
        "CONTRADICTION: one (EVIDENCE: why)\nCONTRADICTION: two",
        "CONTRADICTION: one (**Evidence**: why)\nCONTRADICTION: two",
        "CONTRADICTION: one — evidence: why\nCONTRADICTION: two",
        "| Contradiction | Evidence |\n|---|---|\n| one | why |\n| two | |",
        "| # | Evidence | Contradiction |\n|:-:|---|---|\n| 1 | why | one |\n| 2 | | two |\n\nAfter.",
        "| CONTRADICTION | one |\n| EVIDENCE | why |\n| CONTRADICTION | two |",
        "矛盾：one\n证据：why\n矛盾：two",
        "矛盾点：\n1. one\n   证据：why\n2. two",
        "矛盾：one\n根拠：why\n矛盾：two",
        "모순: one\n근거: why\n모순: two",
        "Widerspruch: one\nBeleg: why\nWiderspruch: two",
        "Contradiction : one\nPreuve : why\nContradiction : two",
        "**Contradicción**: one\n**Evidencia**: why\n**Contradicción**: two",
        "Contradição: one\nEvidência: why\nContradição: two",
        "Contraddizione: one\nProva: why\nContraddizione: two",
        "Противоречие: one\nДоказательство: why\nПротиворечие: two",
        "CONTRADICTION: one\nEVIDENCE: why\nCONTRADICTION: two\nCONTRADICTION: two",  # given once
    ],
)
def test_contradictions_in_every_form(text: str) -> None:
    assert labelled_items(text, "contradiction", "evidence") == TWO


@pytest.mark.parametrize(
    "text",
    [
        "RESEARCH_PROPOSAL: one\nTESTABLE_PREDICTION: why\nRESEARCH_PROPOSAL: two",
        "Research Proposal: one\nPrediction: why\nResearch Proposal: two",
        "**Proposed research**: one\n**Testable prediction**: why\n**Proposed research**: two",
        "### Research Proposals\n1. one\n   - Prediction: why\n2. two",
        "Words. RESEARCH PROPOSAL: one TESTABLE PREDICTION: why RESEARCH PROPOSAL: two",
        "研究建议：one\n可检验的预测：why\n研究建议：two",
        "研究提案：one\n検証可能な予測：why\n研究提案：two",
        "Forschungsvorschlag: one\nPrüfbare Vorhersage: why\nForschungsvorschlag: two",
        "Proposition de recherche : one\nPrédiction vérifiable : why\nProposition de recherche : two",
        "Propuesta de investigación: one\nPredicción comprobable: why\nPropuesta de investigación: two",
        "Proposta de pesquisa: one\nPrevisão testável: why\nProposta de pesquisa: two",
    ],
)
def test_proposals_in_every_form(text: str) -> None:
    assert labelled_items(text, "proposal", "prediction") == ("one\nPREDICTION: why", "two")


@pytest.mark.parametrize(
    "text",
    [
        "No labels here, only a contradiction in terms.",
        "The contradiction is plain: trust is used against trust.",
        "Contradiction is everywhere: look around.",
        "Evidence: it stands alone.",
        "CONTRADICTION: none\nEVIDENCE: n/a",
        "Contradictions: None found.",
        "矛盾：无",
        "We may propose. EVIDENCE: of what?",
        "### Contradictions\n\n",
    ],
)
def test_nothing_is_invented(text: str) -> None:
    assert labelled_items(text, "contradiction", "evidence") == ()


def test_support_joins_only_what_it_follows() -> None:
    assert labelled_items("CONTRADICTION: one\n\nOther words.\n\nEVIDENCE: of those.", "contradiction", "evidence") == (
        "one",
    )
    heading_for_all = "### Contradictions\n1. one\n2. two\n\n### Evidence\n1. for one\n2. for two"
    assert labelled_items(heading_for_all, "contradiction", "evidence") == ("one", "two")
    none = "CONTRADICTION: one\nEVIDENCE: none"
    assert labelled_items(none, "contradiction", "evidence") == ("one",)
    detail = "Contradictions:\n1. one\n- of it\n2. two\n   - of that"
    assert labelled_items(detail, "contradiction", "evidence") == ("one of it", "two of that")
    assert labelled_items("CONTRADICTION: one\ngoes on\n\nends.", "contradiction", "evidence") == ("one goes on",)


def test_what_stands_before_the_items() -> None:
    assert before_items("Some words.\nMore.\n\nCONTRADICTION: one\nEVIDENCE: why") == "Some words.\nMore."
    assert before_items("Some words. CONTRADICTION: one") == "Some words."
    assert before_items("CONTRADICTION: one") == "CONTRADICTION: one"
    assert before_items("A contradiction in terms.") == "A contradiction in terms."


WORDS = {kind: st.from_regex(f"(?i:{words})", fullmatch=True) for kind, words in labels._WORDS.items()}


@settings(max_examples=300)
@given(st.one_of(*WORDS.values()))
def test_the_quick_look_misses_no_label(word: str) -> None:
    line = f"**{word}**: one"
    assert (labels._label(line) is None) == (labels._LABEL.match(line) is None)


@settings(max_examples=300)
@given(WORDS["contradiction"] | WORDS["proposal"])
def test_the_quick_look_misses_no_item(word: str) -> None:
    assert labels._may_hold_items(f"**{word}**: one")


@given(st.lists(st.sampled_from(["CONTRADICTION: a", "Evidence: b", "- c", "d", "", "| e | f |", "Contradictions:"])))
def test_items_come_from_the_text(lines: list[str]) -> None:
    items = labelled_items("\n".join(lines), "contradiction", "evidence")
    assert len(items) == len(set(items)) <= len(lines)
    assert set("".join(items)) <= set("abcdef- :\nEVIDNC")
