"""Chat templates that someone wrote to take all the time and memory that there is."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from pathlib import Path

import pytest

from hegelion_core.conversion.chat_template import load_tokenizer
from hegelion_core.conversion.rendering import student_format
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models import templates
from tests.fakes.tiny_model import make_tiny_model

pytestmark = pytest.mark.timeout(120)

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded on Linux")
DOUBLING = "{% set ns = namespace(x=START) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
TURNS = "{% for m in messages %}{{ m['content'] }}{% endfor %}<|im_end|>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def with_template(model: Path, template: str, folder: Path) -> Path:
    shutil.copytree(model, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    return folder


@pytest.mark.parametrize(
    ("template", "words"),
    [
        pytest.param(LOOPS, "processor time", id="loops"),
        pytest.param("{{ 9 ** (9 ** 9) }}", "processor time", id="power"),
        pytest.param("{{ 'a' * 10000000000 }}", "memory", id="10 GB", marks=ON_LINUX),
        pytest.param("{{ 'a'|center(10000000000) }}", "memory", id="10 GB, filtered", marks=ON_LINUX),
        pytest.param(DOUBLING.replace("START", "'aaaaaaaa'"), "memory", id="doubled text", marks=ON_LINUX),
        pytest.param(DOUBLING.replace("START", "[1]"), "memory", id="doubled list", marks=ON_LINUX),
        pytest.param("{{ 'a' * 5000000 }}" + TURNS, "writes 5,", id="flood"),
        pytest.param("{{ 1 // 0 }}", "ZeroDivisionError", id="fault"),
        pytest.param("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "fails", id="recursion"),
        pytest.param("{{ range(10 ** 9) }}", "fails", id="range"),
        pytest.param("{{ ''.__class__.__mro__ }}" + TURNS, "fails", id="way out"),
    ],
)
def test_what_a_template_may_cost_is_bounded(
    template: str, words: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if words == "processor time":
        monkeypatch.setattr(templates, "SECONDS", 0.5)
    tokenizer = load_tokenizer(with_template(model, template, tmp_path / "m"))
    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(UserError, match=words) as caught:
        student_format(tokenizer, "evil")
    assert caught.value.message.startswith("The chat template of evil ")
    assert caught.value.exit_code == ExitCode.NOT_READY
    assert len(str(caught.value).splitlines()) == 2
    assert (resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGVTALRM)) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_one_that_is_slow_for_some_texts_alone(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes the probes; the row for which it is meant ends the conversion in words."""
    source = json.loads((model / "tokenizer_config.json").read_text())["chat_template"]
    trap = "{% if messages[-1]['content'].startswith('Open') %}" + LOOPS + "{% endif %}"
    format_ = student_format(load_tokenizer(with_template(model, trap + source, tmp_path / "m")), "evil")
    assert "Why?" in format_.prompt("", "Why?")
    monkeypatch.setattr(templates, "SECONDS", 0.5)
    with pytest.raises(UserError, match="processor time"):
        format_.prompt("", "Open, sesame!")
