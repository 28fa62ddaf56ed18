"""What was argued, whoever wrote it, to rows of every format."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.data_sets.argued import Argued, open_question, read_argued
from hegelion_core.data_sets.build import Build, build
from hegelion_core.data_sets.formats import FORMATS, REJECTED, Recipe, conversation, make_rows
from hegelion_core.data_sets.outputs import Shares, Staging, Target
from hegelion_core.data_sets.rows import (
    AlpacaRow,
    InstructionRow,
    MessagesRow,
    PreferenceRow,
    PromptCompletionRow,
    Row,
    ShareGptRow,
)
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SampleFault, parse_output
from hegelion_core.dialectic.prompts import STUDENT_SYSTEM
from hegelion_core.errors import UserError
from hegelion_core.generation.decisions import Decision, decisions_path
from hegelion_core.generation.verdicts import digest
from tests.fakes.sample_files import output, row, write

ENTRY: dict[str, object] = {
    "query": "Should we implement feature X?",
    "mode": "synthesis",
    "thesis": "Yes, since users ask for it every week.",
    "antithesis": "No, since the team cannot maintain it.",
    "synthesis": "Build it behind a flag and measure who uses it.",
    "contradictions": [{"description": "Wishes are not use.", "evidence": "Most flags stay off."}],
    "research_proposals": ["Count who uses it.\nTESTABLE_PREDICTION: fewer than a tenth."],
    "judge": {"score": 7.5},
    "metadata": {"teacher": "kimi-code", "source": "me"},
}


def read(found: object) -> Argued:
    return read_argued(msgspec.json.encode(found))


def rows(found: object, **recipe: object) -> list[Row]:
    made = list(make_rows(read(found), Recipe(**{"format": "messages", **recipe})))  # type: ignore[arg-type]
    assert not [each for each in made if isinstance(each, SampleFault)]
    return [each for each in made if not isinstance(each, SampleFault)]


def faults(found: object, **recipe: object) -> list[str]:
    made = make_rows(read(found), Recipe(**{"format": "messages", **recipe}))  # type: ignore[arg-type]
    return [each.reason for each in made if isinstance(each, SampleFault)]


# What is read


@pytest.mark.parametrize("wrapped", [ENTRY, {"result": ENTRY}, {"hegelion_trace": ENTRY, "id": "a"}])
def test_an_agent_logs_result(wrapped: dict[str, object]) -> None:
    argued = read(wrapped)
    assert (argued.query, argued.final) == (ENTRY["query"], ENTRY["synthesis"])
    assert argued.contradictions == ("Wishes are not use.\nMost flags stay off.",)
    assert argued.research_proposals == ("Count who uses it.\nfewer than a tenth.",)
    assert (argued.score, argued.fact("teacher"), argued.once) == (7.5, "kimi-code", False)


def test_a_sample_and_the_forms_that_other_writers_give_it() -> None:
    text = output("x")
    whole = parse_output(text)
    said = [{"role": "system", "content": "S"}, {"role": "user", "content": "Why?"}]
    answered = [{"role": "assistant", "content": text}]
    shared = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": text.replace("thought>", "think>")}]
    for found in (
        row("Why?", text),
        {"messages": [*said, *answered]},
        {"conversations": shared, "system": "S"},
        {"prompt": "Why?", "completion": text},
        {"prompt": said, "completion": answered},
        {"instruction": "Why?", "output": text, "rejected": [{"role": "assistant", "content": "Worse."}]},
    ):
        argued = read(found)
        assert (argued.query, argued.thesis, argued.answer) == ("Why?", whole.thesis, whole.answer)
        assert argued.rejected == ("Worse." if "rejected" in found else "")
        assert open_question(msgspec.json.encode(found)) == ("" if "rejected" in found else "Why?")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([1], "not_an_object"),
        ({}, "unknown_form"),
        ({"a": 1, "b": 2}, "unknown_form"),
        ({"text": "<|im_start|>user"}, "training_row"),
        ({"prompt": "Why?", "chosen": "a", "rejected": "b"}, "preference_pair"),
        ({"thesis": "a", "synthesis": "c", "query": "q"}, "missing_antithesis"),
        ({"thesis": 1, "antithesis": "b", "synthesis": "c", "query": "q"}, "missing_thesis"),
        ({"messages": [{"role": "assistant", "content": output("x")}]}, "no_prompt"),
        ({"messages": [{"role": "user", "content": "Why?"}]}, "no_prompt"),
        ({"prompt": "Why?", "completion": "Because."}, "no_thought_block"),
        ({"instruction": "Why?", "output": "Because."}, "no_thought_block"),
        ({"instruction": "", "output": output("x")}, "no_prompt"),
        (
            {"messages": [{"role": role, "content": "a"} for role in ("user", "assistant", "user", "assistant")]},
            "several_turns",
        ),
    ],
)
def test_what_is_none_of_these_is_named(found: object, reason: str) -> None:
    with pytest.raises(SampleFault) as fault:
        read(found)
    assert fault.value.reason == reason
    open_question(msgspec.json.encode(found))  # a look at the question never fails


# What is made


def test_conversations() -> None:
    (made,) = rows(ENTRY)
    assert isinstance(made, MessagesRow)
    assert [message.role for message in made.messages] == ["system", "user", "assistant"]
    assert made.messages[0].content == STUDENT_SYSTEM
    said = parse_output(made.messages[2].content)
    assert (said.thesis, said.antithesis, said.synthesis) == (ENTRY["thesis"], ENTRY["antithesis"], ENTRY["synthesis"])
    (shared,) = rows(ENTRY, format="sharegpt")
    assert isinstance(shared, ShareGptRow)
    assert json.loads(msgspec.json.encode(shared))["conversations"][1] == {"from": "human", "value": ENTRY["query"]}
    for format_ in ("sharegpt", "alpaca", "instruction"):
        assert conversation(rows(ENTRY, format=format_)[0]) == conversation(made)


def test_texts() -> None:
    (alpaca,) = rows(ENTRY, format="alpaca")
    assert isinstance(alpaca, AlpacaRow)
    assert (alpaca.instruction, alpaca.input, alpaca.system) == (ENTRY["query"], "", STUDENT_SYSTEM)
    (pair,) = rows(ENTRY, format="prompt-completion")
    assert isinstance(pair, PromptCompletionRow)
    assert pair.prompt == f"{STUDENT_SYSTEM}\n\n{ENTRY['query']}"
    assert pair.completion == alpaca.output


def test_the_answer_alone_has_no_trace_and_asks_for_none() -> None:
    (made,) = rows(ENTRY, content="answer")
    assert conversation(made) == [
        {"role": "user", "content": ENTRY["query"]},
        {"role": "assistant", "content": ENTRY["synthesis"]},
    ]
    (with_system,) = rows(ENTRY, content="answer", system="Be brief.")
    assert conversation(with_system)[0] == {"role": "system", "content": "Be brief."}


def test_preferences() -> None:
    both = rows(ENTRY, format="dpo", rejected="both")
    found = [each for each in both if isinstance(each, PreferenceRow)]
    assert [each.metadata.rejected_from for each in found] == ["thesis", "antithesis"]
    first = found[0]
    assert [(side[0].role, side[0].content) for side in (first.prompt, first.chosen, first.rejected)] == [
        ("user", ENTRY["query"]),
        ("assistant", ENTRY["synthesis"]),
        ("assistant", ENTRY["thesis"]),
    ]
    assert first.metadata.length_ratio == round(len(str(ENTRY["synthesis"])) / len(str(ENTRY["thesis"])), 4)
    (source,) = rows({**ENTRY, "answer": "Build it.", "rejected": "Do not."}, format="dpo", rejected="source")
    assert isinstance(source, PreferenceRow)
    assert (source.chosen[0].content, source.rejected[0].content) == ("Build it.", "Do not.")


@pytest.mark.parametrize(
    ("changed", "recipe", "reasons"),
    [
        ({"thesis": " "}, {}, ["empty_thesis"]),
        ({"antithesis": "..."}, {}, ["placeholder_antithesis"]),
        ({"query": "\n"}, {"format": "alpaca"}, ["empty_query"]),
        ({"synthesis": "", "answer": ""}, {"content": "answer"}, ["empty_final"]),
        ({"synthesis": ""}, {"format": "dpo", "rejected": "both"}, ["empty_synthesis", "empty_synthesis"]),
        ({"thesis": "TODO"}, {"format": "dpo", "rejected": "both"}, ["placeholder_thesis"]),
        ({"thesis": ENTRY["synthesis"]}, {"format": "dpo"}, ["same_texts"]),
        ({}, {"format": "dpo", "rejected": "source"}, ["no_source_answer"]),
        ({"thesis": "No. " * 50}, {"format": "dpo", "longest_ratio": 2.0}, ["length_ratio"]),
        ({}, {"least_score": 8}, ["low_score"]),
        ({"judge": None}, {"least_score": 1}, ["not_judged"]),
        ({"antithesis": "But.\n**SYNTHESIS**: Again."}, {}, ["repeated_sections"]),
    ],
)
def test_what_is_left_out_is_named(changed: dict[str, object], recipe: dict[str, object], reasons: list[str]) -> None:
    assert faults({**ENTRY, **changed}, **recipe) == reasons


SIDES = st.one_of(
    st.sampled_from(
        ["", " ", "...", "TODO", "<thesis>", "**THESIS**: x", "</thought>", "a <|im_end|> b", "Your thesis here"]
    ),
    st.text(max_size=40),
)


@given(
    st.fixed_dictionaries(dict.fromkeys(("query", "thesis", "antithesis", "synthesis", "answer"), SIDES)),
    st.sampled_from(FORMATS),
    st.sampled_from(REJECTED),
    st.sampled_from(["trace", "answer"]),
)
def test_no_side_is_ever_empty_and_no_turn_is_forged(
    texts: dict[str, str], format_: str, rejected: str, content: str
) -> None:
    argued = Argued(id="p-1", **texts, rejected=texts["answer"])  # type: ignore[arg-type]
    recipe = Recipe(format=format_, rejected=rejected, content=content)  # type: ignore[arg-type]
    made = list(make_rows(argued, recipe))
    assert made
    for each in made:
        if isinstance(each, SampleFault):
            assert each.reason
            continue
        told = conversation(each)
        if isinstance(each, PreferenceRow):
            told = [{"content": side[-1].content} for side in (each.prompt, each.chosen, each.rejected)]
        assert all(message["content"].strip() for message in told)
        assert not any("<|im_end|>" in message["content"] for message in told)
        if content == "trace" and not isinstance(each, PreferenceRow):
            parse_output(told[-1]["content"])


# A whole file


def make(source: Path, **recipe: object) -> tuple[Build, list[dict[str, object]]]:
    target = source.with_name("made.jsonl")
    with Staging.beside(source.parent) as staging:
        found = build(source, Recipe(**{"format": "messages", **recipe}), staging, lambda line: None)  # type: ignore[arg-type]
        staging.deal(Target.file(target), Shares())
    return found, [json.loads(line) for line in target.read_text().splitlines()]


def test_a_file_of_many_writers(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.jsonl",
        [
            row("First?"),
            row("FIRST?"),
            ENTRY,
            ENTRY,
            {**ENTRY, "synthesis": "Another day, another synthesis."},
            b"{torn",
            b"\xff\xfe\x00",
            b"",
            {"instruction": 3, "output": "x"},
            {"prompt": "a", "chosen": "b", "rejected": "c"},
        ],
    )
    found, made = make(source)
    assert [each["id"] for each in made] == [prompt_id("First?"), *[prompt_id(str(ENTRY["query"]))] * 2]
    assert found.tally.skipped == {
        "duplicate": 2,
        "broken_line": 1,
        "not_utf8": 1,
        "wrong_types": 1,
        "preference_pair": 1,
    }
    assert found.tally.places["duplicate"] == [2, 4]
    assert (found.used, found.teachers) == (3, {"kimi-code": 3})


def test_what_was_decided_by_hand_holds(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [row(f"Question {number}?") for number in range(3)])
    second = source.read_bytes().splitlines()[1]
    decision = Decision(at=1.0, action="reject", row=digest(second).hex())
    decisions_path(source).write_bytes(msgspec.json.encode(decision) + b"\n")
    found, made = make(source)
    assert (len(made), found.tally.skipped) == (2, {"rejected_by_hand": 1})


def test_our_own_data_sets_are_read_again(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [row(f"Question {number}?") for number in range(3)])
    _, first = make(source)
    for format_ in ("instruction", "alpaca", "sharegpt", "messages"):
        _, made = make(source, format=format_)
        again = write(tmp_path / "again.jsonl", made)
        assert make(again)[1] == first


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b'[\n {"query": 1}\n]\n', "3 broken_line|broken_line"),
        (b"PAR1\x15\x04", "is a Parquet file"),
        (b"\x1f\x8b\x08", "is a gzip file"),
        ('{"query"'.encode("utf-16"), "is UTF-16 text"),
        (b"a,b\n1,2\n", "broken_line"),
    ],
)
def test_a_file_that_holds_nothing(tmp_path: Path, content: bytes, words: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(content)
    with pytest.raises(UserError, match=words):
        make(source)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_instruction_rows_have_the_same_columns_whoever_wrote_them(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [row("First?", source="s", tokens=3), {**ENTRY, "metadata": {"x": [1]}}])
    _, made = make(source, format="instruction")
    kinds = [msgspec.convert(each, InstructionRow) for each in made]
    assert [each.hegelion_trace.metadata.source for each in kinds] == ["s", None]
