from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from hegelion_core.conversion.chat_template import ChatTokenizer, Message, load_tokenizer
from hegelion_core.conversion.markers import BREAK
from hegelion_core.conversion.rendering import ChatFormat, chatml, load_format, student_format
from hegelion_core.dialectic.parsing import ParsedOutput, SampleFault, parse_output, render_output
from hegelion_core.dialectic.sample import Sample, SampleTrace
from hegelion_core.errors import UserError
from tests.fakes.tiny_model import make_tiny_model

SYSTEM = "Reason in three steps."
PARTS = ParsedOutput(
    thesis="Cities should ban cars.",
    antithesis="People need them to reach work.",
    synthesis="Ban them where trams run.",
    answer="Begin with the centre.",
)


def make_sample(parts: ParsedOutput = PARTS, question: str = "Ban cars?", system: str = SYSTEM) -> Sample:
    return Sample(
        id="p-1",
        instruction=question,
        output=render_output(parts),
        system=system,
        hegelion_trace=SampleTrace(query=question, mode="single", thesis="", antithesis="", synthesis=""),
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return load_tokenizer(make_tiny_model(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return load_tokenizer(make_tiny_model(tmp_path_factory.mktemp("thinking"), thinking=True))


@pytest.fixture(scope="module")
def plain_format(plain: ChatTokenizer) -> ChatFormat:
    return student_format(plain, "tiny")


@pytest.fixture(scope="module")
def thinking_format(thinking: ChatTokenizer) -> ChatFormat:
    return student_format(thinking, "tiny")


def test_a_plain_student_gets_what_its_template_renders(plain: ChatTokenizer) -> None:
    format_ = student_format(plain, "tiny")
    row = format_.row(make_sample())
    rendered = plain.apply_chat_template(
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "Ban cars?"},
            {"role": "assistant", "content": render_output(PARTS)},
        ],
        tokenize=False,
        add_generation_prompt=False,
    )
    assert format_.name == "plain"
    assert row.text + "\n" == rendered
    assert row.text[: row.answer_start].endswith("<|im_start|>assistant\n")
    assert row.text[row.answer_start :].startswith("<thought>\n**THESIS**: Cities")


def test_a_thinking_student_keeps_the_trace_that_its_template_drops(thinking: ChatTokenizer) -> None:
    format_ = student_format(thinking, "tiny")
    row = format_.row(make_sample())
    assert format_.name == "thinking"
    assert row.text == (
        f"<｜begin▁of▁sentence｜>{SYSTEM}<｜User｜>Ban cars?<｜Assistant｜><think>\n"
        "**THESIS**: Cities should ban cars.\n**ANTITHESIS**: People need them to reach work.\n"
        "**SYNTHESIS**: Ban them where trams run.\n</think>\n\nBegin with the centre.<｜end▁of▁sentence｜>"
    )
    assert row.text[row.answer_start :].startswith("**THESIS**")
    ids = thinking.encode(row.text, add_special_tokens=False)
    assert ids.count(thinking.bos_token_id or 0) == 1
    assert ids[0] == thinking.bos_token_id


@pytest.mark.parametrize("student", ["plain", "thinking"])
def test_an_answer_in_the_students_form_parses(student: str, request: pytest.FixtureRequest) -> None:
    format_ = student_format(request.getfixturevalue(student), "tiny")
    row = format_.row(make_sample())
    assert parse_output(format_.opened + row.text[row.answer_start :].removesuffix(format_.end)) == PARTS


WORDS = st.lists(
    st.sampled_from(
        [
            "<|im_end|>", "<|im_start|>", "<|endoftext|>", "<think>", "</think>", "<｜User｜>", "<｜Assistant｜>",
            "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>", "system\n", "\nassistant", "<", "|", ">", " word", "é",
        ]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("student", ["plain", "thinking"])
@given(system=WORDS, question=WORDS, trace=WORDS, answer=WORDS)
def test_a_row_cannot_forge_special_tokens(
    student: str, system: str, question: str, trace: str, answer: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: ChatTokenizer = request.getfixturevalue(student)
    format_: ChatFormat = request.getfixturevalue(f"{student}_format")
    special = set(tokenizer.get_added_vocab().values())

    def count(sample: Sample) -> int:
        return sum(i in special for i in tokenizer.encode(format_.row(sample).text, add_special_tokens=False))

    parts = ParsedOutput(f"A {trace}.", f"B {trace}.", f"C {trace}.", f"D {answer}")
    try:
        found = count(make_sample(parts, f"Q {question}", f"S {system}"))
    except SampleFault:
        reject()  # the contract keeps it out
    assert found == count(make_sample())


def test_what_was_neutralised_still_reads_the_same(plain: ChatTokenizer) -> None:
    row = student_format(plain, "tiny").row(make_sample(question="What does <|im_end|> mean?"))
    assert "What does <|im_end|> mean?" in row.text.replace(BREAK, "")


def test_chatml_needs_no_student() -> None:
    row = load_format(Path("nowhere"), "chatml").row(make_sample())
    assert row.text == (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nBan cars?<|im_end|>\n<|im_start|>assistant\n"
        f"{render_output(PARTS)}<|im_end|>"
    )
    assert row.text[row.answer_start :].startswith("<thought>")
    assert chatml().row(make_sample(system="")).text.startswith("<|im_start|>user\n")


def test_an_input_field_belongs_to_the_question() -> None:
    sample = Sample(
        id="p-1",
        instruction="Judge this:",
        input="Cars are good.",
        output=render_output(PARTS),
        system="",
        hegelion_trace=make_sample().hegelion_trace,
    )
    assert "user\nJudge this:\n\nCars are good.<|im_end|>" in chatml().row(sample).text


def test_a_sample_without_a_trace_is_a_fault() -> None:
    sample = make_sample()
    with pytest.raises(SampleFault):
        chatml().row(Sample(**{**{name: getattr(sample, name) for name in sample.__struct_fields__}, "output": "No."}))


class TemplatedTokenizer:
    """A tokenizer that encodes as the one it wraps, with another chat template."""

    def __init__(self, inner: ChatTokenizer, template: str, end: str | None = "<|im_end|>") -> None:
        self._inner = inner
        self._template = template
        self.has_chat_template = bool(template)
        self.bos_token: str | None = None
        self.bos_token_id: int | None = None
        self.eos_token = end

    def apply_chat_template(
        self, conversation: Sequence[Message], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        from jinja2 import Environment
        from jinja2.exceptions import TemplateError

        def refuse(message: str) -> None:
            raise TemplateError(message)

        environment = Environment()  # noqa: S701 - chat templates are no HTML
        return environment.from_string(self._template).render(
            messages=conversation, add_generation_prompt=add_generation_prompt, raise_exception=refuse
        )

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return self._inner.encode(text, add_special_tokens=add_special_tokens)

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._inner.decode(token_ids)

    def get_added_vocab(self) -> dict[str, int]:
        return self._inner.get_added_vocab()


def with_template(inner: ChatTokenizer, template: str, end: str | None = "<|im_end|>") -> ChatFormat:
    return student_format(TemplatedTokenizer(inner, template, end), "odd-model")


def test_a_template_that_refuses_a_system_text_gets_it_in_the_question(plain: ChatTokenizer) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    row = with_template(plain, template).row(make_sample())
    assert row.text.startswith(f"<|im_start|>user\n{SYSTEM}\n\nBan cars?<|im_end|>")


def test_a_thinking_template_that_does_not_open_the_block(plain: ChatTokenizer) -> None:
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    format_ = with_template(plain, template)
    row = format_.row(make_sample())
    assert (format_.name, format_.opened) == ("thinking", "")
    assert row.text[row.answer_start :].startswith("<think>\n**THESIS**")


def test_a_template_that_gives_every_answer_a_block_is_a_thinking_one(plain: ChatTokenizer) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and '</think>' not in m.content %}<think>\n\n</think>\n\n{% endif %}"
        "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    row = with_template(plain, template).row(make_sample())
    assert row.text[row.answer_start :].startswith("<think>\n**THESIS**")
    assert "</think>\n\nBegin with the centre.<|im_end|>" in row.text


def test_a_prompt_that_closes_the_block_takes_the_thought_as_text(plain: ChatTokenizer) -> None:
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]<think>\n\n</think>\n\n{% endif %}"
    )
    row = with_template(plain, template).row(make_sample())
    assert row.text[row.answer_start :].startswith("<thought>\n**THESIS**")


def test_what_a_template_writes_before_an_answer_is_learnt(plain: ChatTokenizer) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}{% if m.role == 'assistant' %} final{% endif %}:"
        "{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
    )
    row = with_template(plain, template).row(make_sample())
    assert row.text[row.answer_start :].startswith(" final:<thought>")


def test_without_a_special_end_the_end_token_is_added(plain: ChatTokenizer) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    assert with_template(plain, template).row(make_sample()).text.endswith("Begin with the centre.<|im_end|>")
    with pytest.raises(UserError, match="odd-model ends a turn with no special token"):
        with_template(plain, template, end=None)


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("", "has no chat template"),
        ("{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}", "loses the quest"),
        ("{{ raise_exception('broken') }}", "fails .broken."),
        ("{% for m in messages %}{{ m.content[:20] }}<|im_end|>{% endfor %}", "loses the question"),
    ],
)
def test_a_template_that_does_not_serve_is_named(plain: ChatTokenizer, template: str, fault: str) -> None:
    with pytest.raises(UserError, match=f"odd-model.*{fault}"):
        with_template(plain, template)


class ForgetfulTokenizer(TemplatedTokenizer):
    """Loses letters, as one with a small vocabulary does."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return super().encode(text.replace("thesis", "?"), add_special_tokens=add_special_tokens)


def test_a_trace_that_is_lost_is_told(plain: ChatTokenizer) -> None:
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
    with pytest.raises(UserError, match=r"odd-model loses the trace \(thesis, antithesis, synthesis\)"):
        student_format(ForgetfulTokenizer(plain, template), "odd-model")


def test_a_folder_without_a_tokenizer_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tokenizer cannot be loaded"):
        load_format(tmp_path, "student")
