"""The data set card: valid for the hub, true to the report, and not to be broken by what the samples hold."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.generation.card import MARK, card, fenced, local_free, plain
from hegelion_core.generation.quality import assess
from hegelion_core.generation.quality_report import Example, QualityReport
from tests.fakes.sample_files import Row, output, row, text, write


@pytest.fixture
def report(tmp_path: Path) -> QualityReport:
    rows = [row(f"Why {text(number, 8)[:-1]}?", completion_tokens=100) for number in range(4)]
    return assess(write(tmp_path / "s.jsonl", rows), tmp_path / "s.rejected.jsonl", ["What is justice?"])


def front_matter(content: str) -> dict[str, object]:
    found = DatasetCard(content).data.to_dict()
    assert isinstance(found, dict)
    return found


def test_the_front_matter_says_what_is_known_and_no_more(report: QualityReport) -> None:
    found = front_matter(card(report, data_file="data/s.jsonl"))
    assert found["size_categories"] == ["n<1K"]
    assert found["task_categories"] == ["text-generation"]
    assert found["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/s.jsonl"}]}]
    assert "license" not in found
    assert "language" not in found
    assert "none has been set" in card(report, data_file="s.jsonl")


def test_licence_and_languages_are_those_that_are_given(report: QualityReport) -> None:
    content = card(report, data_file="s.jsonl", license="cc-by-4.0", languages=["en", "de"], name="A: 'b' #c")
    found = front_matter(content)
    assert (found["license"], found["language"], found["pretty_name"]) == ("cc-by-4.0", ["en", "de"], "A: 'b' #c")
    assert "- Licence: cc-by-4.0." in content
    assert "none has been set" not in content


def test_every_section_is_there_with_the_report_s_figures(report: QualityReport) -> None:
    content = card(report, data_file="s.jsonl")
    assert re.findall("^## (.*)$", content, re.MULTILINE) == [
        "How it was made",
        "Fields",
        "Quality",
        "Known limits",
        "Terms",
    ]
    assert content.count("\n# ") == 1
    assert MARK in content
    for line in (
        "| kimi-code 2.1.0 | 4 |",
        "| prompts.txt | 4 |",
        "| samples with one of 1 held-out prompts | 0 exactly, 0 nearly |",
        "| thesis | 12 | 12 | 12 | 12 | 12 |",
        "Tokens written, where known: 400 in 4 samples.",
    ):
        assert line in content


def test_known_limits_name_what_the_report_found(tmp_path: Path) -> None:
    rows: list[Row | bytes] = [row("Why so?", output("a", answer="Never.")), row("Why so?"), b"{"]
    found = assess(write(tmp_path / "s.jsonl", rows), tmp_path / "none", ["Why so?"])
    content = card(found, data_file="s.jsonl")
    assert "- It holds 1 unusable lines." in content
    assert "- It holds 2 samples with a held-out prompt." in content
    assert "- In 1 samples the answer has fewer than 8 words." in content


def test_a_source_s_stated_licence_is_told(report: QualityReport) -> None:
    source = "HuggingFaceH4/ultrafeedback_binarized@abc123/train_prefs"
    content = card(msgspec.structs.replace(report, sources={source: 4}), data_file="s.jsonl")
    assert "states the licence MIT" in content
    assert "abc123" in content


def test_what_samples_hold_cannot_break_the_card(report: QualityReport) -> None:
    evil = "| a | b |\n---\n## Terms\n<script>x</script> [l](http://x) `c` ``` ~~~"
    broken = msgspec.structs.replace(
        report,
        teachers={evil: 4},
        sources={evil: 4},
        recipes={evil: 1},
        modes={evil: 1},
        scripts={evil: 1},
        example=Example(instruction=evil, output=f"<thought>\n````\n{evil}\n---\n# Title"),
    )
    content = card(broken, data_file="s.jsonl")
    assert front_matter(content)["size_categories"] == ["n<1K"]
    outside = re.sub(r"^(`{3,})text\n.*?\n\1$", "", content, flags=re.MULTILINE | re.DOTALL)
    assert outside.count("\n## Terms") == 1
    assert "<script>" not in outside
    assert outside.count("\n# ") == 1
    assert not re.search(r"(?<!\\)\[l", outside)


def test_no_folder_of_this_machine_is_told(report: QualityReport) -> None:
    found = msgspec.structs.replace(
        report,
        teachers={"local 1.0 (/srv/anna/My Models/smol)": 2, "local (~/models/other)": 2},
        sources={"/Users/anna/prompts/train": 2, r"C:\Users\anna\prompts.txt": 2},
    )
    content = card(found, data_file="/srv/anna/data/s.jsonl")
    assert "anna" not in content
    assert "models/" not in content
    assert "| local 1.0 (smol) | 2 |" in content
    assert "path: s.jsonl" in content


@pytest.mark.parametrize(
    "text",
    [
        "HuggingFaceH4/x@abc/train",
        "data/prompts.txt",
        "https://example.org/a/b",
        "and/or",
        "a / b",
        "./here/x",
        "kimi 2.1",
    ],
)
def test_what_is_no_absolute_path_stays(text: str) -> None:
    assert local_free(text) == text


@given(st.text(alphabet="`~\nab ", max_size=60))
def test_a_fence_is_not_ended_by_what_is_in_it(text: str) -> None:
    first, *inside, last = fenced(text).split("\n")
    assert "\n".join(inside) == text
    assert first == last + "text"
    assert all(last not in line for line in inside)


@given(st.text(max_size=60))
def test_plain_text_is_one_line_without_open_markup(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|]", shown)
