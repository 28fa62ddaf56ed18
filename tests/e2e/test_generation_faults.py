"""Generation through every class of failure and several kills, to exactly what was wanted, with nothing lost.

The small version of ``python -m tests.benchmarks.fault_run``.
"""

from __future__ import annotations

from pathlib import Path

from tests.fakes.fault_audit import audit
from tests.fakes.fault_pair import run_pair
from tests.fakes.fault_run import ENDINGS, FaultRun, Plan
from tests.fakes.fault_server import SHARES, TOOL


def assert_nothing_lost(plan: Plan) -> FaultRun:
    run = FaultRun(plan)
    run.run()
    found = audit(run)
    assert found.faults == [], found.figures
    assert run.findings.kills >= plan.kills - 1  # the last one may come too late
    return run


def test_nothing_is_lost(tmp_path: Path) -> None:
    """Every class of failure, every end by design, kills at every moment; the same command finishes."""
    run = assert_nothing_lost(Plan(tmp_path, samples=14, kills=8, seed=1, program="fake"))
    assert set(SHARES) <= {asked.kind for asked in run.server.asked}


def test_nothing_is_lost_with_the_real_kimi_code(tmp_path: Path) -> None:
    """Few calls, since each takes seconds of processor time; ``tests.benchmarks.fault_run`` makes many."""
    kinds = ("no_block", "length", "overloaded", "cut_stream", TOOL)
    endings = tuple(ending for ending in ENDINGS if ending.kind in ("quota", "balance"))
    assert_nothing_lost(Plan(tmp_path, samples=5, kills=4, seed=1, instances=2, kinds=kinds, endings=endings))


def test_two_programs_share_one_output(tmp_path: Path) -> None:
    """Together they make what was wanted, and never ask the same or more than is missing."""
    found = run_pair(Plan(tmp_path, samples=16, seed=1, instances=2, program="fake", seconds=(0.2, 0.5)))
    assert found.faults == []
    assert all(found.shares)
