"""Rows rendered and encoded as a trainer does it: is the trace still there, for this student?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hegelion_core.conversion.chat_template import ChatTokenizer
from hegelion_core.conversion.markers import is_marker
from hegelion_core.conversion.rendering import ChatFormat, TrainingRow
from hegelion_core.dialectic.parsing import SECTIONS, SampleFault, parse_output
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models import templates
from hegelion_core.regular import open_regular

NAMED = 3
"""Rows that an error names."""


@dataclass
class _Found:
    """What is wrong, and with which rows."""

    fault: str
    rows: int
    lines: list[int]


class Verifier:
    """Looks at training rows for one student."""

    def __init__(self, tokenizer: ChatTokenizer, student: str, format_: ChatFormat) -> None:
        """``format_``: the form in which the rows were made."""
        self._tokenizer = tokenizer
        self._student = student
        self._format = format_
        vocabulary = tokenizer.get_added_vocab()
        self._special = {number for token, number in vocabulary.items() if is_marker(token)}
        self._end = tokenizer.encode(format_.end, add_special_tokens=False)
        self._usual: int | None = None
        """Special tokens in what is supervised of the first row that is whole."""

    def file(self, path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
        """See that every row of a training file is whole; returns how many there are.

        Raises:
            UserError: some are not; it says what is lost, in how many rows, and where.
        """
        found: dict[str, _Found] = {}
        size, done, number = path.stat().st_size, 0, 0
        decoder = msgspec.json.Decoder(TrainingRow)
        with open_regular(path) as file:
            for number, line in enumerate(file, start=1):
                done += len(line)
                if fault := self.fault(decoder.decode(line)):
                    entry = found.setdefault(fault, _Found(fault, 0, []))
                    entry.rows += 1
                    entry.lines += [number] if len(entry.lines) < NAMED else []
                if number % 64 == 0:
                    progress(done, size)
        if found:
            raise self._error(max(found.values(), key=lambda entry: entry.rows), number)
        return number

    def fault(self, row: TrainingRow) -> str:
        """What is wrong with a row, completing 'the row ...'; empty: nothing."""
        supervised = row.text[row.answer_start :]
        ids = self._tokenizer.encode(supervised, add_special_tokens=False)
        if len(self._end) != 1 or ids[-1:] != self._end:
            return f"ends with {self._format.end!r}, which is no end token of this student"
        written = self._tokenizer.decode(ids[:-1])
        try:
            parsed = parse_output(self._format.opened + written)
            meant = parse_output(self._format.opened + supervised.removesuffix(self._format.end))
        except SampleFault as fault:
            return f"loses the trace ({fault.reason})"
        lost = [part for part in (*SECTIONS, "answer") if _bare(getattr(parsed, part)) != _bare(getattr(meant, part))]
        if lost:
            return f"loses words of the {', '.join(lost)}"
        special = sum(number in self._special for number in ids)
        self._usual = special if self._usual is None else self._usual
        return "" if special == self._usual else "holds special tokens that its text forges"

    def _error(self, found: _Found, rows: int) -> UserError:
        places = ", ".join(map(str, found.lines)) + (", ..." if found.rows > len(found.lines) else "")
        return UserError(
            f"Verification failed for {self._student}: {found.rows} of {rows} rows: each {found.fault} (row {places}).",
            "Convert with --template student and the student that is trained (--model).",
            ExitCode.FAILED,
        )


def check_rendering(tokenizer: ChatTokenizer, student: str, messages: list[dict[str, str]]) -> None:
    """See that a student's chat template keeps the trace of an assistant's message, as a trainer renders it.

    Args:
        tokenizer: the student's.
        student: its name, for messages.
        messages: a row's, the last is the assistant's; one without a trace has nothing to lose.

    Raises:
        UserError: some of it is lost; it says which parts.
    """
    from jinja2.exceptions import TemplateError

    try:
        meant = parse_output(messages[-1]["content"]) if messages else None
    except SampleFault:
        return
    if meant is None:
        return
    try:
        with templates.bounded():
            rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    except templates.TooCostly as error:
        raise _unfit(student, str(error)) from None
    except TemplateError as error:
        raise _unfit(student, f"fails ({error})") from None
    if lost := [part for part in (*SECTIONS, "answer") if getattr(meant, part) not in rendered]:
        raise _unfit(student, f"loses {', '.join(lost)} of an assistant's message")


def _unfit(student: str, fault: str) -> UserError:
    return UserError(
        f"The chat template of {student} {fault}: a trainer would never see it.",
        f"Make rows in its own form: --format mlx --model {student}, or hegelion-console convert.",
        ExitCode.FAILED,
    )


def _bare(text: str) -> str:
    """A text without white space, which tokenizers may change."""
    return "".join(text.split())
