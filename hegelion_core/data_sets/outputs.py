"""Rows to files: staged once, dealt to splits by prompt, written as JSONL or Parquet, put in place at the end.

The same rows give the same bytes. Memory does not grow with them. A file of someone else is never replaced unless that
was asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import tempfile
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Union

import msgspec

from hegelion_core import workspace
from hegelion_core.data_sets.rows import ROWS, Row
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.generation.sample_rows import THROUGH
from hegelion_core.regular import open_regular, refuse_to_replace
from hegelion_core.spill import HELD, SeenKeys
from hegelion_core.unreadable import UNREADABLE

if TYPE_CHECKING:
    from pyarrow import DataType, Schema

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
JSONL = (".jsonl", ".json", ".ndjson")
_BATCH = 1000
"""Rows of a Parquet row group."""
_PROMPT = 16
"""Bytes before a staged row: the number of its prompt's id, in hex digits."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How much of the prompts goes to which split, 0 to 1; the rest is for training."""

    valid: float = 0.0
    test: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Target:
    """Where the splits go."""

    paths: Mapping[Split, Path]

    @classmethod
    def file(cls, path: Path) -> Target:
        """``name.jsonl``, and ``name.valid.jsonl``, ``name.test.jsonl`` beside it.

        Raises:
            UserError: its name tells no form that we write.
        """
        if path.suffix.lower() not in (*JSONL, ".parquet"):
            raise UserError(
                f"{path}: cannot tell the form from this name.", "Name it .jsonl or .parquet.", ExitCode.USAGE
            )
        more: dict[Split, Path] = {name: path.with_suffix(f".{name}{path.suffix}") for name in ("valid", "test")}
        return cls({"train": path, **more})

    @classmethod
    def folder(cls, path: Path) -> Target:
        """``train.jsonl``, ``valid.jsonl``, ``test.jsonl``, as mlx-lm reads them.

        Raises:
            UserError: it is a file.
        """
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: is a file, but mlx wants a folder.", "Name another folder.", ExitCode.USAGE)
        return cls({name: path / f"{name}.jsonl" for name in SPLITS})

    def refuse(self, source: Path, *, force: bool) -> None:
        """Raise if a file that would be replaced is someone else's.

        Raises:
            UserError: it is the input, a folder or device, or (without ``force``) no data set of ours.
        """
        for path in self.paths.values():
            if path.is_dir():
                raise UserError(f"{path}: is a folder.", "Name a file, such as data.jsonl in it.", ExitCode.USAGE)
            refuse_to_replace(path)
            if not path.exists():
                continue
            if source.exists() and path.samefile(source):
                raise UserError(f"{path}: is the input itself.", "Name another output.", ExitCode.USAGE)
            if not (force or path.stat().st_size == 0 or _is_ours(path)):
                raise UserError(
                    f"{path}: is no data set of ours, so it is not replaced.",
                    "Name another output, or say --force.",
                    ExitCode.USAGE,
                )


class Staging:
    """Collects rows; nothing is in its place until ``deal``."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._count = 0
        self._kind: type[msgspec.Struct] | None = None
        self._encode = msgspec.json.Encoder().encode

    @classmethod
    @contextlib.contextmanager
    def beside(cls, folder: Path) -> Iterator[Staging]:
        """Rows wait in an unnamed file of a folder, which is made if need be.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder, buffering=THROUGH) as file:
                yield cls(file)
        except OSError as error:
            raise explain(error) from None

    def add(self, prompt: int, row: Row) -> None:
        """Add a row; ``prompt`` is the number of its prompt's id."""
        self._file.write(b"%016x%b\n" % (prompt, self._encode(row)))
        self._count += 1
        self._kind = type(row)

    def __len__(self) -> int:
        return self._count

    def deal(self, target: Target, shares: Shares) -> dict[Split, tuple[Path, int]]:
        """Write the splits, each replaced in one step; of an earlier run's those that are not made now are removed.

        Returns:
            File and number of rows of each split that has any.
        """
        split_of = splits((prompt for prompt, _ in self._rows()), shares)
        made: dict[Split, tuple[Path, int]] = {}
        for name, path in target.paths.items():
            rows = (row for prompt, row in self._rows() if split_of(prompt) == name)
            if (name == "train" or getattr(shares, name)) and (first := next(rows, None)) is not None:
                made[name] = (path, self._write(path, itertools.chain([first], rows)))
            elif path.exists():
                path.unlink()
        return made

    def _write(self, path: Path, rows: Iterator[bytes]) -> int:
        """Put rows into a file; returns how many there are."""
        counter = itertools.count()
        counted = (row for row, _ in zip(rows, counter, strict=False))
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.suffix.lower() == ".parquet":
                assert self._kind is not None  # noqa: S101 - there are rows
                _write_parquet(beside, counted, self._kind)
            else:
                with beside.open("wb") as file:
                    file.writelines(counted)
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(path)
            workspace.sync_folder(path.parent)
            return next(counter)
        finally:
            beside.unlink(missing_ok=True)

    def _rows(self) -> Iterator[tuple[int, bytes]]:
        """Every row and its prompt; one pass at a time."""
        self._file.seek(0)
        for line in self._file:
            yield int(line[:_PROMPT], 16), line[_PROMPT:]


def splits(prompts: Iterable[int], shares: Shares, held: int = HELD) -> Callable[[int], Split]:
    """Tells the split of a prompt: the same is always in one, and a share above 0 gets at least one if it can.

    A prompt's place in the order follows from the seed and the prompt alone, so that a larger set keeps most of it: the
    first are for validation, the next for the test.

    Args:
        prompts: all of them, the same ones perhaps more than once; they are not read if no share is above 0.
        shares: how much each split gets.
        held: of that many their places are held in memory.

    Raises:
        UserError: the temporary folder does not serve.
    """
    if not (shares.valid or shares.test):
        return lambda prompt: "train"
    with SeenKeys(held) as places:
        for prompt in prompts:
            places.add(_place(shares.seed, prompt))
        count = len(places)
        left = max(0, count - 1)  # training keeps one
        least = 1 if shares.test and left > 1 else 0
        valid = min(left - least, max(1, round(shares.valid * count))) if shares.valid else 0
        test = min(left - valid, max(1, round(shares.test * count))) if shares.test else 0
        return partial(_split, shares.seed, places.smallest(valid), places.smallest(valid + test))


def _place(seed: int, prompt: int) -> bytes:
    return hashlib.sha256(f"{seed}:{prompt}".encode()).digest()[:16]


def _split(seed: int, valid: bytes, test: bytes, prompt: int) -> Split:
    """``valid`` and ``test``: the last places of each."""
    place = _place(seed, prompt)
    return "valid" if place <= valid else "test" if place <= test else "train"


def schema(kind: type[msgspec.Struct]) -> Schema:
    """The Arrow schema of a row."""
    import pyarrow

    return pyarrow.schema(
        [pyarrow.field(field.encode_name, _arrow(field.type)) for field in msgspec.structs.fields(kind)]
    )


def _arrow(kind: object) -> DataType:
    import pyarrow

    if kind is str:
        return pyarrow.string()
    if kind is float:
        return pyarrow.float64()
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) in (Union, types.UnionType):
        return _arrow(next(argument for argument in arguments if argument is not type(None)))
    if typing.get_origin(kind) is tuple:
        return pyarrow.list_(_arrow(arguments[0]))
    assert isinstance(kind, type)  # noqa: S101 - rows are made of these
    assert issubclass(kind, msgspec.Struct)  # noqa: S101
    return pyarrow.struct(list(schema(kind)))


def _write_parquet(path: Path, rows: Iterator[bytes], kind: type[msgspec.Struct]) -> None:
    import pyarrow
    from pyarrow import parquet

    form = schema(kind)
    with parquet.ParquetWriter(path, form, compression="zstd") as writer:
        while batch := [msgspec.json.decode(row) for _, row in zip(range(_BATCH), rows, strict=False)]:
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=form))


def _is_ours(path: Path) -> bool:
    """Whether a file begins with a row that we would write just so, or has the schema of our rows."""
    with open_regular(path) as file:
        if file.read(4) == b"PAR1":
            return _has_our_schema(path)
        file.seek(0)
        line = file.readline(8 << 20).rstrip(b"\n")
    return any(_writes(kind, line) for kind in ROWS)


def _writes(kind: type[msgspec.Struct], line: bytes) -> bool:
    try:
        return msgspec.json.encode(msgspec.json.decode(line, type=kind)) == line
    except UNREADABLE:
        return False


def _has_our_schema(path: Path) -> bool:
    import pyarrow
    from pyarrow import parquet

    try:
        found = parquet.read_schema(path)
    except pyarrow.ArrowException:
        return False
    return any(schema(kind).equals(found) for kind in ROWS)
