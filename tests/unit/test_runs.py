"""Runs: where they stand, listed, compared, removed; and the command that goes on with one."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from pathlib import Path

import pytest

from hegelion_core import again, runs
from hegelion_core import events as e
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import EventLog
from hegelion_core.run import CoreLock, find_run, identify, open_run, reread
from hegelion_core.run_state import RunState
from hegelion_core.settings import resolve
from hegelion_core.workspace import RunFolder, Workspace
from hegelion_tui.cli import run as console

Capture = pytest.CaptureFixture[str]


def make(
    place: Workspace, number: int, *, exit_code: int | None = 0, core: int = 2**22 + 1, limit: int = 4
) -> RunFolder:
    """A run that generated ``number`` samples."""
    folder = place.run(f"2026010{number}-000000-generate-{number:08x}")
    folder.spool.mkdir(parents=True)
    settings = resolve(place.root, {"generation.limit": limit}).settings
    folder.settings.write_text(settings.model_dump_json())
    log = EventLog(folder.events, clock=lambda: 1000.0 * number)
    log.publish(
        e.RunOpened(
            run_id=folder.id, folder=str(folder.path), target=limit, teacher="t", student="s", source="p", core_pid=core
        )
    )
    log.publish(e.WorkRequested(stages=("generate",)))
    log.publish(e.SamplesCounted(path=str(place.root / "samples.jsonl"), accepted=number))
    if exit_code is not None:
        log.publish(e.RunEnded(exit_code=exit_code))
    log.close()
    os.utime(folder.events, (number, number))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def call(place: Workspace, *arguments: str) -> int:
    return console(["runs", *arguments, "--workspace", str(place.root)])


@pytest.mark.parametrize(
    ("code", "standing"),
    [
        (0, "done"),
        (1, "failed"),
        (2, "bad input"),
        (3, "not ready"),
        (75, "waits for quota"),
        (130, "stopped"),
        (None, "died"),
    ],
)
def test_where_a_run_stands(place: Workspace, code: int | None, standing: str) -> None:
    assert runs.facts(place, make(place, 1, exit_code=code)).standing == standing


def test_a_core_is_one_that_holds_the_workspace_and_has_this_run_open(place: Workspace) -> None:
    mine, other = make(place, 1, exit_code=None, core=os.getpid()), make(place, 2, exit_code=None)
    assert runs.facts(place, mine).standing == "died", "a process of that id lives, but holds nothing"
    lock = CoreLock(place)
    assert runs.facts(place, mine).standing == "at work"
    assert runs.facts(place, other).standing == "died"
    lock.release()
    assert runs.standing(RunState(), 0) == "not started"
    assert runs.standing(RunState(), 5) == "idle"


def test_the_list_has_the_run_that_was_at_work_last_first(place: Workspace, capsys: Capture) -> None:
    assert call(place) == ExitCode.DONE
    assert "No run in" in capsys.readouterr().out
    make(place, 1)
    make(place, 2, exit_code=130)
    assert call(place) == ExitCode.DONE
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "last", "at", "work", "state", "samples", "step", "loss", "size"]
    assert first.split()[0].startswith("20260102")
    assert first.split()[3:5] == ["stopped", "2/4"]
    assert second.split()[3:5] == ["done", "1/4"]
    assert call(place, "list", "--json") == ExitCode.DONE
    assert [run["samples"] for run in json.loads(capsys.readouterr().out)] == [2, 1]


def test_one_run_is_shown_with_the_command_that_goes_on(place: Workspace, capsys: Capture) -> None:
    make(place, 1, exit_code=130)
    assert call(place, "show", "2026") == ExitCode.DONE
    shown = capsys.readouterr().out
    assert "samples       1 of 4" in shown
    assert "generation.limit" in shown
    assert f"Go on with it: hegelion-console generate --workspace {place.root}" in shown
    assert call(place, "show", "2026", "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["settings"]["generation.limit"] == 4


def test_two_runs_are_compared_by_settings_and_results(place: Workspace, capsys: Capture) -> None:
    make(place, 1)
    make(place, 2, limit=9)
    assert call(place, "compare", "20260101", "20260102") == ExitCode.DONE
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["generation.limit", "4", "9"] in rows
    assert ["samples", "1", "of", "4", "2", "of", "9"] in rows
    assert call(place, "compare", "20260101", "20260101") == ExitCode.DONE
    assert "No setting differs." in capsys.readouterr().out
    make(place, 3).settings.write_text("[")
    assert call(place, "compare", "20260101", "20260103") == ExitCode.FAILED
    assert "settings.json: cannot be read" in capsys.readouterr().err


def test_a_run_is_removed_with_all_in_it_and_nothing_elsewhere(place: Workspace, capsys: Capture) -> None:
    folder, other = make(place, 1), make(place, 2)
    elsewhere = place.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("mine")
    (folder.path / "link").symlink_to(elsewhere, target_is_directory=True)
    (folder.path / "file-link").symlink_to(elsewhere / "kept")
    assert call(place, "remove", "20260101", "--yes") == ExitCode.DONE
    assert "Removed 20260101" in capsys.readouterr().out
    assert (elsewhere / "kept").read_text() == "mine"
    assert [path.name for path in place.runs.iterdir()] == [other.id]


def test_a_removal_that_was_ended_is_no_run_any_more_and_the_next_one_ends_it(place: Workspace) -> None:
    folder, _ = make(place, 1), make(place, 2)
    folder.path.rename(place.runs / f".{folder.id}.removed")
    assert [run.id[:8] for run in place.all_runs()] == ["20260102"]
    assert call(place, "remove", "2026", "--yes") == ExitCode.DONE
    assert list(place.runs.iterdir()) == []


def test_what_must_not_be_removed_is_not(place: Workspace, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, linked = make(place, 1, exit_code=None, core=os.getpid()), make(place, 2)
    outside = place.root / "outside"
    linked.path.rename(outside)
    linked.path.symlink_to(outside, target_is_directory=True)
    assert call(place, "remove", "20260102", "--yes") == ExitCode.USAGE
    assert "is a link" in capsys.readouterr().err
    assert (outside / "events.jsonl").exists()
    lock = CoreLock(place)
    assert call(place, "remove", "20260101", "--yes") == ExitCode.NOT_READY
    assert f"core {os.getpid()} has it open" in capsys.readouterr().err
    another = make(place, 3)
    assert call(place, "remove", "20260103", "--yes") == ExitCode.NOT_READY, "the core may be just opening it"
    lock.release()
    assert another.path.exists()
    assert call(place, "remove", "20260103") == ExitCode.USAGE, "nobody can be asked"
    monkeypatch.setattr("sys.stdin", _Terminal("n\n"))
    assert call(place, "remove", "20260103") == ExitCode.INTERRUPTED
    assert another.path.exists()
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    assert call(place, "remove", "20260103") == ExitCode.DONE
    assert not another.path.exists()
    assert at_work.path.exists()


class _Terminal:
    """A standard input at which someone answers."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        return self._answer


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("run-all", {"generation.limit": "5", "training.model": "my student", "training.auto_stop": True}),
        ("run-all", {"training.hosts": "a,b", "evaluation.prompts": "x.txt", "training.num_layers": "-1"}),
        ("generate", {"generation.teacher": "local", "generation.limit": 7, "teacher.temperature": "0.5"}),
        ("convert", {"generation.output": "a.jsonl", "conversion.output": "b.jsonl"}),
        ("train", {"training.trainer": "standard", "training.lr": "2e-5", "training.grad_checkpoint": True}),
        ("evaluate", {"training.adapter_path": "my adapter", "evaluation.answers": 3}),
    ],
)
def test_the_command_that_goes_on_finds_the_same_run(
    place: Workspace, kind: again.Kind, flags: dict[str, object], capsys: Capture
) -> None:
    (place.root / "hegelion.toml").write_text("[generation]\nseed = 5\n")
    settings = resolve(place.root, flags).settings
    folder = open_run(place, settings, kind)
    assert find_run(place, settings, kind) == folder
    state = RunState(run_id=folder.id, arguments=again.arguments(place, settings, kind), requested=e.STAGES)
    program, *command = shlex.split(again.command(state, place))
    assert program == "hegelion-console"
    with contextlib.suppress(SystemExit):
        console([*command, "--dry-run"])
    assert f"run: {folder.id} (would be resumed)" in capsys.readouterr().out


def test_a_run_whose_folder_a_kill_left_half_made_is_made_whole(place: Workspace) -> None:
    settings = resolve(place.root, {}).settings
    folder = place.run(f"20260101-000000-generate-{identify(place, settings, 'generate')}")
    folder.path.mkdir(parents=True)
    assert open_run(place, settings, "generate") == folder
    assert folder.spool.is_dir()
    assert folder.path.stat().st_mode & 0o077 == 0
    assert reread(folder) == (settings, "generate")
    before = folder.settings.stat().st_mtime_ns
    assert open_run(place, settings, "generate") == folder
    assert folder.settings.stat().st_mtime_ns == before, "the settings with which it began stay"


def test_of_a_run_that_was_asked_for_in_part_the_console_goes_on(place: Workspace) -> None:
    state = RunState(run_id=f"20260101-000000-run-all-{identify(place, resolve(place.root, {}).settings, 'run-all')}")
    part = RunState(run_id=state.run_id, requested=("generate",), demo=True)
    assert again.command(part, place) == f"hegelion-console --demo --workspace {place.root} (then press g)"


def test_a_command_is_told_as_one_types_it_where_one_is(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = Workspace(place.root, demo=True)
    assert again.typed(place, "train") == f"hegelion-console train --workspace {place.root}"
    with pytest.raises(UserError, match="hegelion-console --run-all --demo --workspace"):
        runs.find(demo, None)
    monkeypatch.chdir(place.root)
    assert again.typed(demo, "stop") == "hegelion-console stop --demo"


def test_a_name_that_means_no_run_is_refused(place: Workspace) -> None:
    make(place, 1)
    with pytest.raises(UserError, match="no run has"):
        runs.find(place, "../20260101")


def test_credentials_in_an_address_are_not_told(place: Workspace) -> None:
    settings = resolve(place.root, {"teacher.url": "http://host/v1"}).settings
    folder = open_run(place, settings, "generate")
    written = folder.settings.read_text()  # as an earlier version kept it
    folder.settings.write_text(written.replace("http://host", "http://me:swordfish@host"))
    assert "swordfish" not in shlex.join(again.arguments(place, settings, "generate"))
    assert runs.settings_of(folder)["teacher.url"] == "http://[redacted]@host/v1"
