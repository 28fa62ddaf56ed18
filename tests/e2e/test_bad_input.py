"""Bad input ends in one or two lines that say what, where and what to do, with its exit code, and nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core.errors import ExitCode
from tests.fakes.console import Console


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    return Console(tmp_path_factory.mktemp("console"))


def assert_refused(console: Console, arguments: list[str], code: ExitCode, *words: str) -> None:
    result = console.run(*arguments)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    lines = result.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 2, result.stderr
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run-all", "--limt", "3"], ["--limt", "--limit"]),
        (["generate", "--instnces", "3"], ["--instnces", "--instances"]),
        (["--run-all", "--set", "training.rank=3"], ["training.rank", "training.lora_rank"]),
        (["--run-all", "--set", "nonsense"], ["nonsense", "SECTION.NAME=VALUE"]),
        (["--run-all", "--limit", "none"], ["generation.limit", "none"]),
        (["--run-all", "--limit", "0"], ["generation.limit"]),
        (["--run-all", "--model", "x"], ["--teacher", "--student"]),
        (["--run-all", "--teacher", "socrates"], ["generation.teacher", "socrates", "kimi-cli"]),
        (["train", "--target-s", "1.5"], ["training.target_s", "1.5"]),
        (["train", "--target-s", "0"], ["training.target_s"]),
        (["train", "--memory-limit", "lots"], ["training.memory_limit", "75%"]),
        (["train", "--keep", "first"], ["training.keep", "best", "last"]),
        (["genrate"], ["genrate", "generate"]),
        ([], ["--run-all"]),
    ],
)
def test_usage(console: Console, arguments: list[str], words: list[str]) -> None:
    assert_refused(console, arguments, ExitCode.USAGE, *words)


def test_the_console_without_a_terminal_names_what_works_there(console: Console) -> None:
    ended = console.run()
    assert ended.returncode == ExitCode.USAGE
    assert ended.stderr.splitlines() == [
        "error: The console needs a terminal, and this is none.",
        "Use 'hegelion-console --run-all' where there is no terminal.",
    ]


def test_a_prompt_file_that_is_not_there(console: Console) -> None:
    assert_refused(console, ["generate", "--prompt-file", "missing.txt"], ExitCode.USAGE, "missing.txt")


def test_a_broken_line_in_a_prompt_file_is_named(console: Console) -> None:
    (console.folder / "prompts.jsonl").write_text('{"prompt": "Should cities ban cars?"}\n{"prompt": \n')
    arguments = ["generate", "--prompt-file", "prompts.jsonl", "--limit", "2"]
    assert_refused(console, arguments, ExitCode.USAGE, "prompts.jsonl", "2")


def test_a_broken_line_in_the_training_rows_is_named(console: Console) -> None:
    (console.folder / "rows.jsonl").write_text('{"text": "one row"}\n{"text": \n')
    arguments = ["train", "--model", str(console.student), "--data", "rows.jsonl", "--adapter-path", "a"]
    assert_refused(console, arguments, ExitCode.USAGE, "rows.jsonl", "line 2")


def test_no_teacher_is_explained(console: Console, tmp_path: Path) -> None:
    path = console.environment["PATH"]
    console.environment["PATH"] = str(tmp_path)
    try:
        arguments = console.run_all("--limit", "2", "--output", "x.jsonl")
        assert_refused(console, arguments, ExitCode.NOT_READY, "kimi", "--teacher local")
    finally:
        console.environment["PATH"] = path


def test_a_model_folder_that_is_none(console: Console) -> None:
    (console.folder / "empty").mkdir()
    arguments = ["--run-all", "--dataset", "bundled", "--limit", "1", "--output", "y.jsonl", "--student", "empty"]
    assert_refused(console, arguments, ExitCode.NOT_READY, "empty", "config.json")


def test_an_output_that_is_a_folder(console: Console) -> None:
    (console.folder / "folder").mkdir()
    arguments = ["generate", "--dataset", "bundled", "--output", "folder", "--limit", "1"]
    assert_refused(console, arguments, ExitCode.USAGE, "folder")


def test_a_workspace_that_cannot_be_written(console: Console) -> None:
    (console.folder / "file").write_text("")
    assert_refused(console, ["--run-all", "--workspace", "file/below"], ExitCode.USAGE, "file")


def test_a_file_that_cannot_grow_any_more_loses_nothing(tmp_path: Path) -> None:
    """As on a full disk: the sample file is at the size limit of the process. Without it, the answer is salvaged."""
    console = Console(tmp_path)
    console.samples.parent.mkdir(parents=True)
    console.samples.write_text('{"of": "another program"}\n' * 16_000)
    arguments = ["generate", "--dataset", "bundled", "--limit", "2"]
    limited = console.run(*arguments, file_size=console.samples.stat().st_size + 100)
    assert limited.returncode == ExitCode.FAILED, limited.stdout + limited.stderr
    assert "Traceback" not in limited.stderr
    assert len(limited.stderr.strip().splitlines()) <= 2
    assert console.samples.name in limited.stderr
    assert console.samples.read_text() == '{"of": "another program"}\n' * 16_000
    again = console.run(*arguments)
    assert again.returncode == ExitCode.DONE, again.stderr
    assert "found whole" in again.stdout
    assert len(console.samples.read_text().splitlines()) == 16_002
