from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hegelion_core.conversion.convert import ConversionStoppedError, Hooks, convert_file
from hegelion_core.conversion.rendering import TrainingRow, chatml
from hegelion_core.conversion.rows import LOGGED_LINES, Tally
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.errors import ExitCode, UserError


def line(question: str, *, block: str = "thought", **more: object) -> bytes:
    output = (
        f"<{block}>\n**THESIS**: Cars should leave the city centre for good.\n"
        "**ANTITHESIS**: Many people cannot reach their work without one.\n"
        "**SYNTHESIS**: Close the streets where trams and trains already run.\n"
        f"</{block}>\nStart in the old town, and see who is left behind."
    )
    return msgspec.json.encode({"instruction": question, "input": "", "output": output, "system": "S", **more}) + b"\n"


def convert(source: Path, target: Path, log: list[str] | None = None) -> Tally:
    return convert_file(source, target, chatml(), Hooks(log=([] if log is None else log).append))


def rows(path: Path) -> list[TrainingRow]:
    return [msgspec.json.decode(row, type=TrainingRow) for row in path.read_bytes().splitlines()]


def test_rows_in_order_with_their_ids(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "new" / "out.jsonl"
    source.write_bytes(line("First?", id="p-7") + b"\n" + line("Second?"))
    assert convert(source, target) == Tally(rows=2)
    assert [row.id for row in rows(target)] == ["p-7", prompt_id("Second?")]
    assert list(target.parent.iterdir()) == [target]


def test_rows_of_other_writers_are_read(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + line("First?", block="think", hegelion_trace={"thesis": "...", "query": "x"}))
    convert(source, target)
    assert "<thought>\n**THESIS**: Cars" in rows(target)[0].text


def test_what_is_skipped_is_counted_and_named(tmp_path: Path) -> None:
    source, target, log = tmp_path / "in.jsonl", tmp_path / "out.jsonl", list[str]()
    source.write_bytes(
        line("First?")
        + b'{"instruction": broken}\n'
        + line("FIRST? ")
        + b'{"instruction": "Q", "output": "no trace"}\n'
        + b"[1, 2]\n"
        + line("Last?")[:-40]
    )
    tally = convert(source, target, log)
    assert tally.rows == 1
    assert tally.skipped == {
        "broken_line": 1,
        "duplicate": 1,
        "not_a_sample": 1,
        "no_thought_block": 1,
        "torn_last_line": 1,
    }
    assert [entry.split(": ")[0] for entry in log] == [f"in.jsonl, line {number}" for number in range(2, 7)]


def test_a_long_list_of_faults_does_not_flood_the_log(tmp_path: Path) -> None:
    source, target, log = tmp_path / "in.jsonl", tmp_path / "out.jsonl", list[str]()
    source.write_bytes(line("First?") + b"{\n" * (LOGGED_LINES + 50))
    assert convert(source, target, log).skipped["broken_line"] == LOGGED_LINES + 50
    assert len(log) == LOGGED_LINES + 1


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(line("First?") + line("Zweitens: größer?"))
    convert(source, tmp_path / "a")
    convert(source, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{\n"])
def test_no_usable_sample_leaves_the_old_file(tmp_path: Path, content: bytes) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(content)
    target.write_text("old")
    with pytest.raises(UserError, match="no usable sample"):
        convert(source, target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_stopping_leaves_the_old_file_and_goes_on_later(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(line("First?") + line("Second?"))
    target.write_text("old")
    answers = iter([False, True])
    with pytest.raises(ConversionStoppedError):
        convert_file(source, target, chatml(), Hooks(log=print, stop=lambda: next(answers)))
    assert target.read_text() == "old"
    log: list[str] = []
    assert convert(source, target, log).rows == 2
    assert log == ["Going on behind line 1: 1 rows are there."]
    assert [row.id for row in rows(target)] == [prompt_id("First?"), prompt_id("Second?")]
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such sample file") as missing:
        convert(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert missing.value.exit_code == ExitCode.USAGE
    (tmp_path / "in.jsonl").write_bytes(line("First?"))
    with pytest.raises(UserError, match=r"in\.jsonl.*cannot be written"):
        convert(tmp_path / "in.jsonl", tmp_path / "in.jsonl" / "out.jsonl")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="folder: cannot be written"):
        convert(tmp_path / "in.jsonl", tmp_path / "folder")
    with pytest.raises(UserError, match="folder: is a folder"):
        convert(tmp_path / "folder", tmp_path / "out.jsonl")


def test_the_sample_file_is_never_the_output(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(line("First?"))
    (tmp_path / "link").symlink_to("in.jsonl")
    with pytest.raises(UserError, match="is the sample file itself"):
        convert(source, tmp_path / "link")
    assert source.read_bytes() == line("First?")
