"""Children end: when they are stopped, when they ignore it, and when the core dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hegelion_core import guard
from hegelion_core.supervisor import Supervisor, end_orphans

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""


async def spawn(supervisor: Supervisor, code: str, tmp_path: Path) -> psutil.Process:
    child = await supervisor.spawn(
        "child", [sys.executable, "-c", code], cwd=tmp_path, env=dict(os.environ), stdout=tmp_path / "out"
    )
    while "up" not in (tmp_path / "out").read_text():
        await asyncio.sleep(0.01)
    return psutil.Process(child.pid)


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_gone(process: psutil.Process) -> None:
    async with asyncio.timeout(20):
        while not gone(process):
            await asyncio.sleep(0.02)


async def test_a_child_has_a_group_of_its_own_and_no_input(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "mark")
    code = "import os, sys; print(os.getpgrp() == os.getpid(), repr(sys.stdin.read())); print('e', file=sys.stderr)"
    child = await supervisor.spawn(
        "c", [sys.executable, "-c", code], cwd=tmp_path, env={}, stdout=tmp_path / "out", stderr=tmp_path / "err"
    )
    assert await child.wait() == 0
    assert (tmp_path / "out").read_text() == "True ''\n"
    assert (tmp_path / "err").read_text() == "e\n"
    await supervisor.close()
    assert not (tmp_path / "mark").exists()


async def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "mark")
    child = await supervisor.spawn(
        "c", [sys.executable, "-c", STUBBORN], cwd=tmp_path, env=dict(os.environ), stdout=tmp_path / "out"
    )
    while "up" not in (tmp_path / "out").read_text():
        await asyncio.sleep(0.01)
    await child.stop(grace=0.1)
    assert await child.wait() == -signal.SIGKILL
    await supervisor.close()


async def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "mark")
    process = await spawn(supervisor, PARENT, tmp_path)
    (grandchild,) = process.children()
    process.send_signal(signal.SIGKILL)
    await until_gone(grandchild)
    await supervisor.close()


async def test_a_missing_program_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "mark")
    with pytest.raises(FileNotFoundError):
        await supervisor.spawn("c", ["/nowhere/kimi"], cwd=tmp_path, env={}, stdout=tmp_path / "out")
    await supervisor.close()
    assert not (tmp_path / "mark").exists()


CORE = """
import asyncio, os, sys
from pathlib import Path
from hegelion_core.supervisor import Supervisor

async def main():
    here = Path(sys.argv[1])
    supervisor = Supervisor(here / "mark")
    for number in range(2):
        await supervisor.spawn(
            f"c{number}", [sys.executable, "-c", sys.argv[2]], cwd=here, env=dict(os.environ),
            stdout=here / f"out{number}",
        )
    while not all("up" in (here / f"out{n}").read_text() for n in range(2)):
        await asyncio.sleep(0.01)
    print("spawned", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def start_core(tmp_path: Path, child: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    core = subprocess.Popen([sys.executable, "-c", CORE, str(tmp_path), child], stdout=subprocess.PIPE, text=True)
    assert core.stdout is not None
    assert core.stdout.readline() == "spawned\n"
    children = guard.marked((tmp_path / "mark").read_text())
    assert len(children) == 2
    return core, children


async def test_the_guard_ends_the_children_of_a_core_that_was_killed(tmp_path: Path) -> None:
    core, children = start_core(tmp_path, STUBBORN)
    core.kill()
    core.wait()
    for child in children:
        await until_gone(child)


async def test_a_child_that_was_born_while_the_core_died_ends_too(tmp_path: Path) -> None:
    """Nothing was written down of it: it is known by its mark alone, even in a session of its own."""
    core, _ = start_core(tmp_path, STUBBORN)
    late = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STUBBORN),
        env={**os.environ, guard.MARK: (tmp_path / "mark").read_text()},
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    core.kill()
    core.wait()
    async with asyncio.timeout(20):
        assert await late.wait() < 0


async def test_a_new_core_waits_for_the_orphans_and_says_so(tmp_path: Path) -> None:
    core, children = start_core(tmp_path, STUBBORN)
    core.kill()
    core.wait()
    said: list[str] = []
    await end_orphans(tmp_path / "mark", said.append)
    assert all(gone(child) for child in children)
    assert len(said) == 1


async def test_without_a_guard_the_new_core_ends_the_orphans_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core, children = start_core(tmp_path, STUBBORN)
    (watcher,) = [c for c in psutil.Process(core.pid).children() if c not in children]
    watcher.kill()
    core.kill()
    core.wait()
    monkeypatch.setattr("hegelion_core.supervisor.ORPHAN_PATIENCE", 0.2)
    await end_orphans(tmp_path / "mark", lambda _: None)
    for child in children:
        await until_gone(child)


async def test_processes_without_the_mark_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text("of nobody")
    said: list[str] = []
    await end_orphans(tmp_path / "mark", said.append)
    assert said == []
