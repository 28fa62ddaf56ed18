"""The standard trainer: mlx-lm's own loop with our events, metrics and files, on a random two-layer Llama."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.utils import load

from hegelion_core import events
from hegelion_core.errors import UserError
from hegelion_core.fold import fold
from hegelion_core.settings import Settings
from hegelion_core.training.standard import worker
from hegelion_core.training.standard.trainer import StandardTraining
from hegelion_core.worker import Job, Worker
from hegelion_core.workspace import RunFolder
from tests.fakes.tiny_model import make_tiny_model


class Stop(threading.Event):
    """A request to stop that comes after so many looks at it, each after a step."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._looks = after

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"))


Start = Callable[..., tuple[Worker, Path]]


@pytest.fixture
def start(tmp_path: Path, student: Path) -> Start:
    rows = [
        {"id": str(n), "text": f"Why {n}?\n" + f"Because of {n * n}. " * (1 + n % 4) + "<|im_end|>", "answer_start": 7}
        for n in range(9)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def make(name: str, stop_after: int | None = None, **training: object) -> tuple[Worker, Path]:
        values = {
            "trainer": "standard",
            "model": str(student),
            "adapter_path": str(tmp_path / name / "adapter"),
            "batch_size": 2,
            "iters": 12,
            "lr": 1e-3,
            "lora_rank": 2,
            "num_layers": 1,
            "report_every": 4,
            "checkpoint_every": 5,
            "validation_share": 0.2,
            **training,
        }
        run = tmp_path / name
        run.mkdir(exist_ok=True)
        job = Job(
            root=str(tmp_path),
            demo=False,
            run=str(run),
            reports=str(run / "reports.jsonl"),
            settings=Settings.model_validate({"training": values}).model_dump(mode="json"),
            arguments={"data": str(tmp_path / "rows.jsonl")},
        )
        made = Worker(job)
        if stop_after is not None:
            made.stop_requested = Stop(stop_after)
        return made, run

    return make


def reported(run: Path) -> list[events.AnyEvent]:
    return [events.decode(line) for line in (run / "reports.jsonl").read_bytes().splitlines()]


def steps_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_same_events_lines_and_files_as_ours(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    made, run = start("run")
    worker.work(made)
    seen, printed = reported(run), capsys.readouterr().out
    plan = seen[0]
    assert isinstance(plan, events.TrainingPlanned)
    assert (plan.rows, plan.validation_rows, plan.iters, plan.target_s) == (7, 2, 12, 0.0)
    validation = [event for event in seen if isinstance(event, events.ValidationReported)]
    assert [event.step for event in validation] == [0, 5, 10, 12]
    assert validation[-1].loss < validation[0].loss
    assert [event.step for event in seen if isinstance(event, events.CheckpointSaved)] == [5, 10, 12]
    steps = [event for event in seen if isinstance(event, events.StepReported)]
    assert [event.step for event in steps] == [4, 8, 12]
    assert all(event.lambda_before == event.lambda_after == 0 and 0 < event.s < 1 for event in steps)
    assert isinstance(seen[-1], events.TrainingFinished)
    assert [line["step"] for line in steps_of(run)] == list(range(1, 13))
    assert [line["step"] for line in steps_of(run) if "validation" in line] == [5, 10, 12]
    lines = [line for line in printed.splitlines() if line.startswith("Step ")]
    assert [line.split(":")[0] for line in lines] == ["Step 4", "Step 8", "Step 12"]
    assert printed.endswith("Training complete.\n")
    assert "never sees the 1 longest rows" in printed
    assert "mlx_lm.lora -c" in printed
    assert "tok/s" not in printed  # mlx-lm's own table
    assert (run / "adapter" / "weights.safetensors").readlink() == Path("adapters.safetensors")
    assert load(made.settings.training.model, adapter_path=str(run / "adapter"))
    state = fold(seen)
    assert (state.trained, len(state.steps)) == (seen[-1], 3)


def test_only_answers_are_supervised_but_for_mlx_lms_pad_token(start: Start) -> None:
    """One epoch, a row a step: its answer and end token, and the one pad token that mlx-lm counts."""
    made, run = start("run", batch_size=1, iters=9, validation_share=0)
    worker.work(made)
    plan, answers = reported(run)[0], [len(f"Because of {n * n}. ") * (1 + n % 4) + 1 for n in range(9)]
    assert isinstance(plan, events.TrainingPlanned)
    assert (plan.rows, plan.tokens_per_epoch) == (9, sum(answers))
    assert sorted(step["tokens"] for step in steps_of(run)) == sorted(answer + 1 for answer in answers)


def test_a_stopped_one_goes_on_with_its_weights_and_says_what_that_is(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped, run = start("run", stop_after=2)
    worker.work(stopped)
    assert not (run / "adapter").exists()
    assert [line["step"] for line in steps_of(run)] == [1, 2, 3]
    assert "Stopped at step 3" in capsys.readouterr().out
    worker.work(start("run")[0])
    printed = capsys.readouterr().out
    assert "Resumed at step 3 of 12 with the weights alone" in printed
    assert [line["step"] for line in steps_of(run)] == list(range(1, 13))
    assert [line.split(":")[0] for line in printed.splitlines() if line.startswith("Step ")] == [
        "Step 4",
        "Step 8",
        "Step 12",
    ]
    first = (run / "adapter" / "adapters.safetensors").read_bytes()
    worker.work(start("run", lr=2e-3)[0])
    printed = capsys.readouterr().out
    assert "of other settings, data or model: not used" in printed
    assert "When this training is done, it is moved" in printed
    assert (RunFolder(run).replaced / "1" / "adapters.safetensors").read_bytes() == first


def test_killed_after_the_last_step_it_only_writes_the_adapter(start: Start) -> None:
    made, run = start("run")
    worker.work(made)
    wanted = (run / "adapter" / "adapters.safetensors").read_bytes()
    shutil.rmtree(run / "adapter")
    worker.work(start("run")[0])
    assert (run / "adapter" / "adapters.safetensors").read_bytes() == wanted
    assert [line["step"] for line in steps_of(run)] == list(range(1, 13))


def test_a_damaged_file_of_weights_is_passed_over(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    worker.work(start("run", stop_after=2)[0])
    path = start("run")[1] / "checkpoints" / "standard.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    worker.work(start("run")[0])
    assert "damaged: not used" in capsys.readouterr().out


def test_fewer_rows_than_a_batch_are_one_batch(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    made, run = start("run", batch_size=50, iters=2)
    worker.work(made)
    assert "The batch size is 7" in capsys.readouterr().out
    assert len(steps_of(run)) == 2


def test_a_loss_that_is_not_a_number_stops(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made, run = start("run")
    original = StandardTraining.on_train_loss_report

    def fail_at_seven(self: StandardTraining, train_info: dict[str, float]) -> None:
        bad = {**train_info, "train_loss": math.nan} if self.progress.step == 6 else train_info
        original(self, bad)

    monkeypatch.setattr(StandardTraining, "on_train_loss_report", fail_at_seven)
    with pytest.raises(UserError, match="not a number any more at step 7") as caught:
        worker.work(made)
    assert "weights of step 5 are kept" in caught.value.hint
    assert mx.load(str(run / "checkpoints" / "standard.safetensors"))
    assert not (run / "adapter").exists()
