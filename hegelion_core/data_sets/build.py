"""An agent log, a sample file or a data set of another writer to rows: streamed, what cannot be used is counted."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from hegelion_core.conversion.rows import LOGGED_LINES, Tally, counts
from hegelion_core.data_sets.argued import Argued, open_question, read_argued
from hegelion_core.data_sets.formats import Recipe, make_rows
from hegelion_core.data_sets.outputs import Staging
from hegelion_core.data_sets.rows import Row
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import verdicts
from hegelion_core.generation.decisions import Decisions
from hegelion_core.generation.sample_rows import MAX_LINE, THROUGH, bounded_lines, open_samples
from hegelion_core.spill import SeenKeys
from hegelion_core.unreadable import UNREADABLE

_KINDS = (
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip file"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file"),
)


@dataclass
class Build:
    """What a data set was made of."""

    tally: Tally = field(default_factory=Tally)
    used: int = 0
    """Lines that gave at least one row."""
    sources: dict[str, int] = field(default_factory=dict)
    """Where the used prompts come from, with their number."""
    teachers: dict[str, int] = field(default_factory=dict)
    example: Row | None = None
    """The first row."""


def build(
    source: Path,
    recipe: Recipe,
    staging: Staging,
    log: Callable[[str], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
    worse: Callable[[int], str] | None = None,
    check: Callable[[Row], None] = lambda row: None,
) -> Build:
    """Put the rows of ``source`` into ``staging``.

    Args:
        source: JSON, a line each.
        recipe: what the rows shall be.
        staging: takes them.
        log: takes a line for people.
        progress: is told how many bytes are read, and how many there are.
        worse: the source's rejected answer to a prompt, by the number of its id; empty if there is none.
        check: looks at each row; raises if it does not serve.

    Raises:
        UserError: it cannot be read, is no such file, or gives no row; the temporary folder does not serve.
    """
    made = Build()
    size = source.stat().st_size if source.is_file() else 0
    with open_samples(source, THROUGH) as file, SeenKeys() as seen:
        _refuse_other_kinds(source, file)
        decisions, done = Decisions.beside(source), 0
        for number, (line, length) in enumerate(bounded_lines(file), start=1):
            done += length
            if number % 64 == 0:
                progress(done, size)
            if not line.strip():
                continue
            try:
                argued = _read(line, decisions)
                _once(argued, seen)
            except SampleFault as fault:
                _skip(made, log, source, number, fault)
                continue
            if worse is not None and not argued.rejected:
                argued = dataclasses.replace(argued, rejected=worse(_number(argued.prompt_id)))
            before = len(staging)
            for row in make_rows(argued, recipe):
                if isinstance(row, SampleFault):
                    _skip(made, log, source, number, row)
                else:
                    check(row)
                    staging.add(_number(argued.prompt_id), row)
                    made.example = made.example or row
            if len(staging) > before:
                _count(made, argued)
    made.tally.rows = len(staging)
    if not made.tally.rows:
        raise _nothing(source, made.tally)
    return made


def open_questions(source: Path) -> Iterator[int]:
    """The numbers of the ids of those prompts in a file that have no rejected answer beside them.

    Raises:
        UserError: it cannot be read.
    """
    with open_samples(source, THROUGH) as file:
        for line, _ in bounded_lines(file):
            if query := open_question(line):
                yield _number(prompt_id(query))


def _read(line: bytes, decisions: Decisions) -> Argued:
    try:
        if len(line) > MAX_LINE:
            raise SampleFault("too_long", f"A line of more than {MAX_LINE >> 20} MiB is no row.")
        return read_argued(line, decisions.of(verdicts.digest(line)) if decisions else None)
    except msgspec.ValidationError as error:
        raise SampleFault("wrong_types", str(error)) from None
    except UNREADABLE as error:
        raise SampleFault(_broken(line), str(error)) from None


def _broken(line: bytes) -> str:
    """Why a line is no JSON."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    return "broken_line" if line.endswith(b"\n") else "torn_last_line"


def _once(argued: Argued, seen: SeenKeys) -> None:
    """A prompt counts once; of an agent log's results only one that is there already is left out."""
    parts = (argued.prompt_id,) if argued.once else (argued.prompt_id, argued.thesis, argued.synthesis, argued.answer)
    key = hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=12).digest()
    if key in seen:
        raise SampleFault("duplicate", "This prompt has a row already." if argued.once else "The same result again.")
    seen.add(key)


def _skip(made: Build, log: Callable[[str], None], source: Path, number: int, fault: SampleFault) -> None:
    made.tally.skip(fault.reason, number)
    if (total := made.tally.skipped.total()) <= LOGGED_LINES:
        log(f"{source.name}, line {number}: {fault.reason}: {fault.detail}")
    elif total == LOGGED_LINES + 1:
        log("Further lines that cannot be used are only counted.")


def _count(made: Build, argued: Argued) -> None:
    made.used += 1
    for counted, name in ((made.sources, argued.fact("source")), (made.teachers, argued.fact("teacher"))):
        if name is not None and (name in counted or len(counted) < 100):
            counted[name] = counted.get(name, 0) + 1


def _number(name: str) -> int:
    return int(name.removeprefix("p-"), 16)


def _refuse_other_kinds(source: Path, file: BinaryIO) -> None:
    head = file.read(4)
    file.seek(0)
    for magic, kind in _KINDS:
        if head.startswith(magic):
            raise UserError(
                f"{source}: is {kind}, not JSON lines.", "Give a file with a JSON object a line.", ExitCode.USAGE
            )


def _nothing(source: Path, tally: Tally) -> UserError:
    why = f": {counts(tally.skipped)}" if tally.skipped else " (it is empty)"
    return UserError(
        f"{source}: holds nothing that can be used{why}.",
        "Give an agent log ('hegelion-console ask --log-file'), a sample file, or rows of messages.",
        ExitCode.USAGE,
    )
