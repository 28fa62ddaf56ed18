"""A generation through every failure and many kills: ``python -m tests.benchmarks.fault_run --samples 500 --kills 12``.

Prints what it does and at the end a table of figures; ends with 1 if anything did not hold. With ``--pair`` two
programs write one file instead, and none is killed.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fakes.fault_audit import audit
from tests.fakes.fault_pair import run_pair
from tests.fakes.fault_run import FaultRun, Plan


def main() -> int:
    """Run, audit, tell."""
    parser = argparse.ArgumentParser(description="A generation through every failure and many kills.")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--program", choices=("kimi-code", "fake"), default="kimi-code")
    parser.add_argument("--pair", action="store_true", help="two programs on one output, without kills")
    parser.add_argument("--keep", action="store_true", help="keep the folder even if all holds")
    given = parser.parse_args()
    began = time.monotonic()
    plan = Plan(
        folder=Path(tempfile.mkdtemp(prefix="fault-run-")),
        samples=given.samples,
        kills=given.kills,
        seed=given.seed,
        instances=given.instances,
        program=given.program,
        say=lambda text: print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True),
    )
    try:
        faults, figures = _pair(plan) if given.pair else _alone(plan)
    except AssertionError as error:
        faults, figures = [str(error)], {}
    print("\n".join(f"| {name} | {value} |" for name, value in figures.items()))
    for fault in faults:
        print(f"DOES NOT HOLD: {fault}", file=sys.stderr)
    if faults or given.keep:
        print(f"Everything is in {plan.folder}.")
    else:
        shutil.rmtree(plan.folder)
    return 1 if faults else 0


def _alone(plan: Plan) -> tuple[list[str], dict[str, object]]:
    run = FaultRun(plan)
    run.run()
    found = audit(run)
    return found.faults, found.figures


def _pair(plan: Plan) -> tuple[list[str], dict[str, object]]:
    figures = dataclasses.asdict(run_pair(plan))
    return figures.pop("faults"), figures


if __name__ == "__main__":
    sys.exit(main())
