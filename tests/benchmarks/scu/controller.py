"""Does the controller control? 500 steps, three students, two targets each: the first table of ``docs/scu.md``.

``python -m tests.benchmarks.scu.controller [--work FOLDER]``. A finished training is a file in
``FOLDER/results``; run it again and it goes on, inside a training at its last checkpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tests.benchmarks.scu.rows import Entry, dialectic_rows, docstring_rows
from tests.benchmarks.scu.students import Size, pretrained
from tests.benchmarks.scu.trainings import Curve, Plan, result, train

STEPS, FIFTH, TOLERANCE = 500, 100, 0.1
MIXED = 60
"""Docstrings of 40 to 1,000 characters, so that the lengths of rows are mixed."""
COMMON: Mapping[str, object] = {
    "iters": STEPS,
    "checkpoint_every": 50,
    "report_every": 100,
    "validation_share": 0.1,
    "sample_every": 0,
    "lora_rank": 8,
    "lora_alpha": 16.0,
    "max_seq_length": 256,
    "prior_sigma": 0.1,
}


@dataclass(frozen=True)
class Case:
    """A student, rows and a target."""

    name: str
    student: Size | str
    rows: Sequence[Entry]
    settings: Mapping[str, object]

    def plan(self, work: Path) -> Plan:
        """Its training; a student that is pretrained here is made if need be."""
        model = self.student if isinstance(self.student, str) else str(pretrained(work / "students", self.student))
        return Plan(f"controller-{self.name}", self.rows, {**COMMON, **self.settings, "model": model})


def cases() -> list[Case]:
    """Two targets for each student, and two that cannot be reached in time; the smaller students first."""
    small, middle, dialectic, mixed = Size(64, 2, 800), Size(256, 4, 700), dialectic_rows(), docstring_rows(MIXED, 0)
    smollm = {"num_layers": 8}

    def settings(lr: float, target: float, batch: int, every: int, **others: object) -> dict[str, object]:
        return {"lr": lr, "target_s": target, "batch_size": batch, "scu_update_freq": every, **others}

    return [
        Case("64-a", small, dialectic, settings(1e-3, 0.05, 4, 10)),
        Case("64-b", small, mixed, settings(2e-3, 0.02, 1, 2)),
        Case("256-a", middle, dialectic, settings(2e-4, 0.02, 4, 10)),
        Case("256-b", middle, mixed, settings(1e-3, 0.04, 1, 2)),
        Case("smollm-a", "bundled", dialectic, settings(2e-4, 0.05, 1, 10, **smollm)),
        Case("smollm-b", "bundled", mixed, settings(1e-5, 0.02, 1, 2, **smollm, prior_sigma=0.01)),
        # The optimizer takes longer than a fifth of the steps to get there, whatever λ is.
        Case("64-late", small, mixed, settings(2e-3, 0.1, 1, 2)),
        Case("256-late", middle, mixed, settings(1e-3, 0.2, 1, 2)),
    ]


@dataclass(frozen=True)
class Verdict:
    """How a training's S went."""

    settled: int
    """First step from which on Ŝ stays within the tolerance; beyond the last step if it never does."""
    errors: list[float]
    """Relative errors of Ŝ after the first fifth."""
    lambdas: list[float]
    """λ there."""

    @property
    def holds(self) -> bool:
        """Settled in the first fifth, and within the tolerance from there on, λ off its bounds."""
        return self.settled <= FIFTH and min(self.lambdas) > 1e-4 and max(self.lambdas) < 1e4


def judge(curve: Curve, target: float) -> Verdict:
    """Look at all steps of a training."""
    errors = [step.s_hat / target - 1 for step in curve.steps]
    outside = [step.step for step, error in zip(curve.steps, errors, strict=True) if abs(error) > TOLERANCE]
    late = [step.lam for step in curve.steps[FIFTH:]]
    return Verdict(max(outside, default=0) + 1, [abs(error) for error in errors[FIFTH:]], late)


def line(case: Case, curve: Curve) -> str:
    """A line of the table."""
    setting = {**COMMON, **case.settings}
    target = float(str(setting["target_s"]))
    verdict = judge(curve, target)
    errors, lambdas = verdict.errors, verdict.lambdas
    within = sum(error <= TOLERANCE for error in errors) / len(errors)
    return (
        f"| {case.name} | {setting['lr']:g} | {setting['batch_size']} | {setting['scu_update_freq']} | {target:.0%} | "
        f"{verdict.settled} | {sum(errors) / len(errors):.1%} | {max(errors):.1%} | {within:.1%} | "
        f"{min(lambdas):.3g} to {max(lambdas):.3g} | {curve.steps[0].loss:.2f} to {curve.steps[-1].loss:.2f} | "
        f"{'yes' if verdict.holds else 'no'} |"
    )


HEAD = (
    "| case | lr | rows a step | update every | S* | within 10 % from step | mean error after step 100 | most | "
    "steps within 10 % | λ after step 100 | loss | holds |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("artifacts/bench-scu"), help="Where results are.")
@click.option("--report", "only_report", is_flag=True, help="Print the table of what is done; train nothing.")
@click.argument("names", nargs=-1)
def main(work: Path, only_report: bool, names: Sequence[str]) -> None:
    """Train what is missing (only NAMES, if given), then print the table."""
    from hegelion_core.models.blas import prepare_mlx

    prepare_mlx()
    print(HEAD, flush=True)
    for case in cases():
        if names and case.name not in names:
            continue
        plan = case.plan(work.resolve())
        curve = result(work.resolve(), plan) if only_report else train(work.resolve(), plan)
        if curve:
            print(line(case, curve), flush=True)


if __name__ == "__main__":
    sys.exit(main())
