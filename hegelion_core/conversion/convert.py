"""A sample file to a training file, line by line: constant memory, the same bytes for the same input."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from hegelion_core.conversion.rendering import ChatFormat
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.decisions import Decisions
from hegelion_core.generation.sample_rows import open_samples
from hegelion_core.workspace import sync_folder

LOGGED_LINES = 100
"""Skipped lines that the log names one by one; the others are only counted."""


class ConversionStoppedError(Exception):
    """The conversion was asked to stop; the training file is as it was."""


@dataclass
class Tally:
    """What became of the lines."""

    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason to number of lines: ``duplicate``, ``broken_line`` (no JSON), ``torn_last_line``, ``not_a_sample``, or a
    fault of the contract; ``rejected_by_hand`` where a person decided so."""


def convert_file(
    source: Path, target: Path, format_: ChatFormat, log: Callable[[str], None], stop: Callable[[], bool] = bool
) -> Tally:
    """Convert ``source`` into ``target``, which is replaced in one step at the end.

    Args:
        source: the sample file.
        target: the training file; its folder is made if need be.
        format_: the student's form.
        log: takes a line for people.
        stop: asked before each line.

    Raises:
        UserError: a file cannot be read or written, or not one sample is usable; ``target`` is as it was.
        ConversionStoppedError: ``stop()`` was true.
    """
    tally = Tally()
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(
            f"{target}: is the sample file itself.", "Give another output file for the rows.", ExitCode.USAGE
        )
    with open_samples(source) as lines, _replacing(target) as file:
        for row in convert_lines(lines, source, format_, tally, log, Decisions.beside(source)):
            if stop():
                raise ConversionStoppedError
            file.write(row)
        if not tally.rows:
            raise _nothing(source, tally)
    return tally


def convert_lines(
    lines: Iterable[bytes],
    source: Path,
    format_: ChatFormat,
    tally: Tally,
    log: Callable[[str], None],
    decisions: Decisions,
) -> Iterator[bytes]:
    """The training rows of sample lines, each with its newline; ``tally`` is kept as they are taken."""
    encoder = msgspec.json.Encoder()
    seen: set[int] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            sample = decisions.read(line)
            prompt = int(prompt_id(sample.instruction)[2:], 16)
            if prompt in seen:
                raise SampleFault("duplicate", "This prompt has a row already.")
            row = encoder.encode(format_.row(sample)) + b"\n"
        except SampleFault as fault:
            _skip(tally, log, f"{source.name}, line {number}", fault.reason, fault.detail)
        except msgspec.ValidationError as error:
            _skip(tally, log, f"{source.name}, line {number}", "not_a_sample", str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = "broken_line" if line.endswith(b"\n") else "torn_last_line"
            _skip(tally, log, f"{source.name}, line {number}", reason, str(error))
        else:
            seen.add(prompt)
            tally.rows += 1
            yield row


def _skip(tally: Tally, log: Callable[[str], None], place: str, reason: str, detail: str) -> None:
    tally.skipped[reason] += 1
    if (total := tally.skipped.total()) <= LOGGED_LINES:
        log(f"{place}: skipped, {reason}: {detail}")
    elif total == LOGGED_LINES + 1:
        log("Further lines that are skipped are only counted.")


def counts(skipped: Counter[str]) -> str:
    """``3 duplicate, 1 broken_line``: most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in skipped.most_common())


def _nothing(source: Path, tally: Tally) -> UserError:
    why = f": {counts(tally.skipped)}" if tally.skipped else ""
    return UserError(
        f"{source}: holds no usable sample{why}.",
        "Generate samples first (hegelion-console generate), or give another sample file.",
    )


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when the block ends well, and leaves no trace otherwise."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise UserError(
            f"{path}: cannot be written ({error.strerror}).",
            "Free some disk space and run the same command again."
            if full
            else "Give an output file in a folder that you may write to.",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
