from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hegelion_core.conversion.convert import ConversionStoppedError, Hooks, convert_file
from hegelion_core.conversion.part_file import PartFile
from hegelion_core.conversion.rendering import TrainingRow, chatml
from hegelion_core.conversion.rows import LOGGED_LINES, Tally
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.sample import Sample
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.decisions import read_undecided
from hegelion_core.generation.store import SampleStore
from hegelion_core.generation.verdicts import cache_path
from hegelion_core.spill import HELD, SeenKeys, open_unnamed


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


def big(path: Path, count: int = 40) -> Path:
    """A file with samples, a duplicate, and lines that are none."""
    lines = [line(f"Question number {number}?", id=f"p-{number}") for number in range(count)]
    path.write_bytes(b"".join([*lines[: count // 2], lines[3], b"{\n", b"\n", *lines[count // 2 :]]) + lines[0][:50])
    return path


def stopping(after: int) -> Hooks:
    """Stops a conversion after some lines, as a kill would: what is behind the last mark is lost."""
    count = iter(range(10_000))
    return Hooks(log=lambda line: None, stop=lambda: next(count) >= after)


@settings(max_examples=20)
@given(after=st.lists(st.integers(0, 44), max_size=3), torn=st.integers(0, 60), held=st.sampled_from([1, 7, 25, HELD]))
def test_whenever_it_is_killed_the_bytes_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, after: list[int], torn: int, held: int
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    source, target = big(folder / "in.jsonl"), folder / "out.jsonl"
    whole = convert(source, folder / "whole.jsonl")
    for lines in after:
        with contextlib.suppress(ConversionStoppedError), holding(held):
            convert_file(source, target, chatml(), stopping(lines))
        part, journal = folder / ".out.jsonl.part", folder / ".out.jsonl.part.journal"
        if part.exists():  # a kill leaves rows behind the last mark, and may tear the journal
            part.write_bytes(part.read_bytes() + b"{torn")
            journal.write_bytes(journal.read_bytes() + b'{"key":"x","offset":12'[:torn])
    with holding(held):
        assert convert(source, target) == whole
    assert target.read_bytes() == (folder / "whole.jsonl").read_bytes()
    assert not list(folder.glob(".out*"))


@contextlib.contextmanager
def holding(keys: int) -> Iterator[None]:
    """Only so many prompts are known in memory, the others lie on the disk."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hegelion_core.conversion.convert.SeenKeys", partial(SeenKeys, keys))
        yield


def test_a_full_temporary_folder_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target, log = big(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", list[str]()
    target.write_text("old")
    whole = convert(source, tmp_path / "whole.jsonl")
    stopped(source, target, 10)

    def full(table: str) -> sqlite3.Connection:
        opened = open_unnamed(table)
        opened.execute("PRAGMA max_page_count = 2")  # the second is the table's: with some thousand bytes it is full
        return opened

    with holding(1), monkeypatch.context() as patched:
        patched.setattr("hegelion_core.spill.open_unnamed", full)
        source.write_bytes(source.read_bytes() + b"\n" + b"".join(line(f"More {number}?") for number in range(400)))
        with pytest.raises(UserError, match=r"no temporary file can be kept there \(database or disk is full\)"):
            convert(source, target, log)
    assert target.read_text() == "old"
    assert convert(source, target, log).rows == whole.rows + 400
    assert [entry for entry in log if "Going on" in entry] == ["Going on behind line 10: 10 rows are there."] * 2


def stopped(source: Path, target: Path, lines: int = 30) -> None:
    with pytest.raises(ConversionStoppedError):
        convert_file(source, target, chatml(), stopping(lines))


@pytest.mark.parametrize("change", ["input", "decisions", "rows"])
def test_what_was_changed_meanwhile_is_converted_anew(tmp_path: Path, change: str) -> None:
    source, target, log = big(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", list[str]()
    stopped(source, target)
    match change:
        case "input":
            source.write_bytes(source.read_bytes().replace(b"number 7?", b"number 77?"))
        case "decisions":
            (tmp_path / "in.decisions.jsonl").write_bytes(b"{}\n")
        case "rows":
            (tmp_path / ".out.jsonl.part").write_bytes(b"")
    assert convert(source, target, log).rows == 40
    assert not any("Going on" in entry for entry in log)
    assert [row.id for row in rows(target)] == [f"p-{number}" for number in range(40)]


def test_a_file_that_grew_meanwhile_is_gone_on_with(tmp_path: Path) -> None:
    source, target, log = big(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", list[str]()
    stopped(source, target)
    source.write_bytes(source.read_bytes() + b"\n" + line("A new one?"))
    assert convert(source, target, log).rows == 41
    assert log[0].startswith("Going on behind line 30")


def test_another_conversion_into_the_same_file_is_refused(tmp_path: Path) -> None:
    source, target = big(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    with PartFile.open(target), pytest.raises(UserError, match="another conversion is writing it"):
        convert(source, target)


def test_what_the_contract_said_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, asked = big(tmp_path / "in.jsonl"), list[bytes]()
    cache_path(source).write_bytes(b"verdicts 2 0123456789abcdef\n")  # of another contract
    first = convert(source, tmp_path / "a")
    assert SampleStore(source).accepted == 40  # the core uses the same verdicts

    def asking(line: bytes) -> tuple[Sample, bool]:
        asked.append(line)
        return read_undecided(line)

    monkeypatch.setattr("hegelion_core.conversion.rows.read_undecided", asking)
    assert convert(source, tmp_path / "b") == first
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert [len(line) for line in asked] == [2, 50]  # what is no sample is looked at, to say why


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hegelion_core.generation.sample_rows.MAX_LINE", 1000)
    monkeypatch.setattr("hegelion_core.conversion.rows.MAX_LINE", 1000)
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(line("First?") + line("x" * 5000) + line("Last?"))
    tally = convert(source, target)
    assert (tally.rows, tally.skipped, tally.places) == (2, {"too_long": 1}, {"too_long": [2]})
    assert tally.words("Left out") == ["Left out: 1 too_long (line 2)"]


def test_a_check_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    source, target = big(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    target.write_text("old")

    def check(rows: Path) -> None:
        assert rows.read_bytes().count(b"\n") == 40
        raise UserError("The trace is lost.")

    with pytest.raises(UserError, match="lost"):
        convert_file(source, target, chatml(), Hooks(log=print, check=check))
    assert target.read_text() == "old"
    assert not list(tmp_path.glob(".out*"))
