from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hegelion_core.process_memory import program, resident

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "x = bytearray(40 << 20); print(len(x), flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
input()
child.communicate(b"\\n")
"""


def test_a_child_is_counted_with_those_below_it_until_it_has_ended() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        found = resident(os.getpid(), {"train": child.pid, "ended": 2**22 + 1})
        assert list(found) == ["train"]
        assert found["train"] > 40 << 20
        child.communicate("\n")
    assert resident(os.getpid(), {"train": child.pid}) == {}


def test_children_without_a_name_go_by_their_program() -> None:
    with subprocess.Popen(["sleep", "60"]) as first, subprocess.Popen(["sleep", "60"]) as second:
        found = resident(os.getpid(), {})
        first.kill()
        second.kill()
    assert list(found) == ["sleep ×2"]
    assert found["sleep ×2"] > 0


@pytest.mark.parametrize(
    ("argv", "name", "told"),
    [
        (["/opt/kimi-cli/bin/kimi", "--print"], "kimi", "kimi"),
        (["/usr/bin/node", "/usr/lib/kimi-code/kimi.js", "--print"], "node", "kimi"),
        (["/usr/bin/python3.11", "-u", "-m", "hegelion_core.teachers.local_engine", "job"], "python", "local_engine"),
        (["python", "-I", "/x/hegelion_core/guard.py", "mark"], "python", "guard"),
        (["python3", "-c", "print(1)"], "python3", "python3"),
        (["python3"], "python3", "python3"),
        (["shuf", "words"], "shuf", "shuf"),
        ([], "kworker", "kworker"),
    ],
)
def test_what_a_command_runs(argv: list[str], name: str, told: str) -> None:
    assert program(argv, name) == told
