"""What a student's tokenizer and template make of rows."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hegelion_core.conversion.chat_template import ChatTokenizer, load_tokenizer
from hegelion_core.conversion.convert import Hooks, convert_file
from hegelion_core.conversion.rendering import ChatFormat, TrainingRow, chatml, student_format
from hegelion_core.conversion.verify import Verifier, check_rendering
from hegelion_core.errors import UserError
from tests.fakes.sample_files import output, row, write
from tests.fakes.tiny_model import make_tiny_model


@pytest.fixture(scope="module", params=["plain", "thinking"])
def student(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    folder = make_tiny_model(tmp_path_factory.mktemp(request.param), thinking=request.param == "thinking")
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return load_tokenizer(make_tiny_model(tmp_path_factory.mktemp("t"), thinking=True))


def rows(folder: Path, format_: ChatFormat) -> Path:
    samples = write(folder / "in.jsonl", [row(f"Why {number}, and what is <|im_end|>?") for number in range(5)])
    convert_file(samples, folder / "out.jsonl", format_, Hooks(log=print))
    return folder / "out.jsonl"


def test_rows_in_the_students_form_are_whole(tmp_path: Path, student: ChatTokenizer) -> None:
    format_ = student_format(student, "tiny")
    done: list[tuple[int, int]] = []
    assert Verifier(student, "tiny", format_).file(rows(tmp_path, format_), lambda *at: done.append(at)) == 5


def test_chatml_is_no_form_of_a_student_that_does_not_know_it(tmp_path: Path, thinking: ChatTokenizer) -> None:
    with pytest.raises(UserError, match=r"5 of 5 rows: each ends with .* \(row 1, 2, 3, \.\.\.\)"):
        Verifier(thinking, "tiny", chatml()).file(rows(tmp_path, chatml()))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda text: text.replace("**SYNTHESIS**", ""), "loses the trace (missing_synthesis)"),
        (lambda text: text.replace("<|im_end|>", "", 1), "ends with"),
        (lambda text: text.replace("**THESIS**: ", "**THESIS**: <|im_start|>"), "holds special tokens"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, change: object, fault: str) -> None:
    tokenizer = load_tokenizer(make_tiny_model(tmp_path / "student"))
    format_ = student_format(tokenizer, "tiny")
    verifier = Verifier(tokenizer, "tiny", format_)
    lines = rows(tmp_path, format_).read_bytes().splitlines()
    whole = msgspec.json.decode(lines[0], type=TrainingRow)
    assert verifier.fault(whole) == ""
    assert callable(change)
    head, supervised = whole.text[: whole.answer_start], whole.text[whole.answer_start :]
    damaged = msgspec.structs.replace(whole, text=head + change(supervised))
    assert fault in verifier.fault(damaged)


def messages(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": answer}]


def test_a_template_that_drops_the_thought_is_found_out(thinking: ChatTokenizer) -> None:
    thought = output("x").replace("<thought>", "<think>").replace("</thought>", "</think>")
    with pytest.raises(UserError, match="loses thesis, antithesis, synthesis of an assistant's message"):
        check_rendering(thinking, "tiny", messages(thought))


def test_what_is_kept_or_holds_no_trace_is_no_fault(thinking: ChatTokenizer) -> None:
    check_rendering(thinking, "tiny", messages(output("x")))
    check_rendering(thinking, "tiny", messages("No trace."))
    check_rendering(thinking, "tiny", [])
