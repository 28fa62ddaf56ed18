"""Prompt files that hold something else than prompts: every fault names its file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.prompt_files import read_prompt_file


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.jsonl", b'{"prompt": "Is it?"}\n{"title": 1}\n', ["line 2", "title", "prompt, instruction"]),
        ("p.jsonl", b'{"prompt": 5}\n', ["line 1", "prompt"]),
        ("p.jsonl", b'{"prompt": "Is \\ud800 it?"}\n', ["line 1"]),
        ("p.jsonl", b'{"prompt": "\xff"}\n', ["line 1"]),
        ("p.jsonl", b'\n\n{"prompt": ' + b"[" * 100_000 + b"\n", ["line 3"]),
        ("p.jsonl", b'null\n{"prompt": "Is it?"}\n', ["line 1", "object"]),
        ("p.txt", b"Is it?\n\xff\xfe\n", ["line 2", "UTF-8"]),
        ("p.txt", "Is it?\n".encode("utf-16"), ["line 1", "UTF-8"]),
    ],
)
def test_the_line_at_fault_is_named(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(read_prompt_file(path))
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.hint
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """Opening it would wait for a writer."""
    path = tmp_path / "pipe.txt"
    os.mkfifo(path)
    with pytest.raises(UserError, match=r"pipe\.txt"):
        list(read_prompt_file(path))


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfIs it?\r\nIs it not?\r\n", b"# note\n\n Is it?\t\nIs it not?"])
def test_marks_comments_and_line_ends_of_any_system(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(content)
    assert [prompt.text for prompt in read_prompt_file(path)] == ["Is it?", "Is it not?"]
