from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hegelion_core import events
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.evaluation import worker as evaluation_worker
from hegelion_core.evaluation.summary import Evaluation
from hegelion_core.settings import ConversionSettings, EvaluationSettings, Settings, TrainingSettings
from hegelion_core.training.adapter import write_adapter
from hegelion_core.training.lora import LoraShape
from hegelion_core.worker import Job, Worker
from tests.fakes.tiny_model import make_tiny_model
from tests.fakes.training_runs import When


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"), thinking=True)


def write_random_adapter(folder: Path, student: Path) -> None:
    """An adapter of rank 2 on the values of both layers."""
    import mlx.core as mx

    mx.random.seed(1)
    weights = {
        f"model.layers.{layer}.self_attn.v_proj.{name}": mx.random.normal(shape)
        for layer in range(2)
        for name, shape in (("lora_a", (64, 2)), ("lora_b", (2, 32)))
    }
    shape = LoraShape(num_layers=2, rank=2, scale=1.0, dropout=0.5, keys=("self_attn.v_proj",))
    write_adapter(folder, weights, shape, "tiny")


def make_worker(root: Path, student: Path, *, share: float = 0.5, answers: int = 2) -> Worker:
    rows = [{"text": f"Question {n}? Answer {n}.", "id": f"p-{n}", "answer_start": 12} for n in range(6)]
    (root / "rows.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(rows))
    (root / "prompts.txt").write_text("Is it?\nWas it?\nWill it be?\n")
    write_random_adapter(root / "adapter", student)
    settings = Settings(
        conversion=ConversionSettings(output=Path("rows.jsonl")),
        training=TrainingSettings(model=str(student), adapter_path=Path("adapter"), validation_share=share),
        evaluation=EvaluationSettings(prompts=Path("prompts.txt"), answers=answers, max_new_tokens=6),
    )
    job = Job(
        root=str(root),
        demo=False,
        run=str(root),
        reports=str(root / "reports.jsonl"),
        settings=settings.model_dump(mode="json"),
    )
    return Worker(job)


def read(worker: Worker) -> Evaluation:
    return msgspec.json.decode(worker.run.evaluation.read_bytes(), type=Evaluation)


def reports(worker: Worker) -> list[events.AnyEvent]:
    return [events.decode(line) for line in (worker.run.path / "reports.jsonl").read_bytes().splitlines()]


def test_both_sides_are_measured_and_reported(tmp_path: Path, student: Path) -> None:
    worker = make_worker(tmp_path, student)
    evaluation_worker.work(worker)
    result = read(worker)
    assert (result.validation_rows, result.validation_tokens) == (3, 3 * len("Answer 0."))
    assert result.base_loss_nats_per_token is not None
    assert result.adapter_loss_nats_per_token not in (None, result.base_loss_nats_per_token)
    assert [(r.prompt, r.base.tokens, r.adapter.cut) for r in result.results] == [
        ("Is it?", 6, True),
        ("Was it?", 6, True),
    ]
    assert all(r.base.text.startswith("<think>\n") for r in result.results)
    seen = reports(worker)
    assert isinstance(seen[-1], events.EvaluationFinished)
    assert [(e.what, e.unit) for e in seen if isinstance(e, events.EvaluationProgressed) and e.done == e.total] == [
        ("base loss", "batches"),
        ("base answers", "tokens"),
        ("adapter loss", "batches"),
        ("adapter answers", "tokens"),
    ]
    assert not (tmp_path / "evaluation.base.json").exists()


def test_an_evaluation_that_was_ended_goes_on_with_the_same_result(tmp_path: Path, student: Path) -> None:
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    whole.mkdir()
    ended.mkdir()
    evaluation_worker.work(expected := make_worker(whole, student))
    first = make_worker(ended, student)
    first.stop_requested = When((ended / "evaluation.base.json").exists)
    evaluation_worker.work(first)
    assert not first.run.evaluation.exists()
    (ended / "reports.jsonl").unlink()
    evaluation_worker.work(worker := make_worker(ended, student))
    assert not any(isinstance(e, events.EvaluationProgressed) and "base" in e.what for e in reports(worker))
    assert read(worker).results == read(expected).results
    assert read(worker).adapter_loss_nats_per_token == read(expected).adapter_loss_nats_per_token


def test_asked_to_stop_it_writes_no_result(tmp_path: Path, student: Path) -> None:
    worker = make_worker(tmp_path, student)
    worker.stop_requested.set()
    evaluation_worker.work(worker)
    assert not worker.run.evaluation.exists()


def test_without_held_out_rows_or_prompts_there_is_still_a_result(tmp_path: Path, student: Path) -> None:
    worker = make_worker(tmp_path, student, share=0, answers=0)
    evaluation_worker.work(worker)
    assert read(worker).base_loss_nats_per_token is None
    assert read(worker).results == ()


def test_without_an_adapter_it_says_so(tmp_path: Path, student: Path) -> None:
    worker = make_worker(tmp_path, student)
    (tmp_path / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(UserError, match="adapter: holds no adapter"):
        evaluation_worker.work(worker)


def test_an_adapter_in_pefts_form_is_said_to_be_one(tmp_path: Path, student: Path) -> None:
    worker = make_worker(tmp_path, student)
    (tmp_path / "adapter" / "adapters.safetensors").rename(tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(UserError, match="holds no adapter") as raised:
        evaluation_worker.work(worker)
    assert "PEFT" in raised.value.hint


def test_without_training_rows_answers_are_compared_and_it_is_said(tmp_path: Path, student: Path) -> None:
    worker = make_worker(tmp_path, student)
    (tmp_path / "rows.jsonl").unlink()
    evaluation_worker.work(worker)
    assert read(worker).base_loss_nats_per_token is None
    assert len(read(worker).results) == 2
    notices = [event.text for event in reports(worker) if isinstance(event, events.NoticePosted)]
    assert any("no validation loss" in text for text in notices)
    assert any("trained on tiny" in text for text in notices), "it fits, but says that it belongs to another model"


def test_an_adapter_of_another_model_is_found_out_before_the_base_is_evaluated(tmp_path: Path, student: Path) -> None:
    import mlx.core as mx

    worker = make_worker(tmp_path, student)
    weights = {"model.layers.0.self_attn.v_proj.lora_a": mx.zeros((32, 2))}
    shape = LoraShape(num_layers=2, rank=2, scale=1.0, dropout=0.0, keys=("self_attn.v_proj",))
    write_adapter(tmp_path / "adapter", weights, shape, "the/other")
    with pytest.raises(UserError, match="not an adapter for this model") as raised:
        evaluation_worker.work(worker)
    assert raised.value.hint == "It says that it was trained on the/other: give that as --model."
    assert raised.value.exit_code == ExitCode.USAGE
    assert not (tmp_path / "evaluation.base.json").exists()
