"""What a process says of itself, also when it crashes, holds no credentials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from hegelion_core.errors import ExitCode
from hegelion_core.event_log import EventReader
from hegelion_core.events import WorkerFailed
from hegelion_core.settings import Settings
from hegelion_core.worker import Job

OWN = "swordfish-4711"
CRASHES = {
    "an exception": "raise RuntimeError('it said ' + os.environ['A_TOKEN'])",
    "an exception that nobody awaits": "asyncio.run(forget())",
    "a warning": "import warnings; warnings.warn(os.environ['A_TOKEN'])",
    "a log": "import logging; logging.getLogger('x').error('it said %s', os.environ['A_TOKEN'])",
    "a print": "print(os.environ['A_TOKEN'], file=sys.stderr)",
}
FORGET = """
async def forget():
    async def fail():
        raise RuntimeError(os.environ['A_TOKEN'])
    asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
"""


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import asyncio, os, sys\n{FORGET}\n{code}", *arguments],
        env={**os.environ, "A_TOKEN": OWN},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("crash", CRASHES)
def test_standard_error_of_a_command_holds_no_credential(crash: str) -> None:
    said = _run(f"from hegelion_core.commands import streams\nstreams.prepare()\n{CRASHES[crash]}").stderr
    assert "[redacted]" in said
    assert OWN not in said


def test_a_worker_tells_no_credential(tmp_path: Path) -> None:
    job = Job(
        root=str(tmp_path),
        demo=False,
        run=str(tmp_path),
        reports=str(tmp_path / "reports"),
        settings=Settings().model_dump(mode="json"),
    )
    (tmp_path / "job").write_bytes(msgspec.json.encode(job))
    ended = _run(
        "from hegelion_core.errors import UserError\nfrom hegelion_core.worker import main\n"
        "def work(worker):\n"
        "    print('on the log:', os.environ['A_TOKEN'])\n"
        "    raise UserError('It said ' + os.environ['A_TOKEN'], 'Is it ' + os.environ['A_TOKEN'] + '?')\n"
        "main(work)",
        str(tmp_path / "job"),
    )
    assert ended.returncode == ExitCode.FAILED
    assert ended.stdout == "on the log: [redacted]\n"
    assert ended.stderr == "It said [redacted]\nIs it [redacted]?\n"
    assert EventReader(tmp_path / "reports").read() == [
        WorkerFailed(message="It said [redacted]", hint="Is it [redacted]?", exit_code=ExitCode.FAILED)
    ]
