"""The experiment's arms: what is compared, and with which settings. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.scu.trainings import Curve

SEEDS = (0, 1, 2)
NEVER = 1_000_000
"""Steps between updates of a λ that is fixed."""
PLAIN, FIXED, PUBLISHED, OURS = "plain LoRA", "fixed λ", "published law", "ours"
COMMON: Mapping[str, object] = {
    "batch_size": 4,
    "validation_share": 0.25,
    # With some 5,000 tokens, σ²N is then 50, as it is with the guide's own σ = 0.01 and 500,000 tokens.
    "prior_sigma": 0.1,
    "report_every": 50,
}
TINY: Mapping[str, object] = {**COMMON, "iters": 240, "checkpoint_every": 20, "sample_every": 0, "lr": 2e-3}
SMOLLM: Mapping[str, object] = {
    **COMMON,
    "model": "bundled",
    "sample_every": 0,
    "num_layers": 8,
    "lora_rank": 8,
    "lora_alpha": 16.0,
    "batch_size": 2,
    "iters": 150,
    "checkpoint_every": 15,
    "lr": 5e-4,
}


@dataclass(frozen=True)
class Arm:
    """One way to regularise."""

    group: str
    label: str
    settings: Mapping[str, object]


def all_arms() -> list[Arm]:
    """Every arm of the sweep."""
    return [
        Arm(PLAIN, "", {"lambda_init": 0.0}),
        *(Arm(FIXED, f"λ = {lam:g}", fixed(lam)) for lam in (0.3, 1.0, 3.0, 10.0, 30.0)),
        *(Arm(PUBLISHED, f"reference {name}", published(name)) for name in ("zero", "initial")),
        *(Arm(OURS, f"S* = {target:g}", {"target_s": target}) for target in (0.02, 0.1, 0.3, 0.5)),
    ]


def fixed(lam: float) -> Mapping[str, object]:
    """Our pull with a λ that never moves."""
    return {"lambda_init": lam, "scu_update_freq": NEVER}


def published(reference: str) -> Mapping[str, object]:
    """The published law with its own target and gains."""
    return {"scu_law": "published", "scu_reference": reference, "target_s": 0.01}


@dataclass(frozen=True)
class Outcome:
    """An arm's curves, and what they come to."""

    arm: Arm
    by_seed: Mapping[int, Curve]

    @property
    def best(self) -> list[float]:
        """Least validation loss of each seed: what early stopping keeps."""
        return [curve.best_validation[1] for curve in self.by_seed.values()]

    @property
    def last(self) -> list[float]:
        """Validation loss of each seed after the last step."""
        return [curve.validation[-1][1] for curve in self.by_seed.values()]


def best_of_groups(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of each group the arm with the least mean of best validation losses, the better groups first."""
    ranked = sorted(outcomes, key=lambda outcome: statistics.mean(outcome.best))
    found: dict[str, Outcome] = {}
    for outcome in ranked:
        found.setdefault(outcome.arm.group, outcome)
    return list(found.values())


def for_the_larger_student(outcomes: Sequence[Outcome]) -> list[Arm]:
    """The three best groups' best arms; plain LoRA, to which they are compared, in any case."""
    best = [outcome.arm for outcome in best_of_groups(outcomes)]
    return [arm for place, arm in enumerate(best) if place < 3 or arm.group == PLAIN]
