"""What is trained and how: DoRA, scales, quantised bases, the learning rate and clipping."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedLinear
from mlx_lm.utils import load, load_adapters, quantize_model, save_model

from hegelion_core.errors import UserError
from hegelion_core.models import loading
from hegelion_core.settings import TrainingSettings
from hegelion_core.training import worker
from hegelion_core.training.adapter import write_adapter
from hegelion_core.training.batching import TokenRow
from hegelion_core.training.lora import add_lora, lora_weights
from hegelion_core.training.loss import LossFunction
from hegelion_core.training.plan import BatchPlan
from hegelion_core.training.step import Stepper, learning_rate
from hegelion_core.training.trunk import Feeder
from tests.fakes.tiny_model import make_tiny_model


@pytest.fixture(autouse=True, scope="module")
def uncompiled() -> Iterator[None]:
    """As on a processor."""
    mx.disable_compile()
    yield
    mx.enable_compile()


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory, student: Path) -> Path:
    """The same student, four bits a weight."""
    folder = make_tiny_model(tmp_path_factory.mktemp("quantised"))
    model, _, config = load(str(student), return_config=True)
    model, config = quantize_model(model, config, group_size=32, bits=4)
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def settings(**changes: object) -> TrainingSettings:
    return TrainingSettings.model_validate({"num_layers": 1, "lora_rank": 4, "lr": 1e-2, "warmup": 0, **changes})


def feeder(loss: LossFunction) -> Feeder:
    generator = np.random.default_rng(0)
    rows = [TokenRow(generator.integers(0, 200, length).astype(np.int32), 5) for length in (20, 30, 40)]
    return Feeder(BatchPlan(rows, 3, 0, packed=loss.packed), loss)


def trained(model: Module, wanted: TrainingSettings, steps: int = 3) -> list[float]:
    """Losses of a few steps."""
    add_lora(model, wanted)
    model.eval()
    loss = LossFunction(model, frozen_layers=1, packed=True)
    assert loss.packed
    stepper, fed = Stepper(model, loss), feeder(loss)
    return [stepper.step(fed.step(step)[1], lr=wanted.lr, pull=0.01).loss for step in range(1, steps + 1)]


def squared(array: mx.array) -> float:
    return cast(float, mx.square(array).sum().item())


def logits(model: Module) -> mx.array:
    model.eval()
    out: mx.array = model(mx.arange(20)[None])
    return out


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_what_is_trained_loads_in_mlx_lm(tmp_path: Path, student: Path, kind: str) -> None:
    model = load(str(student))[0]
    before = logits(model)
    wanted = settings(fine_tune_type=kind, use_rslora=True)
    shape = add_lora(load(str(student))[0], wanted)
    losses = trained(model, wanted)
    assert losses[-1] < losses[0]
    write_adapter(tmp_path, lora_weights(model), shape, "student")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["fine_tune_type"] == kind
    assert config["lora_parameters"]["scale"] == 32.0 / math.sqrt(4)
    fresh = load_adapters(load(str(student))[0], str(tmp_path))
    after = logits(fresh)
    assert mx.allclose(after, logits(model), rtol=0, atol=1e-5).item()
    assert not mx.allclose(after, before, rtol=0, atol=1e-2).item()


def test_dora_trains_magnitudes_too_and_counts_them(student: Path) -> None:
    model = load(str(student))[0]
    before = logits(model)
    add_lora(model, settings(fine_tune_type="dora"))
    assert mx.allclose(logits(model), before, rtol=1e-4, atol=1e-5).item()
    kinds = {name.rsplit(".", 1)[-1] for name in lora_weights(model)}
    assert kinds == {"lora_a", "lora_b", "m"}
    start = lora_weights(model)
    loss = LossFunction(model, packed=True)
    result = Stepper(model, loss).step(feeder(loss).step(1)[1], lr=1e-2, pull=0.0)
    moved = {name: squared(tensor - start[name]) for name, tensor in lora_weights(model).items()}
    assert sum(moved.values()) == pytest.approx(result.sum_sq, rel=1e-4)
    assert all(moved[name] > 0 for name in moved if name.endswith(".m"))


def test_a_quantised_base_is_trained_as_the_device_computes_best(
    tmp_path: Path, quantised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "compile_pays", lambda: True)  # as on Metal and CUDA
    packed = loading.load(quantised).model
    assert isinstance(packed.layers[0].mlp.up_proj, QuantizedLinear)
    monkeypatch.setattr(loading, "compile_pays", lambda: False)
    plain = loading.load(quantised).model
    assert isinstance(plain.layers[0].mlp.up_proj, Linear)
    assert plain.layers[0].mlp.up_proj.weight.dtype == mx.float32
    wanted = settings()
    shape = add_lora(loading.load(quantised).model, wanted)
    on_plain, on_packed = trained(plain, wanted), trained(packed, wanted)
    assert on_plain[-1] < on_plain[0]
    assert on_packed == pytest.approx(on_plain, rel=1e-3)
    assert isinstance(packed.layers[1].mlp.up_proj.linear, QuantizedLinear)
    # What was trained on the dequantised base serves the quantised one.
    write_adapter(tmp_path, lora_weights(plain), shape, "student")
    served = load_adapters(load(str(quantised))[0], str(tmp_path))
    assert mx.allclose(logits(served), logits(plain), rtol=1e-3, atol=1e-3).item()


@given(st.sampled_from(["constant", "linear", "cosine"]), st.integers(0, 20), st.integers(1, 60), st.integers(1, 80))
def test_the_learning_rate_rises_and_then_never_does(schedule: str, warmup: int, iters: int, step: int) -> None:
    wanted = settings(lr_schedule=schedule, warmup=warmup, iters=iters, lr=0.5)
    rate, following = learning_rate(step, wanted), learning_rate(step + 1, wanted)
    assert 0 <= rate <= 0.5
    assert rate > 0 or step > iters
    assert following >= rate if step < warmup else following <= rate or step == warmup
    if step == warmup:
        assert rate == following == 0.5 or iters <= warmup + 1


def test_the_learning_rate_falls_to_the_shape_it_is_named_for() -> None:
    def rates(schedule: str) -> list[float]:
        wanted = settings(lr_schedule=schedule, warmup=2, iters=6, lr=1.0)
        return [learning_rate(step, wanted) for step in range(1, 8)]

    assert rates("constant") == [0.5, 1, 1, 1, 1, 1, 1]
    assert rates("linear") == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25, 0])
    assert rates("cosine") == pytest.approx([0.5, 1, 1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0])


def test_more_steps_of_a_falling_rate_are_another_training(tmp_path: Path, student: Path) -> None:
    data = tmp_path / "rows"
    data.touch()

    def identity(schedule: str, iters: int) -> str:
        return worker.identify(settings(lr_schedule=schedule, iters=iters), data, student).settings

    assert identity("constant", 5) == identity("constant", 6)
    assert identity("cosine", 5) != identity("cosine", 6)


def test_gradients_are_clipped_to_the_norm_and_0_never_clips(student: Path) -> None:
    found = []
    for limit in (0.0, 1e9, 1e-3):
        model = load(str(student))[0]
        add_lora(model, settings())
        loss = LossFunction(model)
        stepper = Stepper(model, loss, max_grad_norm=limit)
        result = stepper.step(feeder(loss).step(1)[1], lr=1e-2, pull=0.0)
        assert result.grad_norm > 1e-3
        momentum = [array for name, array in stepper.optimizer_state().items() if name.endswith(".m")]
        found.append(math.sqrt(sum(map(squared, momentum))) / 0.1)  # 1 - Adam's beta 1
    assert found[0] == found[1] == pytest.approx(result.grad_norm, rel=1e-4)
    assert found[2] == pytest.approx(1e-3, rel=1e-2)


def test_a_module_that_dora_cannot_adapt_is_a_user_error(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlx_lm.models.switch_layers import SwitchLinear

    model = load(str(student))[0]
    model.layers[1].mlp.up_proj = SwitchLinear(64, 128, 2)
    with pytest.raises(UserError, match="DoRA") as caught:
        add_lora(model, settings(fine_tune_type="dora"))
    assert "--fine_tune_type lora" in caught.value.hint
