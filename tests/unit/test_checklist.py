from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core import checklist
from hegelion_core.checklist import GIB, disk, memory, output_file, output_folder
from hegelion_core.events import CheckFailed, CheckPassed
from hegelion_core.settings import GenerationSettings, Settings
from hegelion_core.workspace import Workspace


@pytest.mark.parametrize(("free", "kind"), [(2 * GIB, CheckPassed), (2 * GIB - 1, CheckFailed)])
def test_disk(tmp_path: Path, free: int, kind: type) -> None:
    assert isinstance(disk(tmp_path, free, 2.0), kind)


def test_a_failure_says_how_much_and_what_to_do() -> None:
    failed = memory(4 * GIB, GIB, 6.0)
    assert isinstance(failed, CheckFailed)
    assert failed.detail == "There are 4.0 GiB of memory, 6.0 GiB are needed."
    assert "smaller student" in failed.fix
    assert memory(8 * GIB, GIB, 6.0) == CheckPassed(name="memory", detail="8.0 GiB, 1.0 GiB of it free")


def test_an_output_path_that_can_be_written_leaves_only_its_folder(tmp_path: Path) -> None:
    assert isinstance(output_file("rows", tmp_path / "new" / "rows.jsonl"), CheckPassed)
    left = tmp_path / "new" / ".rows.jsonl.verdicts.999999999.tmp"  # by a check that was killed
    left.touch()
    assert isinstance(output_file("rows", tmp_path / "new" / "rows.jsonl"), CheckPassed)
    assert not left.exists()
    assert isinstance(output_folder("adapter", tmp_path / "more" / "adapter"), CheckPassed)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["more", "more/adapter", "new"]


def test_output_paths_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    results = [
        output_file("rows", tmp_path),
        output_file("rows", tmp_path / "file" / "rows.jsonl"),
        output_folder("adapter", tmp_path / "file"),
        output_folder("adapter", tmp_path / "file" / "adapter"),
        output_folder("adapter", Path("/proc/hegelion")),
    ]
    assert all(isinstance(result, CheckFailed) and result.fix for result in results)


def test_mlx_lms_own_trainer_is_asked_for_one_process(tmp_path: Path) -> None:
    def named(**training: object) -> list[checklist.Check]:
        settings = Settings.model_validate({"training": training})
        return [check for check in checklist.run(Workspace(tmp_path), settings) if check.name == "trainer"]

    assert named(processes=2) == []
    assert named(trainer="standard") == [CheckPassed(name="trainer", detail="mlx-lm's own")]
    (failed,) = named(trainer="standard", processes=2)
    assert isinstance(failed, CheckFailed)
    assert "--standard" in failed.fix


def test_the_whole_list(tmp_path: Path) -> None:
    settings = Settings(generation=GenerationSettings(output=tmp_path))
    results = {result.name: result for result in checklist.run(Workspace(tmp_path), settings)}
    assert list(results)[:2] == ["disk", "memory"]
    assert results["sample file"] == CheckFailed(
        name="sample file",
        detail=f"{tmp_path} is a folder, not a file.",
        fix="Choose another path, or move what is there and mend permissions.",
    )
    assert isinstance(results["adapter"], CheckPassed)
