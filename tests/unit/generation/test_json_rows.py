"""JSON files of a data set: what Arrow reads, and what ends the process that lets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hegelion_core.data_sets.source_answers import RejectedAnswers
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import json_rows
from hegelion_core.generation.data_sets import open_data_set
from hegelion_core.generation.json_rows import JsonRows

GOOD = {"prompt": "Why?", "rejected": "Because."}
LINE = json.dumps(GOOD)
DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.jsonl", f"{LINE}\n\n{LINE}", [GOOD, GOOD]),
        ("a.jsonl", f"\ufeff{LINE}\r\n", [GOOD]),
        ("a.jsonl", f"[{LINE}, {LINE}]", [GOOD, GOOD]),
        ("a.json", json.dumps([GOOD, GOOD], indent=1), [GOOD, GOOD]),
        ("a.json", json.dumps(GOOD, indent=1), [GOOD]),
        ("a.json", f"{LINE}\n{LINE}\n", [GOOD, GOOD]),
        ("a.json", '\n["Why?", "How?"]', [{"text": "Why?"}, {"text": "How?"}]),
        ("a.jsonl", "", []),
    ],
)
def test_what_is_read(tmp_path: Path, name: str, content: str, rows: list[object]) -> None:
    (tmp_path / name).write_text(content)
    read = JsonRows([tmp_path / name, tmp_path / name])
    assert list(read) == list(read) == rows * 2


def test_numbers_that_only_python_writes_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "Why?", "score": NaN}\n{"prompt": "How?", "score": -Infinity}\n')
    assert [row["prompt"] for row in JsonRows([tmp_path / "a.jsonl"])] == ["Why?", "How?"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("null\n", ", line 1"),
        (f"{LINE}\nnull\n", ", line 2"),
        (DEEP, ", line 1"),
        (f"{LINE}\n{DEEP}\n", ", line 2"),
        (f"{LINE}\n" + DEEP.replace(":", ":\n"), ", line 2"),
        ("[" * 1_000_000, ""),
        (f"[null, {LINE}]", ", row 1"),
        (f"{LINE}\n[1]\n", ", line 2"),
        (f'{LINE}\n{{"prompt": "Wh', ", line 2"),
        (f'{LINE}\n{{"score": NaN, "prompt": {DEEP}}}\n', ", line 2"),
        (f"{LINE}\n{LINE} null\n", ", line 2"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "folder/train.jsonl"])
def test_what_would_end_the_process_is_refused_in_words(tmp_path: Path, name: str, content: str, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_text(content)
    with RejectedAnswers() as answers, pytest.raises(UserError) as refused:
        answers.read(name.split("/")[0], "train", None, tmp_path, print)
    assert refused.value.exit_code == ExitCode.USAGE
    assert f"{name}{place}: is not a JSON object (" in refused.value.message
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 500


def test_a_document_that_is_too_large_to_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "LARGEST", 50)
    (tmp_path / "a.json").write_text(f"[{LINE}, {LINE}]")
    with pytest.raises(UserError, match=r"a\.json: is one JSON document of more than .* MiB"):
        list(JsonRows([tmp_path / "a.json"]))


def test_a_column_may_be_missing_in_the_first_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"prompt": "How?"}}\n{{"prompt": null}}\n{LINE}\n')
    opened = open_data_set("a.jsonl", "train", None, tmp_path, ("rejected",))
    assert list(opened.texts("rejected")) == [("How?", None), ("", None), ("Why?", "Because.")]
