"""A sample file to a training file, line by line: bounded memory, the same bytes for the same input, also if killed.

Of each sample its prompt's id is kept, to know it again: in memory up to ``spill.HELD`` of them, the others on disk.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hegelion_core.conversion.part_file import Mark, PartFile
from hegelion_core.conversion.rendering import ChatFormat
from hegelion_core.conversion.rows import RowMaker, Tally, counts
from hegelion_core.conversion.splice import UnevenTemplateError
from hegelion_core.dialectic import contract
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import verdicts
from hegelion_core.generation.decisions import decisions_path
from hegelion_core.generation.sample_rows import THROUGH, bounded_lines, open_samples
from hegelion_core.regular import read_regular
from hegelion_core.spill import SeenKeys

Progress = Callable[[int, int], None]
"""Is told how many bytes of the input are read, and how many there are."""
_LOOK = 256
"""Lines between two looks at the clock."""


class ConversionStoppedError(Exception):
    """The conversion was asked to stop; the training file is as it was, and the next conversion goes on from here."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What whoever converts is told and asked."""

    log: Callable[[str], None]
    """Takes a line for people."""
    stop: Callable[[], bool] = bool
    """Asked before each line."""
    progress: Progress = lambda done, total: None
    check: Callable[[Path], None] = lambda rows: None
    """Looks at the rows when they are whole, before they take the target's place; raises if they do not serve."""


def convert_file(source: Path, target: Path, format_: ChatFormat, hooks: Hooks) -> Tally:
    """Convert ``source`` into ``target``, which is replaced in one step at the end.

    Args:
        source: the sample file.
        target: the training file; its folder is made if need be.
        format_: the student's form.
        hooks: see there.

    Raises:
        UserError: a file cannot be read or written, or not one sample is usable; ``target`` is as it was.
        ConversionStoppedError: ``stop()`` was true.
    """
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(
            f"{target}: is the sample file itself.", "Give another output file for the rows.", ExitCode.USAGE
        )
    with open_samples(source, THROUGH) as file, PartFile.open(target) as part:
        run = _Conversion(source, file, part, format_, hooks)
        try:
            tally = run.whole()
        except UnevenTemplateError:
            hooks.log("The chat template does not treat all texts alike: every row is rendered by itself now.")
            tally = run.whole(rendered=True)
        if not tally.rows:
            part.discard()
            raise _nothing(source, tally)
        try:
            hooks.check(part.whole())
        except UserError:
            part.discard()
            raise
        part.finish()
    return tally


def forget(target: Path) -> None:
    """Let the next conversion into ``target`` begin at the beginning.

    Raises:
        UserError: another process is at it.
    """
    with PartFile.open(target) as part:
        part.discard()


class _Conversion:
    """One pass over the lines, from the beginning or from where an earlier one was."""

    def __init__(self, source: Path, file: BinaryIO, part: PartFile, format_: ChatFormat, hooks: Hooks) -> None:
        self._source = source
        self._file = file
        self._part = part
        self._format = format_
        self._hooks = hooks
        self._size = source.stat().st_size
        self._key = _key(source, format_)

    def whole(self, *, rendered: bool = False) -> Tally:
        """Take every line that was not taken yet."""
        with SeenKeys() as prompts:
            return self._whole(prompts, rendered)

    def _whole(self, prompts: SeenKeys, rendered: bool) -> Tally:
        mark, digest = (None if rendered else self._resumed(prompts)) or self._start(rendered)
        tally = Tally(mark.rows, Counter(mark.skipped), {reason: list(lines) for reason, lines in mark.places.items()})
        format_ = self._format if mark.rendered else self._format.for_many()
        maker = RowMaker(self._source, format_, tally, prompts, self._hooks.log)
        offset, number = mark.offset, mark.line

        def save() -> None:
            self._keep(maker, judging=mark.judging)
            self._part.save(
                Mark(
                    key=self._key,
                    offset=offset,
                    line=number,
                    digest=digest.hexdigest(),
                    rows=tally.rows,
                    skipped=dict(tally.skipped),
                    places=tally.places,
                    rendered=mark.rendered,
                    judging=mark.judging,
                )
            )

        for line, length in bounded_lines(self._file):
            if self._hooks.stop():
                save() if number else self._part.discard()
                raise ConversionStoppedError
            name = verdicts.digest(line)
            digest.update(name)
            offset, number = offset + length, number + 1
            if line.strip() and (made := maker.take(number, line, name)) is not None:
                self._part.write(*made)
            if number % _LOOK == 0:
                self._hooks.progress(offset, self._size)
                if self._part.due:
                    save()
        self._keep(maker, judging=mark.judging)
        self._hooks.progress(self._size, self._size)
        return tally

    def _start(self, rendered: bool) -> tuple[Mark, hashlib.blake2b]:
        self._part.restart()
        self._file.seek(0)
        judging = not verdicts.is_there(verdicts.cache_path(self._source))
        return Mark(key=self._key, rendered=rendered, judging=judging), _new_digest()

    def _resumed(self, prompts: SeenKeys) -> tuple[Mark, hashlib.blake2b] | None:
        """Where an earlier conversion of the same was, if its rows and the lines that it read are still the same.

        The prompts that have a row are added to ``prompts`` then.
        """
        last: Mark | None = None
        for last in self._part.marks():
            if last.key != self._key:
                return None
        if last is None:
            return None
        digest, offset = _new_digest(), 0
        for line, length in bounded_lines(self._file):
            if offset >= last.offset:
                break
            digest.update(verdicts.digest(line))
            offset += length
        if offset != last.offset or digest.hexdigest() != last.digest or not self._part.resume(last):
            return None
        self._file.seek(last.offset)
        self._hooks.log(f"Going on behind line {last.line}: {last.rows} rows are there.")
        for mark in self._part.marks():
            for prompt in mark.prompts():
                prompts.add(prompt)
        return last, digest

    def _keep(self, maker: RowMaker, *, judging: bool) -> None:
        """Write down what the contract said, if nobody had asked it before, so that nobody has to again."""
        if judging and maker.judged:
            cache = verdicts.cache_path(self._source)
            # One of another contract would be added to in vain.
            keep = verdicts.add_all if verdicts.is_there(cache) else verdicts.save
            keep(cache, maker.judged)
        maker.judged.clear()


_FORM = b"2"
"""Of the journal; one of another form is not gone on with."""


def _key(source: Path, format_: ChatFormat) -> str:
    decisions = decisions_path(source)
    decided = read_regular(decisions) if decisions.is_file() else b""
    made_by = (format_.fingerprint().encode(), contract.fingerprint().encode())
    parts = (_FORM, str(source.resolve()).encode(), decided, *made_by)
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=verdicts.DIGEST)


def _nothing(source: Path, tally: Tally) -> UserError:
    why = f": {counts(tally.skipped)}" if tally.skipped else ""
    return UserError(
        f"{source}: holds no usable sample{why}.",
        "Generate samples first (hegelion-console generate), or give another sample file.",
    )
