"""Fenced blocks and inline code."""

from __future__ import annotations

import pytest

from hegelion_core.dialectic.code_spans import blocks, is_open, without_code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ```b``` c", False),
        ("```\na\n```", False),
        ("```\na", True),
        ("```\na\n```\n```py", True),
        ("````\n```\na", True),
        ("````\n```\n````", False),
        ("~~~\n```\n~~~", False),
        ("- ```js\n  a\n  ```", False),
        ("```\n```a", True),
    ],
)
def test_open_fences(text: str, expected: bool) -> None:
    assert is_open(text) is expected


def test_blocks_and_what_is_left() -> None:
    text = "one `two` three\n```Python\nfour\n```\nfive\n```\nsix"
    assert [(text[start:end], info) for start, end, info in blocks(text)] == [("```Python\nfour\n```", "python")]
    assert without_code(text) == "one   three\n\n\nfive\n```\nsix"
