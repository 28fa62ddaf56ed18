"""Students that can be trained in minutes. Nothing here imports mlx before its matrix products are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hegelion_core.models.blas import prepare_mlx


@dataclass(frozen=True)
class Size:
    """A student's size and how long it is pretrained."""

    width: int
    layers: int
    steps: int


def pretrained(folder: Path, size: Size) -> Path:
    """The folder of such a student, which is made if it is not there yet."""
    made = folder / f"student-{size.width}x{size.layers}-{size.steps}"
    if not (made / "config.json").exists():
        prepare_mlx()
        from tests.benchmarks.scu import pretraining

        pretraining.make(made, size)
    return made
