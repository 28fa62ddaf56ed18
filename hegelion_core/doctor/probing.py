"""The asking end of ``doctor.probe``: what takes long or might hang, looked at by another process."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Literal

import msgspec

from hegelion_core import guard
from hegelion_core.doctor.case import Case
from hegelion_core.doctor.finding import Level
from hegelion_core.unreadable import UNREADABLE

NAMES = ("teacher", "student", "hub", "BLAS")
"""What is always told; others may be besides."""

RemedyName = Literal["", "get student", "get teacher's model", "install blas", "make blas", "install ai2-olmo"]


class Probed(msgspec.Struct, frozen=True):
    """A finding on its way to the process that asked."""

    name: str
    level: Level
    found: str
    mend: str = ""
    remedy: RemedyName = ""


class Job(msgspec.Struct, frozen=True):
    """What the process is told: the workspace, and the settings as plain values."""

    root: str
    demo: bool
    settings: dict[str, object]


def start(case: Case) -> subprocess.Popen[bytes]:
    """Start the probe for a case."""
    job = Job(str(case.place.root), case.place.demo, case.settings.model_dump(mode="json"))
    return subprocess.Popen(
        [sys.executable, "-m", "hegelion_core.doctor.probe", msgspec.json.encode(job).decode()],
        env=dict(case.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Probed]:
    """What it told, by name, at most ``seconds`` from now; then it is ended."""
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        guard.signal_group(process.pid, signal.SIGKILL)
        said, _ = process.communicate()  # with what it had told before
    found: dict[str, Probed] = {}
    for line in said.splitlines():
        try:
            one = msgspec.json.decode(line, type=Probed)
        except UNREADABLE:
            continue  # cut, or a library's own words
        found[one.name] = one
    return found
