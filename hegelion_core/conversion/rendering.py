"""A sample as a training row, in exactly the form that the student sees when it answers later.

A row is the generation prompt of the student's own chat template, then what the student should write, then its end
token. Whether the template drops the thought of an assistant message (as the ones of thinking models do) is found
out by rendering, not by the model's name:

- a thinking template: ``{prompt}<think>\\n{trace}\\n</think>\\n\\n{answer}{end}``, where ``<think>`` usually is the
  prompt's own end;
- any other: ``{prompt}<thought>\\n{trace}\\n</thought>\\n{answer}{end}``.

Supervision starts behind the prompt. Nothing here reads weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from hegelion_core.conversion.chat_template import ChatTemplate, ChatTokenizer, load_tokenizer, unusable
from hegelion_core.conversion.markers import Neutraliser, is_marker
from hegelion_core.conversion.splice import SplicedPrompt, literals
from hegelion_core.dialectic.contract import Accepted
from hegelion_core.dialectic.parsing import ParsedOutput, parse_output, render_output
from hegelion_core.dialectic.sample import Sample, SampleTrace
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE


class TrainingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the training file. ``answer_start`` counts characters of ``text``."""

    text: str
    id: str
    answer_start: int


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """How one student is spoken to."""

    name: Literal["thinking", "plain", "chatml"]
    render_prompt: Callable[[str, str], str]
    """System text and question, both neutral, to the generation prompt."""
    neutralise: Neutraliser
    end: str
    """The end token's text."""
    begin_answer: str = ""
    """What the student writes before the trace."""
    opened: str = ""
    """The part of the block with which the generation prompt ends; put before an answer to read it."""
    literals: tuple[str, ...] = ()
    """The texts that the chat template mentions."""

    def prompt(self, system: str, question: str) -> str:
        """The generation prompt: what the student continues. It holds the begin token, where there is one."""
        return self.render_prompt(self.neutralise(system.strip()), self.neutralise(question.strip()))

    def row(self, sample: Sample) -> TrainingRow:
        """The training row of a sample.

        Raises:
            SampleFault: the sample's output holds no trace.
        """
        question = "\n\n".join(part for part in (sample.instruction.strip(), sample.input.strip()) if part)
        prompt = self.prompt(sample.system, question)
        completion = self.begin_answer + self._content(parse_output(sample.output)) + self.end
        return TrainingRow(text=prompt + completion, id=sample.id, answer_start=len(prompt))

    def accepted_row(self, sample: Accepted) -> TrainingRow:
        """As ``row``, of a sample whose output is canonical; it is parsed only where it may hold markers."""
        output = sample.output
        if self.neutralise.count(output) != self._count_of_frame:
            content = self._content(parse_output(output))
        else:
            content = self._framed(output)
        prompt = self.prompt(sample.system, sample.query)
        return TrainingRow(
            text=f"{prompt}{self.begin_answer}{content}{self.end}", id=sample.id, answer_start=len(prompt)
        )

    @cached_property
    def _count_of_frame(self) -> int:
        return self.neutralise.count(_FRAME)

    def for_many(self) -> ChatFormat:
        """The same, quicker from some hundred rows on; see ``SplicedPrompt``."""
        quick = SplicedPrompt(self.render_prompt, self.literals, lambda text: self.neutralise(text.strip()))
        return replace(self, render_prompt=quick)

    def fingerprint(self) -> str:
        """16 hex digits that change when rows would be made otherwise."""
        prompts = [self.prompt(system, "A question?") for system in ("", "A system text.")]
        parts = [self.name, *prompts, self.begin_answer, self.opened, self.end, self.neutralise.identity]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:16]

    def _content(self, parsed: ParsedOutput) -> str:
        output = render_output(
            ParsedOutput(
                thesis=self.neutralise(parsed.thesis),
                antithesis=self.neutralise(parsed.antithesis),
                synthesis=self.neutralise(parsed.synthesis),
                answer=self.neutralise(parsed.answer),
            )
        )
        return self._framed(output)

    def _framed(self, output: str) -> str:
        """A canonical output as this student writes it."""
        if self.name != "thinking":
            return output
        trace, _, answer = output.removeprefix("<thought>\n").partition("\n</thought>\n")
        return f"{trace}\n</think>\n\n{answer}"


_FRAME = render_output(ParsedOutput("", "", "", ""))


def chatml() -> ChatFormat:
    """The guide's ChatML form, whatever the student: special tokens where it has these, plain text elsewhere."""

    def render(system: str, question: str) -> str:
        head = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
        return f"{head}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"

    return ChatFormat(name="chatml", render_prompt=render, neutralise=Neutraliser(()), end="<|im_end|>")


def student_format(tokenizer: ChatTokenizer, student: str) -> ChatFormat:
    """The checked form of a student, read off what its own chat template really renders.

    Args:
        tokenizer: the student's.
        student: its name, for messages.

    Raises:
        UserError: no chat template, or one that does not serve.
    """
    template = ChatTemplate(tokenizer, student)
    opened = template.opened_block()
    if opened:
        begin_answer = "" if opened.endswith("\n") else "\n"
    else:
        begin_answer = "<think>\n" if template.knows_think() else template.before_answer()
    format_ = ChatFormat(
        name="thinking" if opened or template.knows_think() else "plain",
        render_prompt=template.prompt,
        neutralise=Neutraliser(tokenizer.get_added_vocab()),
        end=template.end_token(),
        begin_answer=begin_answer,
        opened=opened,
        literals=literals(source) if isinstance(source := getattr(tokenizer, "chat_template", None), str) else (),
    )
    check_format(format_, tokenizer, student)
    return format_


def looks_like_rows(path: Path) -> bool:
    """Whether the first line of a file is a training row."""
    with open_regular(path) as file:
        try:
            _row_decoder.decode(file.readline(8 << 20))
        except UNREADABLE:
            return False
    return True


class _AnyRow(msgspec.Struct):
    text: str


_row_decoder: msgspec.json.Decoder[_AnyRow] = msgspec.json.Decoder(_AnyRow)


def load_format(folder: Path, template: Literal["student", "chatml"]) -> ChatFormat:
    """The checked form of the student in a model folder; the folder is not read for ``chatml``.

    Raises:
        UserError: the tokenizer cannot be read, or its chat template does not serve.
    """
    return chatml() if template == "chatml" else student_format(load_tokenizer(folder), folder.name)


_HARMLESS = "A plain text of the probe."
_PARTS = ("thesis", "antithesis", "synthesis", "answer")


def check_format(format_: ChatFormat, tokenizer: ChatTokenizer, student: str) -> None:
    """Render each kind of row, encode it as a trainer does, and look whether everything is still there.

    Raises:
        UserError: the trace, the answer or the question is lost, or begin, end or special tokens are not as they
            must be; it names the student's template.
    """
    markers = sorted(token for token in tokenizer.get_added_vocab() if is_marker(token))
    numbers = {tokenizer.get_added_vocab()[token] for token in markers}
    forged = " ".join(token for token in markers if token not in ("<thought>", "</thought>"))  # faults to the parser
    for system in ("", _HARMLESS):
        counts = set()
        for text in (_HARMLESS, f"{_HARMLESS} {forged}"):
            row = format_.row(_probe(system and text, text))
            ids = tokenizer.encode(row.text, add_special_tokens=False)
            if fault := _fault(format_, tokenizer, row, ids):
                raise unusable(student, fault)
            counts.add(sum(number in numbers for number in ids))
        if len(counts) > 1:
            raise unusable(student, "lets a text inside a row form special tokens")


def _fault(format_: ChatFormat, tokenizer: ChatTokenizer, row: TrainingRow, ids: list[int]) -> str:
    written = tokenizer.decode(tokenizer.encode(row.text[row.answer_start :], add_special_tokens=False))
    if lost := [part for part in _PARTS if f"The {part} of the probe." not in written]:
        return f"loses the trace ({', '.join(lost)})"
    if _HARMLESS not in row.text[: row.answer_start]:
        return "loses the question"
    if ids[-1:] != tokenizer.encode(format_.end, add_special_tokens=False)[-1:]:
        return "does not end a row with its end token"
    if tokenizer.bos_token_id is not None and ids[:2] == [tokenizer.bos_token_id] * 2:
        return "begins a row with two begin tokens"
    return ""


def _probe(system: str, text: str) -> Sample:
    thesis, antithesis, synthesis, answer = (f"The {part} of the probe. {text}" for part in _PARTS)
    trace = SampleTrace(query=text, mode="single", thesis=thesis, antithesis=antithesis, synthesis=synthesis)
    output = render_output(ParsedOutput(thesis, antithesis, synthesis, answer))
    return Sample(id="probe", instruction=text, output=output, system=system, hegelion_trace=trace)
