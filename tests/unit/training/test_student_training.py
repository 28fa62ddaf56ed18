"""Loss, LoRA, steps, checkpoints and the worker, on a random two-layer Llama."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from mlx.nn import losses
from mlx.nn.layers.base import Module
from mlx.nn.utils import value_and_grad
from mlx.utils import tree_flatten
from mlx_lm.utils import load, load_adapters
from safetensors.numpy import load_file, save_file

from hegelion_core import events, workspace
from hegelion_core.errors import UserError, explain
from hegelion_core.settings import Settings, TrainingSettings
from hegelion_core.training import checkpoint as checkpoints
from hegelion_core.training import loss as loss_module
from hegelion_core.training import trunk, worker
from hegelion_core.training.adapter import save_arrays, write_adapter
from hegelion_core.training.batching import TokenRow
from hegelion_core.training.finish import put_in_place
from hegelion_core.training.lora import LoraShape, Weights, add_lora, lora_weights, set_lora_weights
from hegelion_core.training.loss import Arrays, LossFunction, batch_arrays, mean_loss
from hegelion_core.training.plan import Batch, BatchPlan
from hegelion_core.training.scu.controller import ControllerState
from hegelion_core.training.step import Stepper, StepResult
from hegelion_core.worker import Job, Worker
from hegelion_core.workspace import RunFolder
from tests.fakes.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"))


@pytest.fixture
def model(student: Path) -> Module:
    loaded: Module = load(str(student))[0]
    return loaded


def plan(batch_size: int = 2, micro_batch_size: int | None = None, packed: bool = False) -> BatchPlan:
    generator = np.random.default_rng(0)
    rows = [TokenRow(generator.integers(0, 200, length).astype(np.int32), 5) for length in (30, 33, 60, 61, 90)]
    return BatchPlan(rows, batch_size, 0, micro_batch_size, packed=packed)


def lora_settings(**changes: object) -> TrainingSettings:
    return TrainingSettings.model_validate({"num_layers": 1, "lora_rank": 4, "lr": 1e-3, **changes})


def move_away(model: Module) -> None:
    """Give the LoRA weights values at which they matter."""
    mx.random.seed(5)
    set_lora_weights(
        model, {name: tensor + 0.1 * mx.random.normal(tensor.shape) for name, tensor in lora_weights(model).items()}
    )


def plain_loss(model: Module, batch: Batch) -> mx.array:
    """The textbook: all logits, then the supervised ones."""
    logits = model(mx.array(batch.inputs))
    chosen = logits.reshape(-1, logits.shape[-1])[mx.array(batch.positions)]
    each = losses.cross_entropy(chosen, mx.array(batch.targets), reduction="none")
    return (each * mx.array(batch.weights)).sum()


def gradient(model: Module, loss: Callable[[], mx.array]) -> dict[str, mx.array]:
    return dict(tree_flatten(value_and_grad(model, loss)()[1]))


@pytest.mark.parametrize("frozen", [1, 0])
@pytest.mark.parametrize("chunk", [7, 256])
def test_the_loss_and_its_gradient_are_the_textbooks(
    model: Module, monkeypatch: pytest.MonkeyPatch, frozen: int, chunk: int
) -> None:
    monkeypatch.setattr(loss_module, "HEAD_CHUNK", chunk)
    add_lora(model, lora_settings())
    move_away(model)
    loss = LossFunction(model, frozen_layers=frozen)
    feeder = trunk.Feeder(plan(), loss)
    for step in (1, 2, 3):
        (batch,), (arrays,) = feeder.step(step)
        assert arrays.inputs.ndim == 2 + frozen
        expected = plain_loss(model, batch)
        assert loss(arrays).item() == pytest.approx(expected.item(), rel=1e-5)
        assert loss(arrays, trained=True).item() == pytest.approx(expected.item(), rel=1e-5)
        wanted = gradient(model, lambda batch=batch: plain_loss(model, batch))  # type: ignore[misc]
        given = gradient(model, lambda arrays=arrays: loss(arrays, trained=True))  # type: ignore[misc]
        assert wanted.keys() == given.keys() == lora_weights(model).keys()
        for name, tensor in wanted.items():
            assert bool((mx.abs(given[name] - tensor).max() <= 1e-5 * mx.abs(tensor).max()).item()), name


def test_rows_for_which_there_is_no_room_are_made_again(model: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    add_lora(model, lora_settings())
    loss = LossFunction(model, frozen_layers=1, packed=True)
    plenty = trunk.Feeder(plan(packed=True), loss)
    monkeypatch.setattr(trunk, "CACHE_BYTES", 60 * 64 * 4 * 2)  # two rows of about 60 tokens, 64 wide
    scarce = trunk.Feeder(plan(packed=True), loss)
    for step in (1, 2, 3, 4, 5, 6):
        (given,), (wanted,) = scarce.step(step)[1], plenty.step(step)[1]
        assert mx.array_equal(given.inputs, wanted.inputs).item()
    assert 0 < len(scarce._kept) < len(plenty._kept) == 5


class Capped(Module):
    """A model that does something to its logits after the head, as some of mlx-lm's do."""

    def __init__(self, inner: Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = inner.model
        self.lm_head = inner.model.embed_tokens.as_linear

    @property
    def layers(self) -> list[Module]:
        layers: list[Module] = self.model.layers
        return layers

    def __call__(self, inputs: mx.array) -> mx.array:
        logits: mx.array = self.lm_head(self.model(inputs))
        return mx.tanh(logits / 3) * 3


def test_a_model_with_capped_logits_is_called_as_a_whole(model: Module) -> None:
    capped = Capped(model)
    loss = LossFunction(capped, frozen_layers=1)
    assert loss.trunk_layers == 0
    batch = plan().step(1)[0]
    assert loss(batch_arrays(batch)).item() == pytest.approx(plain_loss(capped, batch).item(), rel=1e-5)


def test_padding_does_not_count(model: Module) -> None:
    alone = [mean_loss(model, plan(1).every_row_once()), mean_loss(model, plan(5).every_row_once())]
    assert alone[0] == pytest.approx(alone[1], rel=1e-5)


def test_lora_starts_as_nothing_and_depends_on_the_seed_alone(model: Module, student: Path) -> None:
    batch = plan().step(1)[0]
    before = plain_loss(model, batch).item()
    shape = add_lora(model, lora_settings(seed=3))
    assert plain_loss(model, batch).item() == before
    weights = lora_weights(model)
    assert shape.scale == 32.0 / 4
    assert len(weights) == 2 * 7  # one layer: q, k, v, o, gate, up, down
    assert all(name.endswith((".lora_a", ".lora_b")) and ".layers.1." in name for name in weights)
    assert {tensor.dtype for tensor in weights.values()} == {mx.float32}
    mx.random.seed(99)
    for seed, equal in ((3, True), (4, False)):
        other = load(str(student))[0]
        add_lora(other, lora_settings(seed=seed))
        assert (
            mx.array_equal(
                lora_weights(other)["model.layers.1.mlp.up_proj.lora_a"], weights["model.layers.1.mlp.up_proj.lora_a"]
            ).item()
            is equal
        )


def test_a_pull_shrinks_the_update_and_none_is_plain_adam(model: Module) -> None:
    add_lora(model, lora_settings())
    loss = LossFunction(model)
    start = lora_weights(model)
    arrays = batch_arrays(plan().step(1)[0])

    def one_step(pull: float) -> tuple[Weights, float]:
        set_lora_weights(model, start)
        stepper = Stepper(model, loss, compiled=False)
        return stepper.weights(), stepper.step([arrays], lr=1e-3, pull=pull).sum_sq  # weights: those before

    def after(pull: float) -> tuple[Weights, float]:
        sum_sq = one_step(pull)[1]
        return lora_weights(model), sum_sq

    (free, free_sum), (pulled, pulled_sum) = after(0.0), after(0.25)
    assert free_sum == pytest.approx(1.25**2 * pulled_sum, rel=1e-4)
    for name, initial in start.items():
        assert mx.allclose(pulled[name] - initial, (free[name] - initial) / 1.25, rtol=1e-3, atol=1e-8).item()
    moved = mx.stack([mx.square(free[name] - start[name]).sum() for name in start]).sum().item()
    assert moved == pytest.approx(free_sum, rel=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_micro_batches_give_the_step_of_the_whole_batch(model: Module, compiled: bool) -> None:
    add_lora(model, lora_settings())
    move_away(model)
    loss, start = LossFunction(model), lora_weights(model)
    results: list[tuple[StepResult, Weights]] = []
    for size in (5, 3) if compiled else (5, 3, 1):  # each shape is compiled anew, with a C++ compiler here
        micro = plan(5, size).step(1)
        assert len(micro) == math.ceil(5 / size)
        set_lora_weights(model, start)
        stepper = Stepper(model, loss, compiled=compiled)
        results.append((stepper.step(list(map(batch_arrays, micro)), lr=1e-3, pull=0.1), stepper.weights()))
    for result, weights in results[1:]:
        assert (result.loss, result.grad_norm) == pytest.approx((results[0][0].loss, results[0][0].grad_norm), rel=1e-5)
        for name, tensor in results[0][1].items():
            assert mx.allclose(weights[name], tensor, rtol=1e-4, atol=1e-5).item(), name


def test_a_penalty_adds_its_gradient(model: Module) -> None:
    add_lora(model, lora_settings())
    loss, start = LossFunction(model), lora_weights(model)
    arrays = [batch_arrays(plan().step(1)[0])]
    stepper = Stepper(model, loss, compiled=False)
    move_away(model)
    moved = lora_weights(model)
    mean = gradient(model, lambda: loss(arrays[0], trained=True) / arrays[0].weights.sum())
    expected = mx.sqrt(
        mx.stack([mx.square(mean[name] + 3.0 * (moved[name] - start[name])).sum() for name in start]).sum()
    )
    assert stepper.step(arrays, lr=0.0, pull=0.0, penalty=3.0).grad_norm == pytest.approx(expected.item(), rel=1e-5)


def test_the_adapter_loads_in_mlx_lm_and_a_new_shape_replaces_it(tmp_path: Path, model: Module, student: Path) -> None:
    folder = tmp_path / "deep" / "adapter"
    shape = add_lora(model, lora_settings())
    move_away(model)
    batch = plan().step(1)[0]
    for written in (shape, replace(shape, dropout=0.1)):
        write_adapter(folder, lora_weights(model), written, "student")
        assert json.loads((folder / "adapter_config.json").read_text())["lora_parameters"]["dropout"] == written.dropout
    assert (folder / "weights.safetensors").readlink() == Path("adapters.safetensors")
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapters.safetensors",
        "weights.safetensors",
    ]
    fresh = load_adapters(load(str(student))[0], str(folder))
    fresh.eval()
    assert plain_loss(fresh, batch).item() == plain_loss(model, batch).item()


def test_an_adapter_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shape = LoraShape(1, 1, 1.0, 0.0, ("a",))
    with pytest.raises(UserError, match="cannot be written"):
        write_adapter(tmp_path / "file" / "adapter", {"a": mx.zeros(1)}, shape, "student")


def test_an_adapter_is_not_written_through_a_planted_link(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "adapter", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_bytes(b"mine")
    (folder / f".adapters.{os.getpid()}.safetensors").symlink_to(elsewhere)
    write_adapter(folder, {"a": mx.zeros(1)}, LoraShape(1, 1, 1.0, 0.0, ("a",)), "student")
    assert elsewhere.read_bytes() == b"mine"
    assert not (folder / "adapters.safetensors").is_symlink()


@pytest.mark.parametrize(("free", "told"), [(0, "the disk is full"), (1 << 40, "Unable to write")])
def test_a_failed_write_of_weights_names_the_file_and_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, told: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    path, limits = tmp_path / "weights.safetensors", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Unable to write|No space left") as refused:
            save_arrays(path, {"a": mx.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in explain(refused.value).message
    assert told in explain(refused.value).message
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_whose_config_could_not_be_written_any_more_is_no_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = tmp_path / "adapter", RunFolder(tmp_path / "run")
    shape, weights = LoraShape(1, 1, 1.0, 0.0, ("a",)), {"a": mx.zeros(3)}
    with monkeypatch.context() as patched:
        patched.setattr(workspace, "replace", full_disk)
        with pytest.raises(UserError, match="cannot be written"):
            put_in_place(weights, folder, shape, "student", run)
    assert [path.name for path in folder.glob("*.safetensors") if not path.is_symlink()] == ["adapters.safetensors"]
    put_in_place(weights, folder, shape, "student", run)
    assert (folder / "adapter_config.json").is_file()
    assert not run.replaced.exists()


def full_disk(*arguments: object, **named: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Checkpoints

IDENTITY = checkpoints.Identity(settings="s", data="d", model="m")


def saved(folder: Path, step: int, identity: checkpoints.Identity = IDENTITY) -> Path:
    arrays = {"a.lora_a": mx.full((2,), step)}
    state = checkpoints.State(
        step=step, controller=ControllerState(lam=step / 3), random_key=(1, 2**32 - 1), tokens_per_epoch=9
    )
    return checkpoints.save(folder, checkpoints.Checkpoint(state, arrays, arrays, arrays), identity, {"mlx": "1"})


def found(folder: Path, **changes: object) -> tuple[int, list[str]]:
    said: list[str] = []
    identity = msgspec.structs.replace(IDENTITY, **changes)
    checkpoint = checkpoints.restore(folder, identity, {"mlx": "1"}, 100, said.append)
    return (checkpoint.state.step if checkpoint else 0), said


def test_the_newest_whole_checkpoint_is_restored(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        saved(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-10", "step-15"]
    assert (tmp_path / "latest").readlink() == Path("step-15")
    restored = checkpoints.restore(tmp_path, IDENTITY, {"mlx": "1"}, 100, print)
    assert restored
    assert restored.state.controller.lam == 5.0
    assert restored.weights["a.lora_a"].tolist() == [15.0, 15.0]
    assert found(tmp_path) == (15, [])


def test_latest_is_put_right_where_a_kill_came_before_that(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    for step in (5, 10):
        saved(tmp_path, step)
    workspace.link(tmp_path / "latest", "step-5")
    (tmp_path / f".latest.{gone.pid}.link").symlink_to("step-10")
    assert found(tmp_path) == (10, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-10", "step-5"]
    assert (tmp_path / "latest").readlink() == Path("step-10")


@pytest.mark.parametrize("name", ["adapters.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, name: str, cut: bool) -> None:
    saved(tmp_path, 5)
    path = saved(tmp_path, 10) / name
    if cut:
        path.write_bytes(path.read_bytes()[:-7])
    else:
        path.unlink()
    step, said = found(tmp_path)
    assert step == 5
    assert len(said) == 1
    assert "step-10 is damaged" in said[0]
    saved(tmp_path, 10)
    assert found(tmp_path) == (10, [])


def test_a_checkpoint_of_another_training_is_not_used_and_said(tmp_path: Path) -> None:
    saved(tmp_path, 5)
    step, said = found(tmp_path, data="other", settings="other")
    assert step == 0
    assert "other settings and data" in said[0]
    (tmp_path / "step-9.tmp").mkdir()  # a kill while writing
    assert found(tmp_path) == (5, [])
    saved(tmp_path, 3, msgspec.structs.replace(IDENTITY, data="other"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-3"]


def test_the_random_key_is_restored_exactly() -> None:
    mx.random.seed(7)
    mx.random.normal((3,))
    key = checkpoints.random_key()
    expected = mx.random.normal((5,)).tolist()
    mx.random.seed(0)
    checkpoints.restore_random_key(key)
    assert mx.random.normal((5,)).tolist() == expected


# The worker


class Stop(threading.Event):
    """A request to stop that comes after so many steps."""

    def __init__(self, run: Path, after: int) -> None:
        super().__init__()
        self._run, self._after = run, after

    def is_set(self) -> bool:
        return len(steps_of(self._run)) >= self._after


@pytest.fixture
def start(tmp_path: Path, student: Path) -> Callable[..., tuple[Worker, Path]]:
    data = tmp_path / "rows.jsonl"
    rows = [
        {
            "id": str(n),
            "text": f"Why {n}?\n" + f"Because of {n * n}. " * (1 + n % 4),
            "answer_start": len(f"Why {n}?\n"),
        }
        for n in range(9)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def make(name: str, stop_after: int | None = None, **training: object) -> tuple[Worker, Path]:
        values = {
            "model": str(student),
            "adapter_path": str(tmp_path / name / "adapter"),
            "batch_size": 2,
            "iters": 12,
            "lr": 1e-3,
            "lora_rank": 2,
            "lora_dropout": 0.2,
            "num_layers": 1,
            "target_s": 0.02,
            "scu_update_freq": 2,
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
            arguments={"data": str(data)},
        )
        made = Worker(job)
        if stop_after is not None:
            made.stop_requested = Stop(run, stop_after)
        return made, run

    return make


def reported(run: Path) -> list[events.AnyEvent]:
    return [events.decode(line) for line in (run / "reports.jsonl").read_bytes().splitlines()]


def steps_of(run: Path) -> list[dict[str, object]]:
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def die_in_step(step: int, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the process, as a SIGKILL in that step does: nothing is written any more."""
    original = Stepper.step

    def dying(self: Stepper, micro_batches: Sequence[Arrays], **rates: float) -> StepResult:
        if len(steps_of(run)) == step - 1:
            raise SystemExit
        return original(self, micro_batches, **rates)

    monkeypatch.setattr(Stepper, "step", dying)


def test_a_stopped_and_a_killed_training_end_in_the_uninterrupted_ones_bytes(
    start: Callable[..., tuple[Worker, Path]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, whole_run = start("whole")
    worker.work(whole)
    printed = capsys.readouterr().out
    stopped, run = start("parts", stop_after=3)
    worker.work(stopped)
    with monkeypatch.context() as dying:
        die_in_step(9, run, dying)
        with pytest.raises(SystemExit):
            worker.work(start("parts")[0])
    assert not (run / "adapter").exists()
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "torn')
    worker.work(start("parts")[0])
    names = ("adapters.safetensors", "adapter_config.json")
    assert [(run / "adapter" / name).read_bytes() for name in names] == [
        (whole_run / "adapter" / name).read_bytes() for name in names
    ]
    assert steps_of(run) == steps_of(whole_run)
    again = capsys.readouterr().out
    assert "Resumed at step 3 of 12." in again
    assert "Resumed at step 5 of 12." in again
    lines = [line for line in printed.splitlines() if line.startswith("Step ")]
    assert [line.split(":")[0] for line in lines] == ["Step 4", "Step 8", "Step 12"]
    assert [line for line in again.splitlines() if line.startswith("Step ")] == [lines[0], lines[1], lines[1], lines[2]]
    assert printed.endswith("Training complete.\n")


def test_the_reports_say_what_happened(start: Callable[..., tuple[Worker, Path]]) -> None:
    made, run = start("run")
    worker.work(made)
    seen = reported(run)
    assert isinstance(seen[0], events.TrainingPlanned)
    assert (seen[0].rows, seen[0].validation_rows, seen[0].iters, seen[0].start_step) == (7, 2, 12, 0)
    validation = [event for event in seen if isinstance(event, events.ValidationReported)]
    assert [event.step for event in validation] == [0, 5, 10, 12]
    assert validation[-1].loss < validation[0].loss
    assert [event.step for event in seen if isinstance(event, events.CheckpointSaved)] == [5, 10, 12]
    steps = [event for event in seen if isinstance(event, events.StepReported)]
    assert [event.step for event in steps] == [4, 8, 12]
    assert all(math.isclose(event.s, event.param_bpt / (event.param_bpt + event.data_bpt)) for event in steps)
    assert isinstance(seen[-1], events.TrainingFinished)
    assert (seen[-1].steps, Path(seen[-1].adapter_path)) == (12, run / "adapter")
    assert [line["step"] for line in steps_of(run)] == list(range(1, 13))


def test_more_steps_go_on_from_the_last_checkpoint(
    start: Callable[..., tuple[Worker, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    worker.work(start("run", iters=5)[0])
    worker.work(start("run", iters=7)[0])
    assert "Resumed at step 5 of 7." in capsys.readouterr().out
    worker.work(start("run", iters=7, lr=2e-3)[0])
    assert "other settings: not used" in capsys.readouterr().out


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(
    start: Callable[..., tuple[Worker, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, run = start("run")
    step = Stepper.step

    def fail_at_seven(self: Stepper, micro_batches: Sequence[Arrays], **rates: float) -> StepResult:
        result = step(self, micro_batches, **rates)
        return replace(result, loss=math.nan) if len(steps_of(run)) == 6 else result

    monkeypatch.setattr(Stepper, "step", fail_at_seven)
    with pytest.raises(UserError, match="not a number any more at step 7") as caught:
        worker.work(made)
    assert "step 5 is kept" in caught.value.hint
    assert (run / "checkpoints" / "step-5").is_dir()
    assert not (run / "adapter").exists()


@pytest.mark.parametrize(("packed", "size"), [(True, 9), (False, 5)])
def test_the_row_whose_loss_is_not_a_number_is_named(
    start: Callable[..., tuple[Worker, Path]],
    tmp_path: Path,
    student: Path,
    monkeypatch: pytest.MonkeyPatch,
    packed: bool,
    size: int,
) -> None:
    """The student makes no number of one letter, and one row has it."""
    broken = tmp_path / "broken"
    shutil.copytree(student, broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    weights = load_file(broken / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    (token,) = load(str(student))[1].encode("~", add_special_tokens=False)
    weights["model.embed_tokens.weight"][token] = np.nan
    save_file(weights, broken / "model.safetensors")
    made, _ = start("run", model=str(broken), batch_size=size, validation_share=0.0)
    data = tmp_path / "rows.jsonl"
    data.write_text(data.read_text().replace("Because of 36", "Because of ~"))
    monkeypatch.setattr(loss_module, "_packs", lambda _: packed)
    with pytest.raises(UserError, match=r"at step [12], .*line 7 \(id 6\)\.\n"):
        worker.work(made)


def test_rows_without_anything_to_learn_are_a_user_error(
    start: Callable[..., tuple[Worker, Path]], tmp_path: Path
) -> None:
    made, _ = start("run")
    (tmp_path / "rows.jsonl").write_text('{"text": "abc", "answer_start": 3}\n')
    with pytest.raises(UserError, match="none of its 1 rows"):
        worker.work(made)
