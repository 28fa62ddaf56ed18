"""What stands in a sample file that people, editors and crashes had their hands on: kept, counted once, never fatal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hegelion_core.dialectic.contract import read_sample
from hegelion_core.generation.store import SampleStore
from tests.fakes.good_answers import good_text

ONE, TWO = "Should cities ban cars?", "Is work good for people?"


def line(question: str, **changes: object) -> bytes:
    """A good row of another program."""
    row = {"instruction": question, "input": "", "output": good_text(question)}
    return json.dumps({**row, **changes}).encode() + b"\n"


THINK = line(ONE, output=good_text(ONE).replace("thought>", "think>"))


@pytest.mark.parametrize(
    ("content", "accepted", "unusable"),
    [
        (b"\xef\xbb\xbf" + line(ONE), 1, 0),
        (line(ONE).replace(b"\n", b"\r\n"), 1, 0),
        (line(ONE) + line(TWO)[:90], 1, 0),
        (line(ONE) + b"\n\r\n  \n" + line(TWO), 2, 0),
        (line(ONE) + line(ONE), 1, 0),
        (THINK, 1, 0),
        (b"\x00" * 4096 + b"\n" + line(ONE), 1, 1),
        (b"\xff\xfe\x00\n" + line(ONE), 1, 1),
        (b'5\n[]\n"x"\nnull\n{}\n' + line(ONE), 1, 5),
        (b'{"instruction": ' + b"[" * 100_000 + b"\n" + line(ONE), 1, 1),
        (b'{"instruction": 1e999, "output": 99999999999999999999}\n' + line(ONE), 1, 1),
        (line(ONE, input="\ud800") + line(TWO), 1, 1),
        (b"x" * 9_000_000 + b"\n" + line(ONE), 1, 1),
    ],
    ids=[
        *("byte order mark", "CRLF", "torn", "blank lines", "twice", "think"),
        *("NULs", "binary", "other values", "deep", "huge numbers", "lone surrogate", "long line"),
    ],
)
def test_rows_are_counted_whoever_wrote_them(tmp_path: Path, content: bytes, accepted: int, unusable: int) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    store = SampleStore(path)
    assert (store.accepted, store.unusable) == (accepted, unusable)
    again = SampleStore(path)  # from the kept verdicts
    assert (again.accepted, again.unusable) == (accepted, unusable)
    assert path.read_bytes().startswith(content)


def test_what_is_appended_after_a_row_without_an_end_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    content = line(ONE)[:-1]
    path.write_bytes(content)
    sample = read_sample(line(TWO))
    assert SampleStore(path).append(sample, 5) == "accepted"
    assert path.read_bytes().startswith(content + b"\n")
    assert SampleStore(path).accepted == 2


@pytest.mark.parametrize(
    ("content", "rejected"),
    [
        (b"\xff\xfe\x00\n", 0),
        (b'{"kind": "rejected", "text": "\xff"}\n', 1),
        (b'{"text": ' + b"[" * 100_000 + b"\n", 0),
        (b'{"kind": "failed"}\n{"kind": "rejected"}\n{"kind": "rej', 1),
        (b'{"kind": 5}\n[]\n\n', 0),
    ],
    ids=["binary", "not UTF-8", "deep", "torn", "other values"],
)
def test_a_rejected_file_of_any_kind_stops_nothing(tmp_path: Path, content: bytes, rejected: int) -> None:
    (tmp_path / "s.rejected.jsonl").write_bytes(content)
    assert SampleStore(tmp_path / "s.jsonl").rejected == rejected
