"""Training rows to batches: reading, splitting, token ids, widths and the order of an epoch. Pure; NumPy only.

A *row* is a line of the training file; a *token row* is its token ids and where supervision begins. Batches are a
pure function of (token rows, batch size, seed, step), so that a resumed training needs only its step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import msgspec
import numpy as np
import numpy.typing as npt

from hegelion_core.errors import ExitCode, UserError

Ints: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float32]

WIDTH_UNIT = 32
"""Widths of batches are multiples of this, which suits every device's matrix products."""
MAX_SHAPES = 16
"""Input shapes of a whole training: each is one trace of a compiled step, and traces are never evicted."""


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
        with path.open("rb") as file:
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
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{where}: is not a training row ({error}).",
            'Each line is a JSON object with a "text"; mend or remove the line, or convert the samples again.',
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
    cut: int
    """Rows that were longer than the limit and lost part of their beginning."""
    skipped: int
    """Rows without a supervised token."""

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
    cut = skipped = 0
    for row in rows:
        ids, start = encode(row)
        excess = max(0, len(ids) - max_seq_length)
        tokens = np.asarray(ids[:1] + ids[1 + excess :], dtype=np.int32)
        token_row = TokenRow(tokens, max(1, start - excess), row.line)
        if token_row.supervised <= 0:
            skipped += 1
            continue
        cut += excess > 0
        kept.append(token_row)
    return EncodedRows(tuple(kept), cut, skipped)


# Batches


@dataclass(frozen=True)
class Batch:
    """What one pass of the model sees. B rows, padded to width W; P supervised positions, padded too."""

    rows: Ints
    """(B,) which token rows."""
    inputs: Ints
    """(B, W) token ids."""
    positions: Ints
    """(P,) indices into the B · W positions, whose next token is supervised."""
    targets: Ints
    """(P,) that next token."""
    weights: Floats
    """(P,) 1 for a supervised token, 0 for padding."""

    @property
    def tokens(self) -> int:
        """Supervised tokens."""
        return int(self.weights.sum())


def tokens_of(batches: Iterable[Batch]) -> int:
    """Supervised tokens of several."""
    return sum(batch.tokens for batch in batches)


class BatchPlan:
    """Which rows each step sees, in batches of few shapes.

    An epoch takes every row once. Rows of similar length come together, in batches of nearly equal size and in an
    order that the seed and the epoch decide.
    """

    def __init__(
        self, rows: Sequence[TokenRow], batch_size: int, seed: int, micro_batch_size: int | None = None
    ) -> None:
        """Plan over at least one row.

        Args:
            batch_size: rows that an optimizer step sees, at most.
            micro_batch_size: rows that pass the model at a time, at most; none: all of a step's.
        """
        self._rows = rows
        self._seed = seed
        self._micro = micro_batch_size or batch_size
        self.batches_per_epoch = math.ceil(len(rows) / batch_size)
        chunks = np.array_split(np.arange(len(rows)), self.batches_per_epoch)
        sizes = {len(part) for chunk in chunks for part in self._split(chunk)}
        units = np.array([math.ceil((len(row.ids) - 1) / WIDTH_UNIT) for row in rows])
        self.widths = tuple(WIDTH_UNIT * unit for unit in best_widths(units, MAX_SHAPES // len(sizes)))
        self._class = np.searchsorted(self.widths, WIDTH_UNIT * units)
        self._positions = {(size, width): self._most_supervised(size, width) for size in sizes for width in self.widths}
        self._epoch: tuple[int, list[npt.NDArray[np.intp]]] = (-1, [])

    @property
    def tokens_per_epoch(self) -> int:
        """Supervised tokens in one epoch: N of the SCU formulas."""
        return sum(row.supervised for row in self._rows)

    def step(self, step: int) -> list[Batch]:
        """What an optimizer step sees, in micro-batches; steps count from 1."""
        epoch, index = divmod(step - 1, self.batches_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        return [self._make(part) for part in self._split(self._epoch[1][index])]

    @property
    def padded_tokens(self) -> int:
        """Length of all rows, each padded to its own width."""
        return sum(self.widths[index] for index in self._class)

    def inputs_of(self, index: int) -> Ints:
        """(W,) token ids of one row, padded to its own width."""
        ids = self._rows[index].ids[:-1]
        return np.pad(ids, (0, self.widths[self._class[index]] - len(ids)))

    def every_row_once(self) -> Iterable[Batch]:
        """The batches of one epoch, for validation."""
        return (batch for step in range(1, self.batches_per_epoch + 1) for batch in self.step(step))

    def _split(self, chosen: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
        return np.array_split(chosen, math.ceil(len(chosen) / self._micro))

    def _order(self, epoch: int) -> list[npt.NDArray[np.intp]]:
        generator = np.random.default_rng([self._seed, epoch])
        shuffled = generator.permutation(len(self._rows))
        by_width = shuffled[np.argsort(self._class[shuffled], kind="stable")]
        batches = np.array_split(by_width, self.batches_per_epoch)
        return [batches[i] for i in generator.permutation(len(batches))]

    def _most_supervised(self, size: int, width: int) -> int:
        """Supervised tokens that a batch of this shape can have at most, so that the shape decides P as well."""
        fitting = sorted(row.supervised for row in self._rows if len(row.ids) - 1 <= width)
        return math.ceil(sum(fitting[-size:]) / WIDTH_UNIT) * WIDTH_UNIT

    def _make(self, chosen: npt.NDArray[np.intp]) -> Batch:
        rows = [self._rows[i] for i in chosen]
        width = self.widths[max(self._class[i] for i in chosen)]
        inputs = np.zeros((len(rows), width), dtype=np.int32)
        for line, row in zip(inputs, rows, strict=True):
            line[: len(row.ids) - 1] = row.ids[:-1]
        positions = [np.arange(row.start - 1, len(row.ids) - 1) + n * width for n, row in enumerate(rows)]
        padding = (0, self._positions[len(rows), width] - sum(map(len, positions)))
        return Batch(
            rows=chosen.astype(np.int32),
            inputs=inputs,
            positions=np.pad(np.concatenate(positions), padding).astype(np.int32),
            targets=np.pad(np.concatenate([row.ids[row.start :] for row in rows]), padding).astype(np.int32),
            weights=np.pad(np.ones(sum(map(len, positions)), np.float32), padding),
        )


def best_widths(lengths: npt.NDArray[np.int_], count: int) -> tuple[int, ...]:
    """At most ``count`` widths, ascending, that pad the given lengths least in all.

    Every length fits one of them. Exact, by dynamic programming over the distinct lengths: ``cost[i]`` is the least
    padded total of the i shortest distinct lengths with the widths allowed so far.
    """
    distinct, numbers = np.unique(lengths, return_counts=True)
    if len(distinct) <= count:
        return tuple(int(length) for length in distinct)
    rows_below = np.concatenate([[0], np.cumsum(numbers)])
    cost = np.full(len(distinct) + 1, np.inf)
    cost[0] = 0
    cuts: list[list[int]] = []
    for _ in range(count):
        # To end a class at distinct length i-1, begin it at the j that is cheapest.
        totals = [cost[:i] + distinct[i - 1] * (rows_below[i] - rows_below[:i]) for i in range(1, len(cost))]
        cuts.append([0, *(int(np.argmin(total)) for total in totals)])
        cost = np.concatenate([[0], [total.min() for total in totals]])
    widths: list[int] = []
    end = len(distinct)
    for choices in reversed(cuts):
        if end:
            widths.append(int(distinct[end - 1]))
            end = choices[end]
    return tuple(reversed(widths))
