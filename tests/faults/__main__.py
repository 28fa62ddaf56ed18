"""``python -m tests.faults [--cases 4700] [--train-cases 300] [--seed 0] [--work FOLDER]``; ``make faults``.

Results are kept in ``FOLDER/results.jsonl``: the same command goes on where it was. A case in which something does not
hold keeps its folder and prints the command that runs it again. Ends with 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import cases
from tests.faults.results import Result, Results, summary
from tests.faults.runs import Outcome, run_case
from tests.faults.stock import make_stock
from tests.faults.warm import Warm


def main() -> int:
    """Run what was not run yet, and tell."""
    given = _arguments()
    work = given.work or Path(tempfile.gettempdir()) / f"hegelion-faults-{os.getuid()}"
    work.mkdir(parents=True, exist_ok=True)
    held = os.open(work / ".lock", os.O_RDWR | os.O_CREAT, 0o600)  # until the end of the process
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{work}: another series of cases runs there; give another --work.", file=sys.stderr)
        return 2
    results = Results(work / "results.jsonl")
    if given.only is not None:
        wanted = [(given.only, given.train)]
    else:
        done = {train: results.of(given.seed, train=train) for train in (False, True)}
        wanted = [(number, False) for number in range(given.begin, given.cases) if number not in done[False]]
        wanted += [(number, True) for number in range(given.begin, given.train_cases) if number not in done[True]]
        if given.group:
            wanted = [each for each in wanted if cases.make(given.seed, each[0], train=each[1]).group == given.group]
    with contextlib.suppress(KeyboardInterrupt):
        _run(given.seed, wanted, work, results, keep=given.keep, first=given.first)
    ours = [*results.of(given.seed, train=False).values(), *results.of(given.seed, train=True).values()]
    print(f"\n{summary(ours)}")
    broken = [result for result in ours if result.faults]
    for result in broken:
        print(f"DOES NOT HOLD: {cases.make(result.seed, result.number, train=result.train).command}")
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Faults from outside, and what must hold after each.")
    parser.add_argument("--cases", type=int, default=4700, help="cases without the trainer")
    parser.add_argument("--train-cases", type=int, default=300, help="cases with the trainer")
    parser.add_argument("--begin", type=int, default=0, help="the first one, where another folder has those before")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where the cases run and the results are kept")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this case alone")
    parser.add_argument("--group", default="", help="cases of this class alone")
    parser.add_argument("--train", action="store_true", help="with --only: a case with the trainer")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all cases")
    parser.add_argument("--first", action="store_true", help="end with the first case in which something does not hold")
    return parser.parse_args()


def places_of(work: Path) -> Path:
    """Where the cases run: in memory where that can be, since they wait for the disk more than for anything else."""
    place = memory / work.name if (memory := in_memory()) else work
    place.mkdir(parents=True, exist_ok=True)
    return place


def in_memory() -> Path | None:
    """A folder that is kept in memory, if there is one."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None


def _run(seed: int, wanted: list[tuple[int, bool]], work: Path, results: Results, *, keep: bool, first: bool) -> None:
    begun = told = time.monotonic()
    place = places_of(work)
    with Warm() as warm:
        stock = make_stock(place / "stock", warm, train=any(train for _, train in wanted))
        for done, (number, train) in enumerate(wanted, start=1):
            case = cases.make(seed, number, train=train)
            try:
                outcome = run_case(case, place, warm, stock, keep=keep)
            except Exception as error:
                outcome = Outcome(faults=[f"the harness failed: {type(error).__name__}: {error}"])
            results.add(
                Result(
                    seed=seed,
                    number=number,
                    group=case.group,
                    train=train,
                    struck=outcome.struck,
                    strikes=len(case.strikes),
                    starts=outcome.starts,
                    seconds=round(outcome.seconds, 3),
                    faults=tuple(outcome.faults),
                )
            )
            if outcome.faults:
                print(f"\nDOES NOT HOLD: {case.command}\n  {case.group} in {case.scene}: {case.strikes}")
                print("".join(f"  - {text}\n" for text in outcome.faults), end="", flush=True)
                if first:
                    break
            now = time.monotonic()
            if now - told > 5 or done == len(wanted):
                told = now
                left = (now - begun) / done * (len(wanted) - done)
                print(f"{done}/{len(wanted)}  {done / (now - begun):.2f} cases/s  {left / 60:.1f} min left", flush=True)
    shutil.rmtree(place / "stock", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
