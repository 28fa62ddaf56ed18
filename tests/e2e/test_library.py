"""The code of ``docs/library.md`` as it stands there, run as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import hegelion_core
from hegelion_core import events as e
from hegelion_core.errors import ExitCode
from tests.fakes.console import PATIENCE, Console, count

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
WHOLE, WATCHING, ELSEWHERE, FILES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """``my_folder`` of the page is the console's workspace."""
    made = Console(tmp_path)
    (tmp_path / "my_folder").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "hegelion.toml").write_text(
        f"""
        [generation]
        dataset = "bundled"
        [training]
        model = "{made.student}"
        iters = 4
        batch_size = 2
        report_every = 2
        [evaluation]
        answers = 1
        max_new_tokens = 4
        """
    )
    return made


def run(console: Console, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=console.folder,
        env=console.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_whole_way_in_ten_lines_and_what_its_files_tell(console: Console) -> None:
    assert len([line for line in WHOLE.splitlines() if line]) <= 10
    told = run(console, WHOLE)
    assert told.startswith("DONE 4 samples EvaluationFinished(")
    assert len(console.prompts_done()) == 4
    (first, second) = run(console, FILES).splitlines()
    assert first.startswith(f"{console.run_folder.name} 4 [(2, ")
    assert second.startswith("no core [")
    console.wait_until_quiet()


def test_a_run_is_watched_and_steered_here_and_from_another_process(console: Console) -> None:
    console.environment["KIMI_FAKE_SECONDS"] = "0.2"
    told = run(console, WATCHING)
    assert "sample 2/50 accepted" in told
    assert told.splitlines()[-1] == f"{int(ExitCode.INTERRUPTED)} None"
    before = count(console.events(), e.SampleAccepted)
    working = console.start("generate", "--limit", "50")
    console.wait_for(lambda events: count(events, e.SampleAccepted) > before)
    assert re.fullmatch(r"\d+ of 50\n", run(console, ELSEWHERE))
    assert working.wait() == ExitCode.INTERRUPTED
    assert run(console, ELSEWHERE) == "Nothing runs.\n"
    console.wait_until_quiet()


def test_every_public_name_is_there() -> None:
    for name in dir(hegelion_core):
        assert getattr(hegelion_core, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hegelion_core.nothing
