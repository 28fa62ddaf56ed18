"""The sample contract: fair to a small teacher, strict with every known fault."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from hegelion_core.dialectic import contract, identity, prompts
from hegelion_core.dialectic.parsing import ParsedOutput, SampleFault, render_output
from hegelion_core.teachers.teacher import Answer
from tests.fakes.good_answers import good_text

QUERY = "Should cities ban cars from their centres?"
GOOD = ParsedOutput(
    thesis="Cities should ban cars since streets belong to people.",
    antithesis="A ban hurts those who cannot walk far, and shops.",
    synthesis="Ban through traffic yet keep access for those who need it.",
    answer="Cities should limit cars in centres, with exemptions.",
)


ANSWERS = Path(__file__).parents[2] / "data" / "answers.jsonl"


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole answer as a model writes it, and what becomes of it."""

    name: str
    query: str
    text: str
    expected: str
    """``accepted`` or the reason."""
    contradictions: int | None = None
    proposals: int | None = None


CASES = msgspec.json.Decoder(Case).decode_lines(ANSWERS.read_bytes())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whole_answers(case: Case) -> None:
    line = msgspec.json.encode({"instruction": case.query, "output": case.text})
    if case.expected != "accepted":
        with pytest.raises(SampleFault) as caught:
            contract.read_sample(line)
        assert caught.value.reason == case.expected
        return
    sample = contract.read_sample(line)
    trace = sample.hegelion_trace
    assert case.contradictions in (None, len(trace.contradictions)), trace.contradictions
    assert case.proposals in (None, len(trace.research_proposals)), trace.research_proposals
    assert contract.read_sample(msgspec.json.encode(sample)) == sample  # what was accepted stays so


def test_the_answers_are_many_and_of_both_kinds() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 200
    assert {case.expected for case in CASES} >= {
        *("accepted", "no_thought_block", "unclosed_thought", "several_thought_blocks", "missing_thesis"),
        *("missing_antithesis", "missing_synthesis", "wrong_order", "trivial_thesis", "trivial_antithesis"),
        *("empty_answer", "refusal", "tool_use", "cut_off", "wrong_language", "repetitive", "repeated_sections"),
        *("thesis_copies_prompt", "synthesis_copies_thesis", "answer_copies_synthesis"),
    }


def reason(parsed: ParsedOutput, query: str = QUERY, truncated: bool = False) -> str | None:
    try:
        contract.check(parsed, query=query, truncated=truncated)
    except SampleFault as fault:
        return fault.reason
    return None


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        replace(GOOD, thesis="Yes, they should go."),  # four words are enough
        replace(GOOD, answer="Yes."),
        replace(GOOD, answer="Limit them"),
        replace(GOOD, answer="Do this:\n\n- Close the centre\n- Keep buses running through the old town"),
        replace(GOOD, answer="Use this:\n\n```python\nprint('cars')\n```"),
        replace(GOOD, answer="Let them in. See the plan at https://example.org/plan"),
        replace(GOOD, answer="I can't see a ban working everywhere, but limits help."),
        replace(GOOD, thesis="We cannot provide clean air while cars fill the streets."),
        replace(GOOD, answer="I cannot help but see both sides. Limit the cars."),
        replace(GOOD, answer="**Limit cars in the centre, with exemptions.**"),
    ],
)
def test_good_answers_pass(good: ParsedOutput) -> None:
    assert reason(good) is None


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (replace(GOOD, thesis=""), "trivial_thesis"),
        (replace(GOOD, thesis="..."), "trivial_thesis"),
        (replace(GOOD, antithesis="No, bad."), "trivial_antithesis"),
        (replace(GOOD, synthesis="[Your synthesis goes here]"), "trivial_synthesis"),
        (
            replace(GOOD, thesis="The strongest direct position on the question, with its best reasons."),
            "trivial_thesis",
        ),
        (replace(GOOD, answer=""), "empty_answer"),
        (replace(GOOD, answer=" ** "), "empty_answer"),
        (replace(GOOD, answer="<your answer>"), "empty_answer"),
        (replace(GOOD, thesis=QUERY), "thesis_copies_prompt"),
        (replace(GOOD, antithesis=GOOD.thesis), "antithesis_copies_thesis"),
        (replace(GOOD, synthesis=GOOD.thesis.upper()), "synthesis_copies_thesis"),
        (replace(GOOD, synthesis=GOOD.antithesis), "synthesis_copies_antithesis"),
        (replace(GOOD, answer=f"**{GOOD.synthesis}**"), "answer_copies_synthesis"),
        (replace(GOOD, answer=QUERY), "answer_copies_prompt"),
        (replace(GOOD, answer=f"So, in  conclusion: {GOOD.synthesis.upper()}"), "answer_copies_synthesis"),
        (replace(GOOD, answer=f"{GOOD.synthesis}\nI hope this helps!"), "answer_copies_synthesis"),
        (
            replace(GOOD, synthesis=f"{GOOD.synthesis}\nRESEARCH_PROPOSAL: Count.", answer=GOOD.synthesis),
            "answer_copies_synthesis",
        ),
        (replace(GOOD, synthesis=f"Both are right in part: {GOOD.thesis}"), "synthesis_copies_thesis"),
        (replace(GOOD, answer="I'm sorry, but I can't help with that."), "refusal"),
        (replace(GOOD, answer="I’m sorry, but I cannot assist with this request."), "refusal"),
        (replace(GOOD, thesis="As an AI language model, I cannot have opinions on cars."), "refusal"),
        (replace(GOOD, answer="I cannot provide that information, as it may be harmful."), "refusal"),
        (replace(GOOD, answer="抱歉，我无法回答这个问题。"), "refusal"),
        (replace(GOOD, answer="Cities should limit cars. They should also look at the"), "cut_off"),
        (replace(GOOD, answer="Cities should limit cars. They should also look at buses and then maybe"), "cut_off"),
        (replace(GOOD, answer="Cities should limit cars, and"), "cut_off"),
        (replace(GOOD, answer="Use this:\n```python\nprint('cars')"), "cut_off"),
        (replace(GOOD, antithesis="A ban hurts those who cannot walk far and the"), "cut_off"),
        (replace(GOOD, answer='<tool_call>{"name": "Bash"}</tool_call> Cars.'), "tool_use"),
        (replace(GOOD, synthesis="On and on it goes. " * 40), "repetitive"),
        (
            replace(GOOD, synthesis=f"THESIS: {GOOD.thesis}\nANTITHESIS: no\nSYNTHESIS: both of these."),
            "repeated_sections",
        ),
    ],
)
def test_each_fault_has_its_reason(bad: ParsedOutput, expected: str) -> None:
    with pytest.raises(SampleFault) as caught:
        contract.check(bad, query=QUERY)
    assert caught.value.reason == expected
    assert caught.value.detail.endswith(".")


def test_the_teachers_own_word_on_a_cut_counts() -> None:
    assert reason(GOOD, truncated=True) == "cut_off"
    with pytest.raises(SampleFault, match="cut_off"):
        contract.make_sample(QUERY, Answer(text="<thought>", truncated=True), prompt_id="p-1", system="", metadata={})


CHINESE = ParsedOutput(
    thesis="城市应该禁止汽车，因为街道属于人民。",
    antithesis="禁令会伤害那些走不远的人和商店。",
    synthesis="禁止过境交通，但为需要的人保留通行权。",
    answer="限制中心区的汽车，并给予豁免。",
)
GERMAN = ParsedOutput(
    thesis="Die Städte sollten das Auto verbannen, weil die Straße den Menschen gehört und nicht dem Verkehr.",
    antithesis="Ein Verbot trifft die, die nicht weit gehen können, und es schadet den Läden in der Stadt.",
    synthesis="Der Durchgangsverkehr wird verboten, aber der Zugang für die, die ihn brauchen, bleibt.",
    answer="Die Städte sollten den Verkehr begrenzen, mit Ausnahmen.",
)


@pytest.mark.parametrize(
    ("parsed", "query", "expected"),
    [
        (CHINESE, "城市应该禁止汽车进入市中心吗？", None),
        (CHINESE, QUERY, "wrong_language"),
        (GOOD, "城市应该禁止汽车进入市中心吗？", "wrong_language"),
        (GERMAN, "Sollten die Städte das Auto aus der Innenstadt verbannen, und was ist mit den Läden?", None),
        (
            GERMAN,
            "Should the city ban the car from the centre, and what is to be done for the shops?",
            "wrong_language",
        ),
        (GOOD, "Übersetze die Frage, ob die Städte das Auto verbannen sollten, und beantworte sie.", None),
        (CHINESE, "Discuss in Chinese whether the city should ban the car from the centre.", None),
        (GOOD, "Cars?", None),
    ],
)
def test_the_language_is_the_prompts(parsed: ParsedOutput, query: str, expected: str | None) -> None:
    assert reason(parsed, query) == expected


def test_a_good_answer_becomes_a_sample_that_is_read_back() -> None:
    answer = Answer(text=good_text(QUERY), seconds=1.25, completion_tokens=129, metadata={"program": "kimi-code"})
    made = contract.make_sample(
        QUERY, answer, prompt_id=identity.prompt_id(QUERY), system=prompts.STUDENT_SYSTEM, metadata={"recipe": "x"}
    )
    assert made.id == identity.prompt_id(QUERY)
    assert made.instruction == made.hegelion_trace.query == QUERY
    assert made.hegelion_trace.contradictions == (
        "What looks evident is shared by few.\nEVIDENCE: Those who pay are seldom those who are asked.",
    )
    facts = {"recipe": "x", "program": "kimi-code", "seconds": 1.25, "completion_tokens": 129}
    assert made.hegelion_trace.metadata == facts
    assert made.output.startswith("<thought>\n**THESIS**: ")
    assert contract.read_sample(msgspec.json.encode(made)) == made


def test_foreign_rows_are_read() -> None:
    output = render_output(GOOD).replace("thought>", "think>")
    row = {"instruction": QUERY, "input": "", "output": output, "system": "s", "hegelion_trace": "<trace here>"}
    sample = contract.read_sample(msgspec.json.encode(row))
    assert sample.id == identity.prompt_id(QUERY)
    assert sample.output == render_output(GOOD)
    assert sample.hegelion_trace.thesis == GOOD.thesis

    trace = {"query": QUERY, "thesis": "placeholder", "contradictions": [{"description": "x"}], "metadata": None}
    sample = contract.read_sample(msgspec.json.encode({"output": output, "hegelion_trace": trace}))
    assert (sample.instruction, sample.hegelion_trace.thesis) == (QUERY, GOOD.thesis)

    with_input = {"instruction": "Answer the question.", "input": QUERY, "output": output}
    assert contract.read_sample(msgspec.json.encode(with_input)).instruction == f"Answer the question.\n\n{QUERY}"


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"instruction": "x"}', b'{"output": 3}', b'\xff{"output": "x"}'])
def test_lines_that_hold_no_row(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        contract.read_sample(line)


def test_rows_that_are_no_samples_say_why() -> None:
    with pytest.raises(SampleFault, match="no_thought_block"):
        contract.read_sample(msgspec.json.encode({"instruction": QUERY, "output": "Yes."}))
    with pytest.raises(SampleFault, match="no_prompt"):
        contract.read_sample(msgspec.json.encode({"output": render_output(GOOD)}))


def test_the_recipes_own_words_are_no_section() -> None:
    text = contract._ECHO.pattern
    phrases = [phrase.strip("()?:") for phrase in text.removeprefix(r"\W*").removesuffix(r"\b").split("|")]
    assert len(phrases) == 4
    assert all(phrase in prompts.TEACHER_SYSTEM.lower() for phrase in phrases)


def test_a_refusal_or_a_call_without_a_block_is_told_as_such() -> None:
    for text, expected in (
        ("I'm sorry, but I can't help with that.", "refusal"),
        ('<tool_call>{"name": "Bash", "arguments": {}}</tool_call>', "tool_use"),
        (f"<tool_call>ls</tool_call>\n{render_output(GOOD)}", "tool_use"),
    ):
        with pytest.raises(SampleFault) as caught:
            contract.make_sample(QUERY, Answer(text=text), prompt_id="p-1", system="", metadata={})
        assert caught.value.reason == expected


def test_the_answers_language_counts_too() -> None:
    assert reason(replace(GOOD, answer=CHINESE.answer)) == "wrong_language"
    assert reason(replace(GOOD, answer="```python\n# 城市应该禁止汽车进入市中心\nprint('ban')\n```")) is None


def test_the_fingerprint_covers_every_module_that_decides() -> None:
    assert len(contract.fingerprint()) == 16
    assert int(contract.fingerprint(), 16) >= 0
    assert contract.fingerprint() is contract.fingerprint()
    folder = Path(contract.__file__).parent
    seen, waiting = set(), ["contract"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hegelion_core.dialectic"):
                modules = [alias.name for alias in node.names] if node.module == "hegelion_core.dialectic" else []
                waiting += {*modules, node.module.rpartition(".")[2]} - seen - {"dialectic"} if node.module else []
    assert sorted(seen) == sorted(contract._DECIDING)


def test_the_fingerprint_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in contract._DECIDING:
        (tmp_path / f"{name}.py").write_text("one = 1\n")
    monkeypatch.setattr(contract, "__file__", str(tmp_path / "contract.py"))
    before = contract.fingerprint.__wrapped__()
    assert before == contract.fingerprint.__wrapped__()
    (tmp_path / "labels.py").write_text("one = 2\n")
    assert contract.fingerprint.__wrapped__() != before
