"""Reading answers: every form of heading, the block, the round trip."""

from __future__ import annotations

import contextlib
import sys
from itertools import product
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic import contract
from hegelion_core.dialectic.parsing import ParsedOutput, SampleFault, clean, parse_output, render_output
from hegelion_core.teachers.teacher import Answer

THESIS = "Cities should ban cars since streets belong to people."
ANTITHESIS = "A ban hurts those who cannot walk far, and shops."
SYNTHESIS = "Ban through traffic yet keep access for those who need it."
ANSWER = "Cities should limit cars in centres, with exemptions."

FORMS = [
    ("**THESIS**: {}", "**ANTITHESIS**: {}", "**SYNTHESIS**: {}"),
    ("**Thesis:** {}", "**Antithesis:** {}", "**Synthesis:** {}"),
    ("**THESIS** {}", "**ANTITHESIS** {}", "**SYNTHESIS** {}"),
    ("**Thesis**\n{}", "**Antithesis**\n\n{}", "**Synthesis**\n{}"),
    ("***Thesis***: {}", "***Antithesis***: {}", "***Synthesis***: {}"),
    ("__THESIS__: {}", "__ANTITHESIS__: {}", "__SYNTHESIS__: {}"),
    ("*Thesis:* {}", "*Antithesis:* {}", "*Synthesis:* {}"),
    ("### Thesis\n{}", "### Antithesis\n{}", "### Synthesis\n{}"),
    ("### **Thesis**\n{}", "### **Antithesis**\n{}", "### **Synthesis**\n{}"),
    ("## 1. Thesis: {}", "## 2. Antithesis: {}", "## 3. Synthesis: {}"),
    ("1. THESIS\n{}", "2. ANTITHESIS\n{}", "3. SYNTHESIS\n{}"),
    ("1) Thesis: {}", "2) Antithesis: {}", "3) Synthesis: {}"),
    ("1. **Thesis** – {}", "2. **Antithesis** – {}", "3. **Synthesis** – {}"),
    ("**1. Thesis (for)**: {}", "**2. Antithesis (against)**: {}", "**3. Synthesis (both)**: {}"),
    ("I. THESIS\n{}", "II. ANTITHESIS\n{}", "III. SYNTHESIS\n{}"),
    ("Step 1: Thesis\n{}", "Step 2: Antithesis\n{}", "Step 3: Synthesis\n{}"),
    ("- Thesis: {}", "- Antithesis: {}", "- Synthesis: {}"),
    ("- **Thesis**: {}", "- **Antithesis**: {}", "- **Synthesis**: {}"),
    ("> **THESIS**: {}", "> **ANTITHESIS**: {}", "> **SYNTHESIS**: {}"),
    ("thesis: {}", "antithesis: {}", "synthesis: {}"),
    ("Thesis — {}", "Antithesis — {}", "Synthesis — {}"),
    ("The Thesis: {}", "The Antithesis: {}", "The Synthesis: {}"),
    ("THESIS (position):\n{}", "ANTITHESIS (critique):\n{}", "SYNTHESIS (resolution):\n{}"),
    ("[THESIS] {}", "[ANTITHESIS] {}", "[SYNTHESIS] {}"),
    ("<thesis>{}</thesis>", "<antithesis>{}</antithesis>", "<synthesis>{}</synthesis>"),
    ("正题：{}", "反题：{}", "合题：{}"),
    ("**[THESIS]** {}", "**[ANTITHESIS]** {}", "**[SYNTHESIS]** {}"),
    ("【正题】{}", "【反题】{}", "【合题】{}"),
    ("一、正题：{}", "二、反题：{}", "三、合题：{}"),
    ("🔵 **Thesis:** {}", "🔴 **Antithesis:** {}", "🟢 **Synthesis:** {}"),
    ("(1) Thesis: {}", "(2) Antithesis: {}", "(3) Synthesis: {}"),
    ("My thesis: {}", "The antithesis: {}", "Proposed synthesis: {}"),
    ("### THESIS\n**Thesis:** {}", "### ANTITHESIS\n**Antithesis:** {}", "### SYNTHESIS\n**Synthesis:** {}"),
    ("| Thesis | {} |", "| **Antithesis** | {} |", "| Synthesis | {} |"),
    ("[thesis]{}[/thesis]", "[antithesis]{}[/antithesis]", "[synthesis]{}[/synthesis]"),
    ("**ТЕЗИС**: {}", "**АНТИТЕЗИС**: {}", "**СИНТЕЗ**: {}"),
    ("Thèse : {}", "Antithèse : {}", "Synthèse : {}"),
]
INLINE = [form for form in FORMS if form[0].startswith(("**THESIS**:", "**Thesis:**", "***", "__"))]


def whole(block: str, tag: str = "thought", answer: str = ANSWER) -> str:
    return f"<{tag}>\n{block}\n</{tag}>\n\n{answer}"


def block_of(form: tuple[str, str, str], between: str) -> str:
    return between.join(part.format(text) for part, text in zip(form, (THESIS, ANTITHESIS, SYNTHESIS), strict=True))


@pytest.mark.parametrize(
    ("form", "between", "tag"),
    [*product(FORMS, ("\n", "\n\n"), ("thought", "think")), *product(INLINE, (" ",), ("thought",))],
)
def test_every_form_of_heading_is_read(form: tuple[str, str, str], between: str, tag: str) -> None:
    parsed = parse_output(whole(block_of(form, between), tag))
    assert parsed == ParsedOutput(THESIS, ANTITHESIS, SYNTHESIS, ANSWER)


@pytest.mark.parametrize(
    "answer",
    [
        *("**Answer:** {}", "**ANSWER**: {}", "Final answer: {}", "## Answer\n{}", "<answer>{}</answer>"),
        *("**Answer**\n{}", "**Antwort:** {}", "Réponse finale : {}", "最终答案：{}", "Answer: **Final answer:** {}"),
    ],
)
def test_a_label_on_the_answer_goes(answer: str) -> None:
    assert parse_output(whole(block_of(FORMS[0], "\n"), answer=answer.format(ANSWER))).answer == ANSWER


def test_what_stands_around_the_block_goes() -> None:
    canonical = whole(block_of(FORMS[0], "\n"))
    assert parse_output(f"Here is my reply.\n\n{canonical}") == parse_output(canonical)
    assert parse_output(f"```\n{canonical}\n```") == parse_output(canonical)
    assert parse_output(f"<think>scratch</think>{canonical}") == parse_output(canonical)
    assert parse_output(canonical.replace("\n", "\r\n")) == parse_output(canonical)


def test_mentions_are_no_headings() -> None:
    synthesis = "Thesis and antithesis both see half of it.\nThesis: it sees the street.\nThe synthesis is wider."
    block = f"**THESIS**: {THESIS}\n**ANTITHESIS**: {ANTITHESIS}\n**SYNTHESIS**: {synthesis}"
    assert parse_output(whole(block)).synthesis == synthesis


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_thought_block"),
        (f"{block_of(FORMS[0], chr(10))}\n{ANSWER}", "no_thought_block"),
        (f"{block_of(FORMS[0], chr(10))}\n</thought>\n{ANSWER}", "no_thought_block"),
        (f"<thought>\n{block_of(FORMS[0], chr(10))}", "unclosed_thought"),
        (f"</thought><thought>\n{block_of(FORMS[0], chr(10))}", "unclosed_thought"),
        (whole(block_of(FORMS[0], "\n")) * 2, "several_thought_blocks"),
        (whole(f"**ANTITHESIS**: {ANTITHESIS}\n**SYNTHESIS**: {SYNTHESIS}"), "missing_thesis"),
        (whole(f"**THESIS**: {THESIS}\n**SYNTHESIS**: {SYNTHESIS}"), "missing_antithesis"),
        (whole(f"**THESIS**: {THESIS}\n**ANTITHESIS**: {ANTITHESIS}"), "missing_synthesis"),
        (whole(f"**ANTITHESIS**: {ANTITHESIS}\n**THESIS**: {THESIS}\n**SYNTHESIS**: {SYNTHESIS}"), "wrong_order"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, reason: str) -> None:
    with pytest.raises(SampleFault) as caught:
        parse_output(text)
    assert caught.value.reason == reason
    assert caught.value.detail.endswith(".")


def test_headings_in_code_are_none() -> None:
    fenced = f"{THESIS}\n```text\n**SYNTHESIS**: x\nANTITHESIS: y\n```\nand `**ANTITHESIS**: z` too."
    block = f"**THESIS**: {fenced}\n**ANTITHESIS**: {ANTITHESIS}\n**SYNTHESIS**: {SYNTHESIS}"
    assert parse_output(whole(block)) == ParsedOutput(fenced, ANTITHESIS, SYNTHESIS, ANSWER)
    directly = f"```text\nANTITHESIS: y\n```\n{THESIS}"
    block = f"**THESIS**: {directly}\n**ANTITHESIS**: {ANTITHESIS}\n**SYNTHESIS**: {SYNTHESIS}"
    assert parse_output(whole(block)).thesis == directly
    with pytest.raises(SampleFault, match="missing_antithesis"):
        parse_output(whole(f"**THESIS**: {THESIS}\n```\n**ANTITHESIS**: {ANTITHESIS}\n```\n**SYNTHESIS**: {SYNTHESIS}"))


def test_a_fence_that_is_never_closed_hides_nothing() -> None:
    block = f"**THESIS**: {THESIS}\n```rust\nfn main()\n**ANTITHESIS**: {ANTITHESIS}\n**SYNTHESIS**: {SYNTHESIS}"
    assert parse_output(whole(block)).antithesis == ANTITHESIS


def test_thinking_inside_sections_or_answer_is_a_second_block() -> None:
    canonical = block_of(FORMS[0], "\n")
    assert parse_output(whole(f"<think>plan</think>\n{canonical}")).thesis == THESIS
    mention = f"{ANSWER} It drops what stands in `<think>` and </think> tags, always."
    assert parse_output(whole(canonical, answer=mention)).answer == mention
    for text in (
        whole(canonical, answer=f"<think>\nplan\n</think>\n{ANSWER}"),
        whole(canonical, answer=f"<THINKING>plan</THINKING>\n{ANSWER}"),
        whole(canonical.replace(THESIS, f"{THESIS}\n<think>hm</think>\nYes.")),
    ):
        with pytest.raises(SampleFault, match="several_thought_blocks"):
            parse_output(text)


PIECES = [
    *("**THESIS**:", "**ANTITHESIS**:", "**SYNTHESIS**:", "### Thesis", "- Antithesis:", "Synthesis", "<thesis>"),
    *("</thesis>", "<thought>", "</thought>", "<think>", "</think>", "<answer>", "</answer>", "Answer:", "**", "__"),
    *(
        "| Thesis |",
        "|",
        "【合题】",
        "[/thesis]",
        "```\n",
        "\n```\n",
        "~~~\n",
        "\n- ```",
        "<think>\n",
        "CONTRADICTION: x",
    ),
    *(
        " ",
        "\n",
        "\n\n",
        "```",
        "a",
        "Words that say it.",
        "1.",
        ":",
        "—",
        "(x)",
        "\x1b[31m",
        "\r",
        "é",
        "题",
        "\ud800",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_rendering_and_parsing_are_inverse_for_all_that_can_be_read(text: str) -> None:
    for candidate in (text, whole(f"**THESIS**: a{text}\n**ANTITHESIS**: b\n**SYNTHESIS**: c", answer=text)):
        try:
            parsed = parse_output(candidate)
        except SampleFault:
            continue
        assert parse_output(render_output(parsed)) == parsed


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.text(max_size=40))
def test_no_text_leads_to_anything_but_a_sample_or_a_fault(text: str, query: str) -> None:
    for candidate in (
        text,
        whole(f"**THESIS**: a{text}\n**ANTITHESIS**: b{text}\n**SYNTHESIS**: c{text}", answer=text),
    ):
        with contextlib.suppress(SampleFault):
            contract.make_sample(query, Answer(text=candidate), prompt_id="p-1", system="", metadata={})


MEGABYTE = 1 << 20
FLOODS = [
    *(
        "*",
        "<thought>",
        "THESIS",
        "THESIS: ",
        "**THESIS**: ",
        " ",
        "\n",
        " \n",
        "```\n",
        "```a\n",
        "~~~\n",
        "`",
        "|",
        "|-\n",
    ),
    *(
        "</thesis>",
        "</answer>",
        "Answer: ",
        "CONTRADICTION: a\nb\n",
        "Contradictions:\n- a\n",
        ". evidence: ",
        "(",
        ".",
    ),
    *("I'm sorry, ", "{", "<tool_call>", "\u0301\u0316", "题", "x ", "<think>\n", "\x00", "\ud800", ":", "a:"),
]


@pytest.mark.parametrize("flood", FLOODS)
def test_a_megabyte_of_one_thing_is_read_in_linear_time(flood: str) -> None:
    # Calls are counted, up to a length at which work that grows with the square would not end within the time limit.
    def calls(length: int) -> int:
        body = flood * (length // len(flood))
        texts = [body, whole(f"**THESIS**: {body}x\n**ANTITHESIS**: {body}x\n**SYNTHESIS**: x", answer="Yes.")]
        counted = 0

        def count(frame: FrameType, event: str, arg: object) -> None:
            nonlocal counted
            counted += 1

        for text in texts:
            sys.setprofile(count)
            try:
                with contextlib.suppress(SampleFault):
                    contract.make_sample("Why?", Answer(text=text), prompt_id="p-1", system="", metadata={})
            finally:
                sys.setprofile(None)
        return counted

    small = calls(MEGABYTE // 400)
    assert calls(MEGABYTE // 40) <= 11 * small
    body = flood * (MEGABYTE // len(flood))
    with contextlib.suppress(SampleFault):
        contract.make_sample("Why?", Answer(text=whole(body)), prompt_id="p-1", system="", metadata={})


PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<>*_#:：-–—[]()\u2028\u2029\ufeff"))


@given(*[PLAIN.map(str.strip).filter(bool)] * 4)
def test_plain_texts_survive(thesis: str, antithesis: str, synthesis: str, answer: str) -> None:
    parsed = ParsedOutput(thesis=f"T {thesis}", antithesis=f"A {antithesis}", synthesis=synthesis, answer=answer)
    read = parse_output(render_output(parsed))
    assert (read.thesis, read.antithesis, read.synthesis, read.answer) == (
        parsed.thesis, parsed.antithesis, parsed.synthesis, parsed.answer
    )  # fmt: skip


@given(st.text())
def test_cleaning_leaves_nothing_that_steers_a_terminal(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert all(char in "\n\t" or char.isprintable() or ord(char) > 0x9F for char in cleaned)
    cleaned.encode()


def test_proposals_and_sections_know_their_items() -> None:
    block = (
        f"**THESIS**: {THESIS}\n**ANTITHESIS**: {ANTITHESIS}\nCONTRADICTION: Streets\nare shared.\n"
        f"**SYNTHESIS**: {SYNTHESIS}\nRESEARCH_PROPOSAL: Count walkers.\nTESTABLE_PREDICTION: More of them.\n"
    )
    parsed = parse_output(whole(block))
    assert parsed.contradictions == ("Streets are shared.",)
    assert parsed.research_proposals == ("Count walkers.\nPREDICTION: More of them.",)


@pytest.mark.parametrize(
    "heading", ["**THESIS****THESIS**:", "**THESIS:****THESIS**:", "x **Thesis:** **THESIS:****THESIS**:"]
)
def test_a_heading_right_behind_another_stays_no_part_of_the_text(heading: str) -> None:
    parsed = parse_output(f"<thought>\n{heading} It is.\n**ANTITHESIS**: b\n**SYNTHESIS**: c\n</thought>\nd")
    assert parsed.thesis == "It is."
    assert parse_output(render_output(parsed)) == parsed
