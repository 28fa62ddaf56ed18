"""The process's own work, on a real tiny student with a real adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core.comparing import comparison, exchange
from hegelion_core.comparing.exchange import Exchange, Exchanges
from hegelion_core.conversion.rendering import load_format
from hegelion_core.dialectic.prompts import STUDENT_SYSTEM
from hegelion_core.evaluation.answers import answer_prompts
from hegelion_core.models import loading
from hegelion_core.settings import Settings
from tests.fakes.adapters import make_adapter
from tests.fakes.compared import lay_down, settings, worker


def answered(folder: Path, number: int) -> Exchange:
    read = Exchanges(folder)
    read.refresh()
    return next(each for each in read.all() if each.number == number)


def expected(root: Path, chosen: Settings, text: str, *, adapter: bool) -> str:
    """What the evaluation's own way of answering gives, from a model of its own."""
    loaded = loading.load(root / "student")
    if adapter:
        loading.apply_adapter(loaded.model, root / "adapter")
    loaded.model.eval()
    format_ = load_format(root / "student", chosen.conversion.template)
    given = answer_prompts(
        loaded.model, loaded.tokenizer, [format_.prompt(STUDENT_SYSTEM, text)],
        opened=format_.opened, max_new_tokens=12, seed=0, progress=lambda _: None, stop=lambda: False, temperature=0.0,
    )  # fmt: skip
    assert given is not None
    return given[0].text


@pytest.mark.parametrize("thinking", [False, True])
def test_both_answer_as_each_would_alone(tmp_path: Path, thinking: bool) -> None:
    chosen = settings(tmp_path, thinking=thinking)
    students, folder = comparison.Students(worker(tmp_path, chosen)), tmp_path / "compare"
    lay_down(folder, 1, "Is it so?")
    comparison._answer(students, folder, 1)
    found = answered(folder, 1)
    assert found.progress == "ended"
    assert found.failed is None
    assert found.base.text == expected(tmp_path, chosen, "Is it so?", adapter=False)
    assert found.adapter.text == expected(tmp_path, chosen, "Is it so?", adapter=True)
    assert found.base.text != found.adapter.text
    assert {found.base.ending, found.adapter.ending} <= {"end", "cut"}
    assert found.base.seconds is not None
    assert found.base.text.startswith("<think>") == thinking


def test_the_student_stays_and_a_new_adapter_is_read(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    students, folder = comparison.Students(worker(tmp_path, chosen)), tmp_path / "compare"
    for number in (1, 2):
        lay_down(folder, number, "Is it so?")
        comparison._answer(students, folder, number)
    base, adapted = students.base, students.adapted
    assert answered(folder, 2).base.text == answered(folder, 1).base.text
    make_adapter(tmp_path / "student", tmp_path / "adapter", layers=1, size=0.9)
    lay_down(folder, 3, "Is it so?")
    comparison._answer(students, folder, 3)
    assert students.base is base
    assert students.adapted is not adapted
    third = answered(folder, 3)
    assert third.base.text == answered(folder, 1).base.text, "the base stays as it is"
    assert third.adapter.text == expected(tmp_path, chosen, "Is it so?", adapter=True)
    assert third.adapter.text != answered(folder, 1).adapter.text


def test_the_weights_are_in_memory_once(tmp_path: Path) -> None:
    settings(tmp_path)
    loaded = loading.load(tmp_path / "student")
    second = loading.twin(loaded)
    weight = loaded.model["model"]["layers"][0]["mlp"]["up_proj"]["weight"]
    assert second.model["model"]["layers"][0]["mlp"]["up_proj"]["weight"] is weight
    loading.apply_adapter(second.model, tmp_path / "adapter")
    assert second.model["model"]["layers"][0]["mlp"]["up_proj"]["linear"]["weight"] is weight
    assert "linear" not in loaded.model["model"]["layers"][0]["mlp"]["up_proj"]


def test_stopped_answers_end_where_they_are(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    students, folder = comparison.Students(worker(tmp_path, chosen)), tmp_path / "compare"
    lay_down(folder, 1, "Is it so?")
    (exchange.place(folder, 1) / exchange.STOP).touch()
    comparison._answer(students, folder, 1)
    assert [side.ending for side in (answered(folder, 1).base, answered(folder, 1).adapter)] == ["stopped", "stopped"]


def test_what_stands_against_an_answer_is_said_and_the_next_question_is_answered(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    students, folder = comparison.Students(worker(tmp_path, chosen)), tmp_path / "compare"
    (tmp_path / "adapter" / "adapters.safetensors").rename(tmp_path / "aside")
    lay_down(folder, 1, "Is it so?")
    comparison._answer(students, folder, 1)
    failed = answered(folder, 1).failed
    assert failed is not None
    assert "not an adapter" in failed.message
    (tmp_path / "aside").rename(tmp_path / "adapter" / "adapters.safetensors")
    lay_down(folder, 2, "word " * 1_000)
    comparison._answer(students, folder, 2)
    failed = answered(folder, 2).failed
    assert failed is not None
    assert "the student's context is 4,096" in failed.message
    lay_down(folder, 3, "Is it so?")
    comparison._answer(students, folder, 3)
    assert answered(folder, 3).failed is None
    comparison._answer(students, folder, 3)
    assert answered(folder, 3).base.ending, "what is answered is not answered twice"


def test_nothing_is_downloaded_for_a_question(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    chosen = chosen.model_copy(update={"training": chosen.training.model_copy(update={"model": "nobody/nothing"})})
    lay_down(tmp_path / "compare", 1, "Is it so?")
    comparison._answer(comparison.Students(worker(tmp_path, chosen)), tmp_path / "compare", 1)
    failed = answered(tmp_path / "compare", 1).failed
    assert failed is not None
    assert "nobody/nothing: the student is not on this machine." in failed.message
