"""Credentials go nowhere, and files are their owner's alone: a whole run with a teacher that tells all it knows."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hegelion_core import events as e
from hegelion_core.redaction import MARK
from tests.fakes.console import Console, count

ENVIRONMENT = {
    "KIMI_API_KEY": "zq1-kimis-own-4711",  # which the teacher is given
    "OPENAI_API_KEY": "zq2-an-endpoints-4712",
    "HF_TOKEN": "zq3-the-hubs-4713",  # which workers are given
    "WANDB_API_KEY": "zq4-a-trackers-4714",
    "AWS_SECRET_ACCESS_KEY": "zq5/a+clouds/4715",
    "DATABASE_PASSWORD": 'zq6 "with" quotes\\4716',
    "MY_ENDPOINT": "zq7-by-another-name-4717",
    "HEGELION_TEACHER__KEY_VARIABLE": "MY_ENDPOINT",
}
IN_ADDRESS = "zq8-in-an-address-4718"
KIMI = ("--teacher", "kimi-cli")
SECRETS = (*(value for value in ENVIRONMENT.values() if value.startswith("zq")), IN_ADDRESS)
ENVIRONMENT["OPENAI_BASE_URL"] = f"https://somebody:{IN_ADDRESS}@127.0.0.1:9/v1"


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A workspace whose user has credentials, and lets everyone write everywhere."""
    made = Console(tmp_path)
    made.environment |= ENVIRONMENT | {"KIMI_FAKE_SCRIPT": str(tmp_path / "script")}
    (tmp_path / "script").write_text("tells_and_fails\ntells\n")
    before = os.umask(0)
    yield made
    os.umask(before)


def test_credentials_go_nowhere_and_files_are_their_owners(console: Console, tmp_path: Path) -> None:
    run = console.start(*console.run_all("--limit", "4", "--instances", "2", *KIMI))
    arguments: set[str] = set()
    while run.poll() is None:
        arguments.update(_command_lines(console))
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(0.2)
    said = (tmp_path / "output.txt").read_text()
    assert run.returncode == 0, said
    (tmp_path / "script").write_text("tells\n" * 40)
    student = ("--student", str(console.student))
    commands = {
        "status": ("--status", "--json"),
        "runs": ("runs", "--json"),
        "run": ("runs", "show", console.run_folder.name, "--json"),
        "report": ("report", "--output", "report.html"),
        "doctor": ("doctor", "--json", *student, "--teacher", "openai"),
        "quality": ("quality", "--json"),
        "data set": ("dataset", "--json", str(console.samples), "set.jsonl", "--format", "messages"),
        "question": ("ask", "Should it be told?", "--json", *KIMI),
        "question that fails": ("ask", "Should it be told?", "--teacher", "openai"),
        "export": ("export", "--json", "--to", "peft"),
    }
    for name, command in commands.items():
        ended = console.run(*command)
        assert "Traceback" not in ended.stderr, name
        assert (ended.returncode == 0) == (name not in ("doctor", "question that fails")), (name, ended.stderr)
        said += ended.stdout + ended.stderr

    assert count(console.events(), e.RequestFailed) == 1
    assert MARK in console.samples.read_text(), "the teacher told it, in an answer that was accepted"
    assert MARK in (tmp_path / "artifacts" / "logs" / "generator_1.log").read_text()
    for secret in SECRETS:
        assert secret not in said
        assert not [line for line in arguments if secret in line]
    assert dict(_leaks(tmp_path)) == {}
    _assert_owners_alone(tmp_path / "artifacts")
    _assert_owners_alone(Path(console.environment["XDG_RUNTIME_DIR"]) / "hegelion")


def _command_lines(console: Console) -> Iterator[str]:
    for process in console.processes():
        try:
            yield " ".join(process.cmdline())
        except psutil.Error:
            continue


def _leaks(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files in which a credential stands, in any spelling."""
    for path in folder.rglob("*"):
        content = path.read_bytes().decode("utf-8", "replace") if path.is_file() and not path.is_symlink() else ""
        for secret in SECRETS:
            if secret in content or secret.replace("\\", "\\\\").replace('"', '\\"') in content:
                yield path.relative_to(folder), secret


def _assert_owners_alone(folder: Path) -> None:
    """Nobody else gets into runs, logs and samples, nor can put anything there. Results may be handed on."""
    results = ("adapters", "models")
    assert folder.is_dir()
    for path in (folder, *folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_symlink() or inside[:1] in [(name,) for name in results]:
            continue
        if any(part in ("checkpoints", "best", "replaced") for part in inside[2:-1]):
            continue  # in a run, into which nobody gets
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
