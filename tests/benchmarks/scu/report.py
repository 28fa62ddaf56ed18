"""The experiment's tables and picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.scu.arms import Outcome


def write(work: Path, tiny: Sequence[Outcome], smollm: Sequence[Outcome]) -> None:
    """Print both tables."""
    for name, outcomes in (("64 wide, 2 layers", tiny), ("SmolLM2-135M", smollm)):
        print(f"\n{name}\n\n{table(outcomes)}", flush=True)


def table(outcomes: Sequence[Outcome]) -> str:
    """A line an arm: mean and range over the seeds."""
    lines = ["| arm | best validation loss | after the last step |", "|---|---|---|"]
    for outcome in outcomes:
        name = " ".join(filter(None, (outcome.arm.group, outcome.arm.label)))
        lines.append(f"| {name} | {spread(outcome.best)} | {spread(outcome.last)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Mean, least and greatest."""
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
