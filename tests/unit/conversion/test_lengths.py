"""Rows that are longer than a training takes: found after the conversion, named, bounded in time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hegelion_core.conversion import lengths
from hegelion_core.conversion.chat_template import ChatTokenizer, load_tokenizer
from hegelion_core.conversion.lengths import TooLong, first_of, too_long
from tests.fakes.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return load_tokenizer(make_tiny_model(tmp_path_factory.mktemp("model")))


def rows(path: Path, *texts: str) -> Path:
    lines = [{"text": text, "id": str(n), "answer_start": 0} for n, text in enumerate(texts)]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return path


def test_long_rows_are_counted_and_named_with_what_to_do(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    text = "Why do cities ban cars? " * 20
    tokens = len(tokenizer.encode(text, add_special_tokens=False))
    path = rows(tmp_path / "rows.jsonl", "short", text, "short", *[text] * 3)
    limit = tokens // 3
    found = too_long(path, tokenizer, limit)
    assert found == TooLong(limit, (2, 4, 5, 6), tokens)
    assert found.words() == (
        f"4 rows are longer than {limit} tokens (lines 2, 4, 5, ...): training would cut the beginning. "
        f"Train with --max-seq-length {tokens}, or without them."
    )
    assert too_long(path, tokenizer, tokens).words() == ""


def test_of_very_many_long_rows_the_first_are_looked_at(
    tmp_path: Path, tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lengths, "ENCODED", 2)
    path = rows(tmp_path / "rows.jsonl", *["Why do cities ban cars? " * 20] * 3)
    assert too_long(path, tokenizer, 8).words().startswith("At least 2 rows are longer than 8 tokens (lines 1, 2)")


def test_one_line_or_several() -> None:
    assert [first_of(lines) for lines in ([7], [7, 9], [1, 2, 3], [1, 2, 3, 4])] == [
        "line 7",
        "lines 7, 9",
        "lines 1, 2, 3",
        "lines 1, 2, 3, ...",
    ]
