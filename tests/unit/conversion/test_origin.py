"""Rows that are there, made of what they would be made of now, are known as such; anything else is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core.conversion import origin
from hegelion_core.conversion.rows import Tally
from hegelion_core.events import RowsConverted
from hegelion_core.generation.decisions import decisions_path
from hegelion_core.settings import Settings


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("samples")
    target.write_text("rows")
    origin.note(target, origin.key_of(source, Settings()), Tally(rows=3))
    return source, target


def test_the_same_again_is_known_with_what_it_reported(files: tuple[Path, Path]) -> None:
    source, target = files
    assert origin.recall(source, target, Settings()) == RowsConverted(
        rows=3, skipped={}, path=str(target), template="student"
    )


@pytest.mark.parametrize("changed", ["in.jsonl", "out.jsonl", ".out.jsonl.made", "decisions"])
def test_a_file_that_has_changed_is_noticed(files: tuple[Path, Path], changed: str) -> None:
    source, target = files
    path = decisions_path(source) if changed == "decisions" else source.with_name(changed)
    path.write_text("other")
    assert origin.recall(source, target, Settings()) is None
    path.unlink()
    assert changed == "decisions" or origin.recall(source, target, Settings()) is None


@pytest.mark.parametrize(
    "settings", [{"training": {"model": "bundled"}}, {"conversion": {"template": "chatml"}}], ids=str
)
def test_another_student_or_form_is_something_else(files: tuple[Path, Path], settings: dict[str, object]) -> None:
    assert origin.recall(*files, Settings.model_validate(settings)) is None
