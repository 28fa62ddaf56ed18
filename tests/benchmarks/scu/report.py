"""The experiment's tables and picture, from whatever is done."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.scu.arms import PLAIN, SEEDS, Outcome, best_of_groups
from tests.benchmarks.scu.trainings import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "scu.svg"
WINDOW = 20
"""Steps over which the picture averages the training loss."""


@dataclass(frozen=True)
class Look:
    """Of a line."""

    colour: str
    alpha: float


def write(work: Path, tiny: Sequence[Outcome], smollm: Sequence[Outcome]) -> None:
    """Print both tables, and draw the best arms of each group into ``work/scu.svg``."""
    parts = [("64 wide, 2 layers", tiny), ("SmolLM2-135M, last 8 layers", smollm)]
    for name, outcomes in parts:
        print(f"\n{name}: nats per token, mean (least to greatest) of the seeds\n\n{table(outcomes)}", flush=True)
    try:
        import matplotlib.pyplot  # noqa: F401 - only to know whether it is there
    except ImportError:
        print("\nNo picture: matplotlib is not installed (pip install -e '.[bench]').")
        return
    _draw(work / PICTURE, [(name, best_of_groups(outcomes)) for name, outcomes in parts if outcomes])
    print(f"\nThe picture is {work / PICTURE}.")


def name_of(outcome: Outcome) -> str:
    """Of an arm."""
    return ", ".join(filter(None, (outcome.arm.group, outcome.arm.label)))


def table(outcomes: Sequence[Outcome]) -> str:
    """A line an arm. Differences to plain LoRA are within a seed, which decides split, initial weights and order."""
    plain = {
        seed: curve.best_validation[1]
        for outcome in outcomes
        if outcome.arm.group == PLAIN
        for seed, curve in outcome.by_seed.items()
    }
    lines = [
        "| arm | seeds | best validation loss | less plain LoRA's best, same seed | at step | after the last step | "
        "train loss, last 20 steps | S, last 20 steps | λ at the end |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        curves = outcome.by_seed
        differences = [curve.best_validation[1] - plain[seed] for seed, curve in curves.items() if seed in plain]
        cells = [
            name_of(outcome),
            f"{len(curves)} of {len(SEEDS)}",
            spread(outcome.best),
            spread(differences, signed=True) if differences and outcome.arm.group != PLAIN else "",
            spread([curve.best_validation[0] for curve in curves.values()], digits=0),
            spread(outcome.last),
            spread([tail(curve, "loss") for curve in curves.values()]),
            spread([tail(curve, "s") for curve in curves.values()]),
            spread([curve.steps[-1].lambda_after for curve in curves.values()]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tail(curve: Curve, field: str) -> float:
    """Mean of a field over the last steps."""
    return statistics.mean(float(getattr(step, field)) for step in curve.steps[-WINDOW:])


def spread(values: Sequence[float], *, signed: bool = False, digits: int = 3) -> str:
    """Mean, least and greatest."""
    sign = "+" if signed else ""
    mean, low, high = (f"{value:{sign}.{digits}f}" for value in (statistics.mean(values), min(values), max(values)))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"


def _draw(path: Path, parts: Sequence[tuple[str, Sequence[Outcome]]]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scu", "path.simplify_threshold": 1.0})
    figure, grid = plt.subplots(4, len(parts), figsize=(6.5 * len(parts), 12), sharex="col", squeeze=False)
    for column, (name, outcomes) in enumerate(parts):
        validation, training, share, strength = (row[column] for row in grid)
        for place, outcome in enumerate(outcomes):
            for number, curve in enumerate(outcome.by_seed.values()):
                look = Look(f"C{place}", 0.9 if number == 0 else 0.4)
                steps, losses = zip(*curve.validation, strict=True)
                label = name_of(outcome) if number == 0 else None
                validation.plot(steps, losses, label=label, color=look.colour, alpha=look.alpha)
                _steps(training, curve, "loss", look)
                _steps(share, curve, "s_hat", look)
                _steps(strength, curve, "lam", look)
        validation.set_title(name)
        validation.legend(fontsize=8)
        share.set_yscale("log")
        strength.set_yscale("symlog", linthresh=1e-3)
        strength.set_xlabel("step")
        for axes, what in zip(
            (validation, training, share, strength), ("validation loss", "training loss", "Ŝ", "λ"), strict=True
        ):
            axes.set_ylabel(what)
            axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _steps(axes: Axes, curve: Curve, field: str, look: Look) -> None:
    """Every fifth step; the training loss as a running mean."""
    values = [float(getattr(step, field)) for step in curve.steps]
    if field == "loss":
        values = [statistics.mean(values[max(0, end - WINDOW) : end]) for end in range(1, len(values) + 1)]
    steps = [step.step for step in curve.steps]
    axes.plot(steps[::5], values[::5], color=look.colour, alpha=look.alpha)
