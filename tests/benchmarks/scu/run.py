"""Does SCU help? ``make bench-scu``: the tables and the picture of ``docs/scu.md``.

``python -m tests.benchmarks.scu.run [--work FOLDER] [--jobs N]``. A finished training is a file in ``FOLDER/results``;
run it again and it goes on, inside a training at its last checkpoint. Sized for two hours on two idle cores.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import click

from tests.benchmarks.scu import arms, report
from tests.benchmarks.scu.arms import Arm, Outcome
from tests.benchmarks.scu.rows import dialectic_rows
from tests.benchmarks.scu.students import Size, pretrained
from tests.benchmarks.scu.trainings import Plan, result, train

STUDENT = Size(width=64, layers=2, steps=800)
CPUS = os.cpu_count() or 1


def plan(phase: str, arm: Arm, seed: int, base: dict[str, object]) -> Plan:
    """The training of an arm with a seed, which decides split, initial weights and order."""
    name = f"{phase}-{arm.group}-{arm.label}-seed{seed}".replace(" ", "").replace("=", "")
    return Plan(name, dialectic_rows(), {**base, **arm.settings, "seed": seed})


def begin() -> None:
    """Each process: one thread of matrix products, and an end when the main one ends, however that happens."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    Thread(target=_end_with_parent, daemon=True).start()
    from hegelion_core.models.blas import prepare_mlx

    prepare_mlx()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def do_all(work: Path, plans: Sequence[Plan], jobs: int) -> None:
    """Do what is not done, ``jobs`` at a time, and say how it goes."""
    missing = [plan for plan in plans if result(work, plan) is None]
    print(f"{len(plans) - len(missing)} of {len(plans)} trainings are done.", flush=True)
    if not missing:
        return
    begun = time.monotonic()
    with ProcessPoolExecutor(min(jobs, len(missing)), get_context("spawn"), begin) as pool:
        doing = {pool.submit(train, work, plan): plan for plan in missing}
        for done, future in enumerate(as_completed(doing), start=1):
            step, best = future.result().best_validation
            seconds = time.monotonic() - begun
            left = seconds / done * (len(missing) - done) / 60
            print(
                f"{doing[future].name}: best validation loss {best:.3f} at step {step}; {done} of {len(missing)} in "
                f"{seconds / 60:.1f} minutes, about {left:.0f} minutes to go.",
                flush=True,
            )


def phase(work: Path, name: str, chosen: Sequence[Arm], base: dict[str, object], jobs: int) -> list[Outcome]:
    """All seeds of these arms."""
    plans = {(arm.label, arm.group, seed): plan(name, arm, seed, base) for seed in arms.SEEDS for arm in chosen}
    do_all(work, list(plans.values()), jobs)
    return list(outcomes(work, name, chosen, base))


def outcomes(work: Path, name: str, chosen: Sequence[Arm], base: dict[str, object]) -> Iterator[Outcome]:
    """What there is of these arms; arms without a finished training are left out."""
    for arm in chosen:
        found = {seed: result(work, plan(name, arm, seed, base)) for seed in arms.SEEDS}
        curves = {seed: curve for seed, curve in found.items() if curve is not None}
        if curves:
            yield Outcome(arm, curves)


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("artifacts/bench-scu"), help="Where results are.")
@click.option("--jobs", default=min(2, CPUS), help="Trainings at a time.")
@click.option("--report", "only_report", is_flag=True, help="Print the tables of what is done; train nothing.")
def main(work: Path, jobs: int, only_report: bool) -> None:
    """Train what is missing, then write the report."""
    work = work.resolve()
    begin()
    tiny = {**arms.TINY, "model": str(pretrained(work / "students", STUDENT))}
    smollm = dict(arms.SMOLLM)
    if only_report:
        first = list(outcomes(work, "tiny", arms.all_arms(), tiny))
        second = list(outcomes(work, "smollm", arms.all_arms(), smollm))
    else:
        first = phase(work, "tiny", arms.all_arms(), tiny, jobs)
        second = phase(work, "smollm", arms.for_the_larger_student(first), smollm, jobs)
    report.write(work, first, second)


if __name__ == "__main__":
    sys.exit(main())
