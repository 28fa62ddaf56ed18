from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core import events, preflight
from hegelion_core.settings import (
    ConversionSettings,
    GenerationSettings,
    Settings,
    TeacherSettings,
    TrainingSettings,
)
from hegelion_core.worker import Job, Worker
from tests.fakes.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"))


def check(
    root: Path,
    *,
    model: Path,
    limit: int = 2,
    teacher: Path | None = None,
    conversion: ConversionSettings | None = None,
) -> dict[str, events.AnyEvent]:
    """Every check's result by name, in order."""
    (root / "my.txt").write_text("One?\nTwo?\n")
    settings = Settings(
        generation=GenerationSettings(
            prompt_file=Path("my.txt"), limit=limit, teacher="local" if teacher else "kimi-cli"
        ),
        teacher=TeacherSettings(model=str(teacher) if teacher else None),
        conversion=conversion or ConversionSettings(),
        training=TrainingSettings(model=str(model)),
    )
    job = Job(
        root=str(root),
        demo=False,
        run=str(root),
        reports=str(root / "reports.jsonl"),
        settings=settings.model_dump(mode="json"),
    )
    preflight.work(Worker(job))
    found = [events.decode(line) for line in (root / "reports.jsonl").read_bytes().splitlines()]
    return {event.name: event for event in found if isinstance(event, events.CheckPassed | events.CheckFailed)}


def test_all_is_ready(tmp_path: Path, student: Path) -> None:
    results = check(tmp_path, model=student, teacher=student)
    assert list(results) == ["evaluation prompts", "prompts", "student", "chat template", "local teacher's model"]
    assert all(isinstance(result, events.CheckPassed) for result in results.values())
    assert results["prompts"] == events.CheckPassed(name="prompts", detail="my.txt, 2 prompts")
    assert results["chat template"] == events.CheckPassed(name="chat template", detail="plain form")


def test_one_failure_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    results = check(tmp_path, model=tmp_path / "none", limit=3)
    failed = [result for result in results.values() if isinstance(result, events.CheckFailed)]
    assert [result.name for result in failed] == ["prompts", "student"]
    assert all(result.detail and result.fix for result in failed)


def test_a_student_without_a_chat_template_fails_unless_chatml_is_asked_for(tmp_path: Path) -> None:
    student = make_tiny_model(tmp_path / "student")
    config = student / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"chat_template"', '"no_template"'))
    assert isinstance(check(tmp_path, model=student)["chat template"], events.CheckFailed)
    (tmp_path / "reports.jsonl").unlink()
    results = check(tmp_path, model=student, conversion=ConversionSettings(template="chatml"))
    assert isinstance(results["chat template"], events.CheckPassed)


def test_prompts_that_are_prepared_are_not_looked_for_again(tmp_path: Path, student: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text("")
    assert check(tmp_path, model=student, limit=99)["prompts"] == events.CheckPassed(name="prompts", detail="prepared")
