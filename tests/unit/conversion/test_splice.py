"""Rows spliced from one rendering are those that the template renders, or it is found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from hegelion_core.conversion import splice
from hegelion_core.conversion.chat_template import load_tokenizer
from hegelion_core.conversion.convert import Hooks, convert_file
from hegelion_core.conversion.rendering import ChatFormat, chatml, student_format
from hegelion_core.conversion.rows import RowMaker, Tally
from hegelion_core.conversion.splice import CHECKED, SplicedPrompt, UnevenTemplateError, literals
from hegelion_core.dialectic.contract import read_accepted
from hegelion_core.generation.verdicts import digest
from hegelion_core.spill import SeenKeys
from tests.fakes.sample_files import row, write
from tests.fakes.tiny_model import CHATML, make_tiny_model

TEXTS = st.text(st.sampled_from("ab <>|&\"'\\{}%\n") | st.characters(codec="utf-8"), min_size=1, max_size=30).map(
    str.strip
)


@pytest.fixture(scope="module", params=["plain", "thinking", "chatml"])
def format_(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatFormat:
    if request.param == "chatml":
        return chatml()
    folder = make_tiny_model(tmp_path_factory.mktemp(request.param), thinking=request.param == "thinking")
    return student_format(load_tokenizer(folder), "tiny")


@given(system=TEXTS, question=TEXTS.filter(bool))
def test_a_spliced_prompt_is_the_rendered_one(format_: ChatFormat, system: str, question: str) -> None:
    spliced = SplicedPrompt(format_.render_prompt, format_.literals, str)
    for _ in range(splice.FIRST + 2):  # the last ones are not rendered as well
        assert spliced(system, question) == format_.render_prompt(system, question)


@given(parts=st.lists(TEXTS, min_size=4, max_size=4))
def test_a_row_that_is_known_to_be_good_is_the_same_row(format_: ChatFormat, parts: list[str]) -> None:
    prose = "A plain sentence that says enough."
    output = (
        f"<thought>\n**THESIS**: {prose} {parts[0]}\n**ANTITHESIS**: But {prose} {parts[1]}\n"
        f"**SYNTHESIS**: So {prose} {parts[2]}\n</thought>\n{parts[3] or 'x'}"
    )
    line = row_line(output)
    slow = RowMaker(Path("nowhere"), format_, Tally(), SeenKeys(), print)
    made = slow.take(1, line, digest(line))
    if made is None or not slow.judged[0][1].canonical:
        return
    accepted = read_accepted(line)
    assert accepted is not None
    fast = format_.for_many().accepted_row(accepted)
    assert slow._encode(fast) + b"\n" == made[1]


def row_line(output: str) -> bytes:
    return msgspec.json.encode(row("Should cities ban cars?", output)) + b"\n"


def rendering(template: str) -> Callable[[str, str], str]:
    compiled = Environment().from_string(template)  # noqa: S701 - chat templates are no HTML

    def render(system: str, question: str) -> str:
        head = [{"role": "system", "content": system}] if system else []
        messages = [*head, {"role": "user", "content": question}]
        return compiled.render(messages=messages, add_generation_prompt=True)

    return render


@pytest.mark.parametrize(
    "content",
    [
        "{{ m.content | upper }}",
        "{{ m.content[:40] }}",
        "{{ m.content | tojson }}",
        "{{ m.content.split('</tool>')[-1] }}",
        "{% if m.content.startswith('<task>') %}T{% endif %}{{ m.content }}",
        "{% if 'magic word' in m.content %}M{% endif %}{{ m.content }}",
        "{{ m.content }}{{ m.content }}",
        "{{ m.content | length }}{{ m.content }}",
    ],
)
def test_a_template_that_looks_at_a_text_is_never_spliced(content: str) -> None:
    source = "{% for m in messages %}[{{ m.role }}]" + content + "{% endfor %}[assistant]"
    render = rendering(source)
    spliced = SplicedPrompt(render, literals(source), str)
    for question in ("say magic word", "<task> do it", "a</tool>b", "x" * 100):
        assert spliced("S", question) == render("S", question)
    assert spliced._shapes == {True: None}


def test_literals_are_what_a_template_can_compare_with() -> None:
    assert {"<|im_end|>\n", "role", "\n"} <= set(literals(CHATML))


def uneven(system: str, question: str) -> str:
    """Treats one text otherwise that nothing in a template's text betrays."""
    return f"<{system}>{question.replace('number 7 ', 'NUMBER 7 ')}|"


def test_what_only_shows_on_the_way_is_found_at_the_next_check() -> None:
    spliced = SplicedPrompt(uneven, (), str)
    spliced("", "Why number 8 here?")
    with pytest.raises(UnevenTemplateError):
        [spliced("", "Why number 7 here?") for _ in range(CHECKED)]


def test_then_every_row_is_rendered(tmp_path: Path) -> None:
    source, target, log = tmp_path / "in.jsonl", tmp_path / "out.jsonl", list[str]()
    write(source, [row(f"Why number {number} of all?") for number in range(10)])
    odd = ChatFormat(name="plain", render_prompt=uneven, neutralise=chatml().neutralise, end="<|im_end|>")
    assert convert_file(source, target, odd, Hooks(log=log.append)).rows == 10
    assert "does not treat all texts alike" in log[0]
    assert "<s>Why NUMBER 7 of all?|" in target.read_text()
    assert "<s>Why number 6 of all?|" in target.read_text()
