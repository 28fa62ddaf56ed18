"""SCU as the worker runs it: what it says first, automatic stopping, and the same decision after a resume."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hegelion_core import events
from hegelion_core.settings import Settings
from hegelion_core.training import worker
from hegelion_core.worker import Job, Worker
from tests.fakes.tiny_model import make_tiny_model
from tests.fakes.training_runs import metrics, write_rows


class Stop(threading.Event):
    """A request to stop that comes after so many looks at it."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._looks = after

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"))


def train(folder: Path, student: Path, stop_after: int | None = None, **training: object) -> Path:
    run = folder / "run"
    run.mkdir(parents=True, exist_ok=True)
    data = write_rows(run / "rows.jsonl", count=6, length=2)
    values = {
        "model": str(student),
        "adapter_path": str(run / "adapter"),
        "batch_size": 2,
        "iters": 120,
        "lr": 1e-3,
        "lora_rank": 2,
        "num_layers": 1,
        "target_s": 0.02,
        "prior_sigma": 0.02,
        "scu_update_freq": 2,
        "checkpoint_every": 5,
        "validation_share": 0.3,
        "sample_every": 0,
        **training,
    }
    made = Worker(
        Job(
            root=str(folder),
            demo=False,
            run=str(run),
            reports=str(run / "reports.jsonl"),
            settings=Settings.model_validate({"training": values}).model_dump(mode="json"),
            arguments={"data": str(data)},
        )
    )
    if stop_after is not None:
        made.stop_requested = Stop(stop_after)
    worker.work(made)
    return run


def reports(run: Path) -> list[events.AnyEvent]:
    return [events.decode(line) for line in (run / "reports.jsonl").read_bytes().splitlines()]


def test_automatic_stopping_ends_a_settled_training_and_a_resumed_one_at_the_same_step(
    tmp_path: Path, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train(tmp_path / "whole", student, auto_stop=True)
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Automatic stop")]
    steps = metrics(whole)
    assert 20 <= len(steps) < 120
    assert f"at step {len(steps)}: S has been within 10% of its target" in said
    assert (whole / "adapter" / "adapters.safetensors").exists()
    parts = train(tmp_path / "parts", student, stop_after=len(steps) - 3, auto_stop=True)
    assert 0 < len(metrics(parts)) < len(steps)
    train(tmp_path / "parts", student, auto_stop=True)
    assert metrics(parts) == steps
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 3e-4}, "should be reached about step"),
        ({"target_s": 0.9, "prior_sigma": 1.0}, "The target of 90.00% is out of reach"),
        ({"scu_law": "published", "prior_sigma": 0.01}, "lies below that start"),
        ({"scu_law": "published", "scu_reference": "initial"}, "SCU: S is 0.00% at the start"),
        ({"lambda_init": 0.0, "auto_stop": True}, "it will not act"),
    ],
)
def test_the_training_says_first_what_is_reachable(
    tmp_path: Path, student: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, object], words: str
) -> None:
    run = train(tmp_path, student, None, **{"iters": 30, **settings})
    assert words in capsys.readouterr().out
    (plan,) = [event for event in reports(run) if isinstance(event, events.TrainingPlanned)]
    assert plan.floor_s is not None
    assert plan.expected_s is not None
    assert plan.ceiling_s is not None
    last = metrics(run)[-1]
    assert plan.floor_s <= plan.expected_s <= plan.ceiling_s
    assert float(str(last["s"])) <= max(plan.ceiling_s, 0.01) * 1.5  # the loss has fallen meanwhile
    if settings.get("target_s") == 0.9:  # not chased
        assert last["lambda"] == 1e-4
