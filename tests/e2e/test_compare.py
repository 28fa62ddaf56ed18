"""Base and adapter, asked in a terminal: a real core, a real process, a tiny student with a real adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fakes.adapters import make_adapter
from tests.fakes.console import FAST, Console
from tests.fakes.terminal import Terminal


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    for process in made.processes():
        process.kill()


def answering(console: Console) -> list[psutil.Process]:
    return [process for process in console.processes() if "hegelion_core.comparing.comparison" in process.cmdline()]


def test_two_questions_to_one_process_that_goes_with_the_core(console: Console) -> None:
    make_adapter(console.student, console.folder / "artifacts" / "adapters" / "hegelion_1.5b_v1", layers=2, size=0.5)
    long = ("--set", "evaluation.max_new_tokens=3000")
    terminal = Terminal(console, "--student", str(console.student), *FAST, *long)
    terminal.wait_for("Nothing yet")
    terminal.press("C")
    terminal.wait_for("Ask something below")
    terminal.press("Is it so?\r")
    terminal.wait_for("answering ·")
    (first,) = answering(console)
    terminal.press("\x1b")
    terminal.wait_for("(stopped)")
    terminal.press("And this?\r")
    terminal.wait_for("answering ·")
    assert answering(console) == [first], "the loaded process answers the next question, too"
    terminal.press("\x1b")
    terminal.wait_for("asked        ✗     ✗       And this?")
    terminal.press("\x1b")
    terminal.wait_for("Nothing yet")
    terminal.press("q")
    assert terminal.wait_for_end() == 0
    terminal.close()
    console.wait_until_quiet()
