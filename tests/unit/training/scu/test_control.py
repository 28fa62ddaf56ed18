"""A real training under our law, smaller than the proof of ``tests/benchmarks/scu/controller.py``."""

from __future__ import annotations

import statistics

import pytest

from tests.benchmarks.scu.rows import START, Entry, dialectic_rows
from tests.benchmarks.scu.trainings import Curve, Plan, train
from tests.fakes.tiny_model import make_tiny_model

STEPS, SETTLED, TARGET = 150, 60, 0.05


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Curve:
    """64 wide, random, on short rows: it learns which bytes are likely, so that its loss falls by a third."""
    folder = tmp_path_factory.mktemp("control")
    rows = [Entry(row.name, row.question[:20], row.text.split("</thought>\n")[1][:60]) for row in dialectic_rows()]
    assert START in rows[0].prompt
    settings = {
        "model": str(make_tiny_model(folder / "student")),
        "iters": STEPS,
        "checkpoint_every": STEPS,
        "batch_size": 2,
        "lr": 3e-3,
        "lora_rank": 8,
        "target_s": TARGET,
        "prior_sigma": 0.09,
        "scu_update_freq": 5,
        "validation_share": 0.1,
        "sample_every": 0,
    }
    return train(folder, Plan("reduced", rows, settings))


def test_s_settles_at_its_target_and_stays_within_a_tenth(curve: Curve) -> None:
    errors = [abs(step.s_hat / TARGET - 1) for step in curve.steps[SETTLED:]]
    assert statistics.mean(errors) < 0.05
    assert max(errors) < 0.1
    assert all(1e-4 < step.lam < 1e4 for step in curve.steps[SETTLED:])


def test_meanwhile_the_student_learns(curve: Curve) -> None:
    first, last = (statistics.mean(step.loss for step in part) for part in (curve.steps[:10], curve.steps[-10:]))
    assert last < 0.8 * first


def test_the_training_said_what_would_happen(curve: Curve) -> None:
    (said,) = [line for line in curve.words if line.startswith("SCU: S is 0.00% at the start")]
    assert "The target of 5.00% should be reached about step" in said
