"""``hegelion-console doctor`` as a user runs it, in a fresh workspace, after a kill, and with ``--fix``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.errors import ExitCode
from tests.fakes.console import Console, count, kill

PATIENT = ("--patience", "60")


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = Console(tmp_path)
    made.environment["HF_HUB_OFFLINE"] = "1"
    return made


def findings(console: Console, *arguments: str) -> dict[str, dict[str, str]]:
    result = console.run("doctor", "--json", *PATIENT, "--student", str(console.student), *arguments)
    assert result.returncode in (ExitCode.DONE, ExitCode.NOT_READY), result.stderr
    return {one["name"]: one for section in json.loads(result.stdout)["sections"] for one in section["findings"]}


def test_a_fresh_workspace_is_ready_and_looking_leaves_it_fresh(console: Console) -> None:
    before = sorted(console.folder.rglob("*"))
    result = console.run("doctor", *PATIENT, "--student", str(console.student))
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    assert "✓ teacher" in result.stdout
    assert "kimi-code 2.1.0" in result.stdout
    assert result.stdout.index("Ready to train") < result.stdout.index("The run")
    assert ", 0 to be mended" in result.stdout.replace("checks:", ",")
    made = [path for path in sorted(console.folder.rglob("*")) if path not in before]
    assert [path.name for path in made if path.name != "teachers.json"] == []
    assert not list(console.folder.glob("artifacts/*/"))


def test_what_is_wrong_gives_exit_code_3_and_words(console: Console) -> None:
    console.environment["KIMI_FAKE_VERSION"] = "kimi, version 1.52.0"
    result = console.run("doctor", *PATIENT, "--student", str(console.folder / "nothing"))
    assert result.returncode == ExitCode.NOT_READY
    assert "✗ teacher" in result.stdout
    assert "archived" in result.stdout
    assert "✗ student" in result.stdout
    wrong = console.run("doctor", "--set", "training.lr=fast")
    assert wrong.returncode == ExitCode.USAGE


def test_fix_makes_folders_and_the_blas_and_says_so(console: Console) -> None:
    result = console.run("doctor", "--fix", *PATIENT, "--student", str(console.student))
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    assert "artifacts/adapters/hegelion_1.5b_v1 is there now." in result.stderr
    assert (console.folder / "artifacts" / "adapters" / "hegelion_1.5b_v1").is_dir()
    assert "--fix:" not in result.stdout
    again = console.run("doctor", "--fix", *PATIENT, "--student", str(console.student))
    assert again.stderr == ""


def test_after_a_kill_the_leftovers_are_told_and_mended(console: Console) -> None:
    console.environment["KIMI_FAKE_SECONDS"] = "2"  # so that it is at work for as long as it is looked at
    generate = ("generate", "--dataset", "bundled", "--limit", "20")
    process = console.start(*generate)
    console.wait_for(lambda events: count(events, e.SampleAccepted) >= 1)
    running = findings(console)
    assert running["run"]["found"].endswith("is at work")
    assert running["lock"]["level"] == "ok"
    kill(process)
    console.wait_until_quiet()
    with open(console.samples, "ab") as file:
        file.write(b'{"torn')
    found = findings(console)
    assert found["run"]["level"] == "warning"
    assert "without warning" in found["run"]["found"]
    assert found["socket"]["level"] == "warning"
    assert found["last line"]["level"] == "warning"
    assert "core.json" in found["socket"]["fix"]
    found = findings(console, "--fix")
    assert found["socket"]["level"] == found["last line"]["level"] == "ok"
    assert console.samples.read_bytes().endswith(b"}\n")
    assert '{\\"torn' in console.samples.with_suffix(".rejected.jsonl").read_text("utf-8")
    console.environment["KIMI_FAKE_SECONDS"] = "0"
    result = console.run(*generate)
    assert result.returncode == ExitCode.DONE, result.stderr
    assert findings(console)["samples"]["found"].startswith("20 of 20 samples")
