"""Pipes, devices and folders where files are meant: nothing waits for them, reads them without end or replaces them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.store import SampleStore
from hegelion_core.regular import open_regular, read_regular
from hegelion_core.training.batching import read_rows
from hegelion_core.workspace import Workspace
from hegelion_tui.cli import run
from tests.fakes.sample_files import row, write

pytestmark = pytest.mark.timeout(60)

Capture = pytest.CaptureFixture[str]
Put = Callable[[Path], None]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


SPECIAL = pytest.mark.parametrize("put", [pipe, device, folder])


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "samples.jsonl", [row("Is it so?"), row("Is it not so?")])


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Workspace(tmp_path).run("20260101-000000-run-1").path
    path.mkdir(parents=True, mode=0o700)
    (path / "events.jsonl").write_text('{"type":"NoticePosted","at":1.0,"text":"There."}\n')
    (path / "settings.json").write_text("{}")
    return path


@SPECIAL
def test_what_is_no_regular_file_is_not_opened(put: Put, tmp_path: Path) -> None:
    put(tmp_path / "x")
    free = os.dup(0)
    os.close(free)
    with pytest.raises(OSError, match=r"no regular file|Is a directory"):
        read_regular(tmp_path / "x")
    after = os.dup(0)
    os.close(after)
    assert after == free, "nothing stays open"


def test_a_regular_file_is_read_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\nb\n")
    (tmp_path / "link").symlink_to("x")
    assert read_regular(tmp_path / "link") == b"a\nb\n"
    with open_regular(tmp_path / "x", 1 << 16) as file:
        assert list(file) == [b"a\n", b"b\n"]
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "y")


@SPECIAL
@pytest.mark.parametrize("name", ["core.json", "teachers.json", ".core.lock"])
@pytest.mark.parametrize("command", [("--status",), ("stop",), ("runs",)])
def test_what_is_planted_in_the_workspace_is_passed_over(
    put: Put, name: str, command: tuple[str, ...], run_folder: Path, capsys: Capture
) -> None:
    put(run_folder.parents[1] / name)
    assert run(list(command)) in (ExitCode.DONE, ExitCode.FAILED)
    assert "Traceback" not in capsys.readouterr().err


@SPECIAL
@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluation.json", "settings.json", ".events.jsonl.snapshot"])
def test_what_is_planted_in_a_run_is_passed_over(put: Put, name: str, run_folder: Path, capsys: Capture) -> None:
    (run_folder / name).unlink(missing_ok=True)
    put(run_folder / name)
    for command in (["report"], ["--status"], ["runs"]):
        assert run(command) == ExitCode.DONE, command
    capsys.readouterr()
    assert run(["runs", "show", run_folder.name]) == (ExitCode.FAILED if name == "settings.json" else ExitCode.DONE)
    assert len(capsys.readouterr().err.splitlines()) <= 2


@SPECIAL
def test_training_rows(put: Put, tmp_path: Path) -> None:
    put(tmp_path / "rows.jsonl")
    with pytest.raises(UserError, match=r"is no regular file|is a folder") as caught:
        read_rows(tmp_path / "rows.jsonl")
    assert caught.value.exit_code == ExitCode.USAGE


@SPECIAL
def test_a_sample_file(put: Put, tmp_path: Path) -> None:
    put(tmp_path / "samples.jsonl")
    with pytest.raises((UserError, OSError), match=r"no regular file|folder|directory"):
        SampleStore(tmp_path / "samples.jsonl").refresh()


@SPECIAL
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("convert", "samples.jsonl", "x", "--template", "chatml"), "x"),
        (("dataset", "samples.jsonl", "x.jsonl", "--format", "messages"), "x.jsonl"),
        (("quality", "samples.jsonl", "--card", "x"), "x"),
    ],
)
def test_a_pipe_or_a_device_is_not_replaced(
    put: Put, command: tuple[str, ...], name: str, force: bool, samples: Path, capsys: Capture
) -> None:
    """As root, whoever says ``convert IN /dev/null`` would take it from the whole system."""
    put(samples.parent / name)
    before = (samples.parent / name).lstat()
    assert run([*command, *(["--force"] if force else [])]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "is no regular file" in said or "is a folder" in said
    assert len(said.splitlines()) <= 2
    assert (samples.parent / name).lstat().st_ino == before.st_ino


@SPECIAL
def test_a_report_does_not_replace_one_either(put: Put, run_folder: Path, capsys: Capture) -> None:
    put(Path("x"))
    assert run(["report", "--output", "x", "--force"]) == ExitCode.USAGE
    assert len(capsys.readouterr().err.splitlines()) <= 2
    assert not Path("x").is_file()
