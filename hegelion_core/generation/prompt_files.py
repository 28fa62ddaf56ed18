"""Prompts from a file: a text file with a prompt a line, or JSON lines. Every fault names its file and line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE

COLUMNS = ("prompt", "instruction", "query", "text")
"""Where a prompt stands in a JSON row: the first of these that is there."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class SourcePrompt:
    """A prompt as its source has it. ``row`` counts from 1 in a file (its line), from 0 in a data set."""

    text: str
    source: str
    row: int


def read_prompt_file(path: Path) -> Iterator[SourcePrompt]:
    """The prompts of a file: JSON lines if its name ends in ``.jsonl`` or ``.ndjson``, else a prompt a line.

    UTF-8, with or without a byte order mark; line ends of any system; blank lines, and in text files lines that begin
    with ``#``, are left out.

    Raises:
        UserError: the file or one of its lines cannot be read.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # to open a pipe or a device could take for ever
        raise UserError(f"{path}: is no regular file.", "Write the prompts into a file first.", ExitCode.USAGE)
    parse = _json_prompt if path.suffix.lower() in (".jsonl", ".ndjson") else _text_prompt
    try:
        with open_regular(path) as file:
            for number, line in enumerate(file, start=1):
                content = line.removeprefix(_BOM) if number == 1 else line
                if content.strip() and (text := parse(content.strip(), f"{path}, line {number}")):
                    yield SourcePrompt(text, path.name, number)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}).",
            "Give a text file with a prompt a line, or a .jsonl file with a 'prompt' in each row.",
            ExitCode.USAGE,
        ) from None


def _text_prompt(line: bytes, place: str) -> str:
    if line.startswith(b"#"):
        return ""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{place}: is not UTF-8 text ({error.reason} at byte {error.start + 1}).",
            "Save the file as UTF-8, or mend that line.",
            ExitCode.USAGE,
        ) from None


def _json_prompt(line: bytes, place: str) -> str:
    try:
        row = msgspec.json.decode(line, type=dict[str, object])
    except UNREADABLE as error:
        raise UserError(
            f"{place}: is not a JSON object ({error}).", "Mend or remove that line.", ExitCode.USAGE
        ) from None
    text = next((value for name in COLUMNS if isinstance(value := row.get(name), str)), None)
    if text is None:
        found = ", ".join(row) or "nothing"
        raise UserError(
            f"{place}: has no prompt; it holds {found[:200]}.",
            f"Each row needs a text named {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}.",
            ExitCode.USAGE,
        )
    return text
