"""Generation through every class of failure and several kills, to exactly what was wanted, with nothing lost.

The small version of ``python -m tests.benchmarks.fault_run``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.fault_audit import audit
from tests.fakes.fault_pair import run_pair
from tests.fakes.fault_run import FaultRun, Plan, Program
from tests.fakes.fault_server import SHARES


@pytest.mark.parametrize(("program", "samples", "kills"), [("fake", 14, 8), ("kimi-code", 5, 3)])
def test_nothing_is_lost(tmp_path: Path, program: Program, samples: int, kills: int) -> None:
    """Every failure once, five ends by design, kills at moments of every kind; the same command finishes."""
    run = FaultRun(Plan(tmp_path, samples=samples, kills=kills, seed=1, program=program))
    run.run()
    found = audit(run)
    assert found.faults == [], found.figures
    assert run.findings.kills >= 3
    if program == "fake":
        assert set(SHARES) <= {asked.kind for asked in run.server.asked}


def test_two_programs_share_one_output(tmp_path: Path) -> None:
    """Together they make what was wanted, and never ask the same or more than is missing."""
    found = run_pair(Plan(tmp_path, samples=16, seed=1, instances=2, program="fake", seconds=(0.2, 0.5)))
    assert found.faults == []
    assert all(found.shares)
