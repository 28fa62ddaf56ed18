"""What a shell is offered when Tab is pressed: click's own completion, through the commands that are loaded late."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).parent / "hegelion-console"


def complete(line: str, shell: str = "bash") -> list[str]:
    """What is offered for the last word of ``line``."""
    words = line.split(" ")
    typed = line if shell != "fish" else " ".join(words[:-1])
    position = words[-1] if shell == "fish" else str(len(words) - 1)
    asked = {"COMP_WORDS": typed, "COMP_CWORD": position, "_HEGELION_CONSOLE_COMPLETE": f"{shell}_complete"}
    environment = {**os.environ, **asked}
    result = subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == "", "it would stand in the line that is being typed"
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hegelion-console ex", ["plain,export"]),
        ("hegelion-console runs re", ["plain,remove"]),
        ("hegelion-console train --max-s", ["plain,--max-seq-length"]),
        ("hegelion-console train --max_s", ["plain,--max_seq_length"]),
        ("hegelion-console train --batch_", ["plain,--batch_size"]),
        ("hegelion-console train --scu_law pub", ["plain,published"]),
        ("hegelion-console train --batch_size 4 --lora_r", ["plain,--lora_rank"]),
        ("hegelion-console dataset in out --format al", ["plain,alpaca"]),
        ("hegelion-console generate --council de", ["plain,debate"]),
        ("hegelion-console --run-all --teacher kimi-l", ["plain,kimi-legacy"]),
        ("hegelion-console train --data artif", ["file,artif"]),
        ("hegelion-console stop t", ["plain,train"]),
    ],
)
def test_commands_flags_and_values_are_offered(line: str, offered: list[str]) -> None:
    assert complete(line) == offered


def test_a_command_that_there_is_not_is_no_error() -> None:
    assert "plain,train" in complete("hegelion-console nonsense ")


def test_zsh_and_fish_are_told_what_a_command_does() -> None:
    assert complete("hegelion-console qual", "zsh")[:2] == ["plain", "quality"]
    assert complete("hegelion-console qual", "zsh")[2].startswith("Report on a whole sample file")
    assert any("Report on a whole sample file" in line for line in complete("hegelion-console qual", "fish"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_flag_goes_on_in_the_spelling_in_which_it_was_begun(shell: str) -> None:
    dashed, underscored = ("\n".join(complete(f"hegelion-console train --lora{sign}", shell)) for sign in ("-", "_"))
    for name in ("layers", "rank", "alpha", "dropout"):
        assert f"--lora-{name}" in dashed
        assert f"--lora_{name}" in underscored


def test_a_commands_name_is_completed_without_loading_it() -> None:
    code = (
        "import sys\nfrom hegelion_tui.cli import COMMANDS, run\n"
        "try:\n    run([])\nfinally:\n    assert not {module for module, _ in COMMANDS.values()} & set(sys.modules)\n"
    )
    asked = {"COMP_WORDS": "hegelion-console ", "COMP_CWORD": "1", "_HEGELION_CONSOLE_COMPLETE": "bash_complete"}
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert "plain,evaluate" in result.stdout
    assert "AssertionError" not in result.stderr


def test_bash_itself_completes() -> None:
    bash = shutil.which("bash")
    if bash is None or subprocess.run([bash, "-c", "((BASH_VERSINFO[0] > 4))"], check=False).returncode:
        pytest.skip("no bash of version 5 or later")
    script = (
        'eval "$(_HEGELION_CONSOLE_COMPLETE=bash_source hegelion-console)"\n'
        "COMP_WORDS=(hegelion-console che) COMP_CWORD=1\n"
        "_hegelion_console_completion hegelion-console\n"
        'echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    result = subprocess.run([bash, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "checkpoint\n"
