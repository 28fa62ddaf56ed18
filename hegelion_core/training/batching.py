"""Training rows: reading, splitting, token ids. Pure, but for reading; NumPy only.

A *row* is a line of the training file; a *token row* is its token ids and where supervision begins. What makes
batches of them is in ``plan.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import msgspec
import numpy as np
import numpy.typing as npt

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE

Ints: TypeAlias = npt.NDArray[np.int32]


# Rows


@dataclass(frozen=True)
class Row:
    """A line of the training file."""

    id: str
    """Of the sample, and so of its prompt; of the text, where the file has none."""
    text: str
    """What the student reads and writes, from the begin token to the end token."""
    answer_start: int = 0
    """Character at which supervision begins; 0: everything is supervised."""
    line: int = 0
    """Of the file, counted from 1."""


class _Line(msgspec.Struct, frozen=True):
    text: str
    id: str | int | None = None
    answer_start: int | None = None


def read_rows(path: Path) -> list[Row]:
    """The rows of a training file (JSON lines with ``text``, and optionally ``id`` and ``answer_start``).

    Raises:
        UserError: the file cannot be read, holds no row, or has a line that is no row (file and line number).
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a file.", _file_within(path), ExitCode.USAGE)
    rows: list[Row] = []
    decoder = msgspec.json.Decoder(_Line)
    try:
        with open_regular(path) as file:
            for number, line in enumerate(file, start=1):
                if content := line.removeprefix(b"\xef\xbb\xbf").strip():
                    rows.append(_row(content, decoder, path, number))
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such file.", "Convert the samples first: hegelion-console convert.", ExitCode.USAGE
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).", "Check the file.", ExitCode.USAGE) from None
    if not rows:
        raise UserError(
            f"{path}: holds no rows.", "Generate and convert samples first, or give another file.", ExitCode.USAGE
        )
    return rows


def _file_within(folder: Path) -> str:
    """Which file of a folder of training data is meant, such as mlx-lm's ``train.jsonl``."""
    found = sorted(path for path in folder.rglob("*.jsonl") if path.is_file())[:20]
    named = [path for path in found if path.stem == "train"] or found
    if named:
        return f"Give the file itself: {named[0]}"
    if any(folder.rglob("*.arrow")):
        return "It is a data set as save_to_disk writes it; export its rows as JSON lines with a text (to_json)."
    return "Give a JSONL file, each of whose lines holds a text."


def _row(content: bytes, decoder: msgspec.json.Decoder[_Line], path: Path, number: int) -> Row:
    where = f"{path}, line {number}"
    try:
        line = decoder.decode(content)
    except UNREADABLE as error:
        raise UserError(
            f"{where}: is not a training row ({error}).",
            'Each line is a JSON object with a "text"; samples become rows by: hegelion-console convert SAMPLES ROWS.',
            ExitCode.USAGE,
        ) from None
    start = line.answer_start or 0
    if not 0 <= start <= len(line.text):
        raise UserError(
            f"{where}: answer_start {start} is outside the text of {len(line.text)} characters.",
            "Convert the samples again, or remove answer_start to supervise the whole text.",
            ExitCode.USAGE,
        )
    name = _digest(line.text) if line.id is None else str(line.id)
    return Row(name, line.text, start, number)


def split_rows(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows for training and rows held out, each in the order of the file.

    Rows with the same ``id`` or the same text before the answer have the same prompt and stay together. About
    ``share`` of the prompts is held out: at least one where there are two or more, and never all. Which ones depends
    only on the seed and the prompts, not on their order.
    """
    prompts = _prompts(rows)
    distinct = sorted(set(prompts), key=lambda prompt: _digest(f"{seed}:{prompt}"))
    wanted = max(1, round(share * len(distinct))) if share > 0 else 0
    held_out = set(distinct[: min(wanted, len(distinct) - 1)])
    train = [row for row, prompt in zip(rows, prompts, strict=True) if prompt not in held_out]
    return train, [row for row, prompt in zip(rows, prompts, strict=True) if prompt in held_out]


def _prompts(rows: Sequence[Row]) -> list[str]:
    """A name for each row's prompt: the smallest id among the rows that share it."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (parent := parents.setdefault(name, name)) != name:
            name = parent
        return name

    for row in rows:
        if row.answer_start:
            mine, shared = root(f"id:{row.id}"), root(f"prompt:{_digest(row.text[: row.answer_start])}")
            parents[max(mine, shared)] = min(mine, shared)  # "id:" sorts first, so that roots are ids
    return [root(f"id:{row.id}") for row in rows]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# Token ids


@dataclass(frozen=True)
class TokenRow:
    """Token ids of a row; those from ``start`` (at least 1, since the first has no context) on are supervised."""

    ids: Ints
    start: int
    line: int = 0
    """Of the training file, counted from 1."""

    @property
    def supervised(self) -> int:
        """Number of supervised tokens."""
        return len(self.ids) - self.start


@dataclass(frozen=True)
class EncodedRows:
    """Token rows, and what became of those that did not fit."""

    rows: tuple[TokenRow, ...]
    cut: tuple[int, ...] = ()
    """Lines of rows that were longer than the limit and lost part of their beginning."""
    answers_cut: int = 0
    """How many of those lost part of what is supervised, too."""
    longest: int = 0
    """Tokens of the longest row, before it was cut."""
    skipped: tuple[int, ...] = ()
    """Lines of rows without a supervised token."""

    @property
    def supervised(self) -> int:
        """Supervised tokens in all."""
        return sum(row.supervised for row in self.rows)


class HuggingFaceTokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    is_fast: bool

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool
    ) -> dict[str, list[object]]: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


Encode: TypeAlias = Callable[[Row], tuple[list[int], int]]
"""A row to its token ids and the index of the first supervised one."""


def encoder(tokenizer: object) -> Encode:
    """How to encode rows with a transformers tokenizer, or with mlx-lm's wrapper of one.

    No special tokens are added, since a row's text holds them. A token that straddles ``answer_start`` is supervised.
    """
    inner = cast(HuggingFaceTokenizer, tokenizer if callable(tokenizer) else vars(tokenizer)["_tokenizer"])

    def by_offsets(row: Row) -> tuple[list[int], int]:
        encoding = inner(row.text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = cast(list[int], encoding["input_ids"]), cast(list[tuple[int, int]], encoding["offset_mapping"])
        return ids, next((i for i, (_, end) in enumerate(offsets) if end > row.answer_start), len(ids))

    def by_prefix(row: Row) -> tuple[list[int], int]:
        ids = inner.encode(row.text, add_special_tokens=False)
        prompt = inner.encode(row.text[: row.answer_start], add_special_tokens=False)
        same = (a == b for a, b in zip(ids, prompt, strict=False))
        return ids, next((i for i, equal in enumerate(same) if not equal), min(len(ids), len(prompt)))

    return by_offsets if inner.is_fast else by_prefix


def encode_rows(rows: Iterable[Row], encode: Encode, max_seq_length: int) -> EncodedRows:
    """Encode rows; cut over-long ones, leave out those without a supervised token, and count both.

    A cut keeps the first token (models lean on it, and it is the begin token where there is one) and the last
    ``max_seq_length - 1``: the prompt goes first, the end token never.
    """
    kept: list[TokenRow] = []
    cut: list[int] = []
    skipped: list[int] = []
    answers_cut = longest = 0
    for row in rows:
        ids, start = encode(row)
        longest = max(longest, len(ids))
        excess = max(0, len(ids) - max_seq_length)
        tokens = np.asarray(ids[:1] + ids[1 + excess :], dtype=np.int32)
        token_row = TokenRow(tokens, max(1, start - excess), row.line)
        if token_row.supervised <= 0:
            skipped.append(row.line)
            continue
        if excess:
            cut.append(row.line)
            answers_cut += start <= excess
        kept.append(token_row)
    return EncodedRows(tuple(kept), tuple(cut), answers_cut, longest, tuple(skipped))
