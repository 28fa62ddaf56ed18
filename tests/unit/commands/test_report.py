"""``hegelion-console report``: which run, which file, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.commands.report import report
from hegelion_core.errors import ExitCode
from hegelion_core.workspace import Workspace
from hegelion_tui.cli import run
from tests.fakes.html_pages import Page, assert_loads_nothing

Capture = pytest.CaptureFixture[str]


def call(place: Workspace, *arguments: object) -> int:
    return run([*(str(argument) for argument in arguments), "--workspace", str(place.root)], command=report)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path)
    for number, name in enumerate(("20260101-000000-run-all-a", "20260102-000000-run-all-b")):
        folder = place.run(name)
        folder.path.mkdir(parents=True)
        folder.events.write_bytes(
            e.encode(
                e.RunOpened(at=1, run_id=name, folder="", target=3, teacher="t", student="s", source="p", core_pid=0)
            )
        )
        os.utime(folder.events, (number, number))
    return place


def test_the_run_that_was_at_work_last_is_reported(place: Workspace, capsys: Capture) -> None:
    assert call(place) == ExitCode.DONE
    assert "20260102-000000-run-all-b" in capsys.readouterr().out
    written = Page(place.run("20260102-000000-run-all-b").report.read_text())
    assert "20260102-000000-run-all-b" in written.text
    assert_loads_nothing(written)


def test_a_run_is_named_by_the_beginning_of_its_id(place: Workspace, capsys: Capture) -> None:
    target = place.root / "page.html"
    assert call(place, "20260101", "--output", target, "--json") == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert told == {"run": "20260101-000000-run-all-a", "report": str(target), "bytes": target.stat().st_size}
    assert call(place, "20260102", "--output", target) == ExitCode.DONE, "a page of ours is replaced"
    assert "20260102-000000" in target.read_text()


@pytest.mark.parametrize(("name", "told"), [("2026", "2 runs have"), ("20270101", "no run has"), ("", "no run has")])
def test_an_id_that_names_no_run_or_several_is_refused(place: Workspace, name: str, told: str, capsys: Capture) -> None:
    assert call(place, name) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert told in error
    assert "20260101-000000-run-all-a" in error


def test_without_a_run_it_is_not_ready(tmp_path: Path, capsys: Capture) -> None:
    assert call(Workspace(tmp_path)) == ExitCode.NOT_READY
    assert "--run-all" in capsys.readouterr().err


def test_files_of_others_and_folders_are_not_replaced(place: Workspace) -> None:
    other = place.root / "notes.html"
    other.write_text("<p>mine")
    assert call(place, "--output", other) == ExitCode.USAGE
    assert call(place, "--output", place.root) == ExitCode.USAGE
    assert call(place, "--output", place.root / "no" / "x.html") == ExitCode.USAGE
    assert other.read_text() == "<p>mine"
    assert call(place, "--output", other, "--force") == ExitCode.DONE
