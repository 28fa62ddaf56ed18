"""A generation through every failure and many kills: ``python -m tests.benchmarks.fault_run --samples 500 --kills 12``.

Prints what it does and at the end a table of figures; ends with 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fakes.fault_audit import audit
from tests.fakes.fault_run import FaultRun, Plan


def main() -> int:
    """Run, audit, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--program", choices=("kimi-code", "fake"), default="kimi-code")
    parser.add_argument("--keep", action="store_true", help="keep the folder even if all holds")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fault-run-"))
    began = time.monotonic()
    run = FaultRun(
        Plan(
            folder=folder,
            samples=given.samples,
            kills=given.kills,
            seed=given.seed,
            instances=given.instances,
            program=given.program,
            say=lambda text: print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True),
        )
    )
    run.run()
    found = audit(run)
    print("\n".join(f"| {name} | {value} |" for name, value in found.figures.items()))
    for fault in found.faults:
        print(f"DOES NOT HOLD: {fault}", file=sys.stderr)
    if found.faults or given.keep:
        print(f"Everything is in {folder}.")
    else:
        shutil.rmtree(folder)
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
