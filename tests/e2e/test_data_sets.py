"""Conversion of one file into another, and data sets: the guide's commands in real processes, kills, a hub."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hegelion_core.errors import ExitCode
from tests.fakes.console import PATIENCE, Console, kill
from tests.fakes.hub import TOKEN, hub
from tests.fakes.sample_files import output, row, text, write
from tests.fakes.tiny_model import make_tiny_model

ENTRY: dict[str, object] = {
    "query": "Should we implement feature X?",
    "thesis": "Yes, since users ask for it every week.",
    "antithesis": "No, since the team cannot maintain it.",
    "synthesis": "Build it behind a flag and measure who uses it.",
}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    made = Console(tmp_path_factory.mktemp("console"))
    write(made.folder / "samples.jsonl", [*(row(f"Question {number}?") for number in range(6)), b"{torn"])
    write(made.folder / "agent_logs.jsonl", [ENTRY, {**ENTRY, "thesis": ""}])
    return made


def module(console: Console, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"hegelion_core.scripts.{name}", *arguments],
        cwd=console.folder,
        env=console.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_guides_conversion_is_the_command(console: Console) -> None:
    student = ("--model", str(console.student), "--verify")
    done = module(console, "convert_for_scu", "samples.jsonl", "data/by_module.jsonl", *student)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert done.stdout == (
        "6 rows in data/by_module.jsonl (plain form, each verified).\nNot converted: 1 broken_line (line 7)\n"
    )
    told = console.run("convert", "samples.jsonl", "data/by_command.jsonl", *student[:2], "--json")
    assert json.loads(told.stdout)["first_lines"] == {"broken_line": [7]}
    made = [(console.folder / "data" / f"by_{how}.jsonl").read_bytes() for how in ("module", "command")]
    assert made[0] == made[1]
    assert not (console.folder / "artifacts" / "runs").exists()  # it is no run


def test_rows_that_the_student_cannot_read_are_refused(console: Console) -> None:
    arguments = ("samples.jsonl", "data/x.jsonl", "--template", "chatml", "--model", "thinker", "--verify")
    (make_tiny_model(console.folder / "thinker", thinking=True) / "model.safetensors").unlink()  # not needed for this
    result = console.run("convert", *arguments)
    assert result.returncode == ExitCode.FAILED
    assert "6 of 6 rows: each ends with '<|im_end|>'" in result.stderr
    assert not (console.folder / "data" / "x.jsonl").exists()


def test_killed_in_the_middle_it_goes_on_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    console = Console(tmp_path)
    long = text("long", 400)
    answers = [output(n % 20, words=90, answer=f"{n} {long}") for n in range(20)]
    write(tmp_path / "in.jsonl", [row(f"Why number {n}?", answers[n % 20]) for n in range(4000)])
    command = ("convert", "in.jsonl", "out.jsonl", "--template", "chatml")
    process = console.start(*command)
    journal = tmp_path / ".out.jsonl.part.journal"
    deadline = time.monotonic() + PATIENCE
    while not journal.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, (tmp_path / "output.txt").read_text()
        time.sleep(0.01)
    kill(process)
    assert not (tmp_path / "out.jsonl").exists()
    done = console.run(*command)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "Going on behind line" in done.stderr
    assert console.run("convert", "in.jsonl", "whole.jsonl", *command[3:]).returncode == ExitCode.DONE
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob(".out*"))


def test_the_guides_data_set_is_the_command(console: Console) -> None:
    done = module(console, "hegelion_dataset", "agent_logs.jsonl", "training_data.jsonl", "--format", "dpo")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert done.stdout == "1 row in training_data.jsonl.\nLeft out: 1 empty_thesis (line 2)\n"
    (pair,) = map(json.loads, (console.folder / "training_data.jsonl").read_text().splitlines())
    assert pair["rejected"] == [{"role": "assistant", "content": ENTRY["thesis"]}]
    again = console.run("dataset", "agent_logs.jsonl", "training_data.jsonl", "--format", "dpo", "--rejected", "both")
    assert again.stdout.startswith("3 rows in training_data.jsonl.\n")


def test_a_data_set_on_the_hub(console: Console) -> None:
    with hub() as stand_in:
        console.environment |= {"HF_ENDPOINT": stand_in.url, "HF_TOKEN": TOKEN}
        command = ("dataset", "samples.jsonl", "m.parquet", "--format", "messages", "--valid", "0.2")
        done = console.run(*command, "--push-to-hub", "me/set", "--license", "mit")
        assert done.returncode == ExitCode.DONE, done.stderr
        made = stand_in.repositories["me/set"]
        assert made.private
        assert sorted(made.files) == ["README.md", "data/train.parquet", "data/valid.parquet"]
        assert made.files["data/train.parquet"] == (console.folder / "m.parquet").read_bytes()
        assert "split: validation" in made.files["README.md"].decode()
        assert f"Pushed: {stand_in.url}/datasets/me/set/commit/" in done.stdout
        stand_in.fail["repos/create"] = 403
        refused = console.run(*command, "--push-to-hub", "me/other")
        assert (refused.returncode, refused.stdout) == (ExitCode.NOT_READY, "")
        assert "may not write there (403)" in refused.stderr
    assert TOKEN not in done.stdout + done.stderr + refused.stderr


def test_ctrl_c_ends_an_upload_at_once_and_keeps_the_files(console: Console) -> None:
    with hub() as stand_in:
        console.environment |= {"HF_ENDPOINT": stand_in.url, "HF_TOKEN": TOKEN}
        stand_in.silent = "PUT /storage"
        arguments = ("samples.jsonl", "stopped.parquet", "--format", "messages", "--valid", "0.2")
        process = console.start("dataset", *arguments, "--push-to-hub", "me/stopped")
        assert stand_in.asked_in_vain.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == ExitCode.INTERRUPTED  # the stand-in stays silent till the end
    said = (console.folder / "output.txt").read_text()
    assert said.strip().endswith("Stopped. The files lie here; the same command pushes them again.")
    assert (console.folder / "stopped.parquet").is_file()
    assert (console.folder / "stopped.valid.parquet").is_file()


def test_a_full_disk(console: Console) -> None:
    target = console.folder / "full.jsonl"
    target.write_text('{"text":"old"}\n')
    for arguments in (
        ("convert", "samples.jsonl", "full.jsonl", "--template", "chatml"),
        ("dataset", "samples.jsonl", "full.jsonl", "--format", "messages", "--force"),
    ):
        result = console.run(*arguments, file_size=1000)
        assert result.returncode == ExitCode.FAILED, result.stderr
        assert "Traceback" not in result.stderr
        assert target.read_text() == '{"text":"old"}\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dataset", "missing.jsonl", "o.jsonl", "--format", "dpo"], "no such sample file"),
        (["dataset", "agent_logs.jsonl", "o.jsonl"], "--format"),
        (["dataset", "agent_logs.jsonl", "o.jsonl", "--format", "csv"], "csv"),
        (["dataset", "agent_logs.jsonl", "o.xlsx", "--format", "dpo"], ".parquet"),
        (["dataset", "agent_logs.jsonl", "samples.jsonl", "--format", "dpo"], "no data set of ours"),
        (["dataset", "agent_logs.jsonl", "agent_logs.jsonl", "--format", "dpo"], "the input itself"),
        (["dataset", "agent_logs.jsonl", "o.jsonl", "--format", "dpo", "--model", "x"], "--model"),
        (["dataset", "agent_logs.jsonl", "o.jsonl", "--format", "dpo", "--push-to-hub", "x"], "OWNER/NAME"),
        (["dataset", "student/config.json", "o.jsonl", "--format", "dpo"], "nothing that can be used"),
        (["convert", "samples.jsonl", "agent_logs.jsonl", "--template", "chatml"], "--force"),
        (["convert", "samples.jsonl", "--verify"], "OUT"),
        (["convert", "missing.jsonl", "o.jsonl"], "missing.jsonl"),
    ],
)
def test_usage(console: Console, arguments: list[str], words: str) -> None:
    result = console.run(*arguments)
    assert result.returncode == ExitCode.USAGE, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(console.folder.glob("o.*"))
