"""Rows packed into one sequence give what each gives alone: loss and gradient, for every kind of stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.nn import losses
from mlx.nn.layers.base import Module
from mlx.nn.utils import value_and_grad
from mlx.utils import tree_flatten
from mlx_lm.models import llama, qwen2, qwen3

from hegelion_core.settings import TrainingSettings
from hegelion_core.training.batching import TokenRow
from hegelion_core.training.elementwise import causal_attention, gated
from hegelion_core.training.lora import Weights, add_lora, lora_weights, set_lora_weights
from hegelion_core.training.loss import LossFunction
from hegelion_core.training.plan import BatchPlan
from hegelion_core.training.trunk import Feeder

VOCABULARY, LAYERS = 97, 3
COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": True,
}
STACKS: dict[str, Callable[[], Module]] = {
    "llama": lambda: llama.Model(llama.ModelArgs.from_dict({**COMMON, "model_type": "llama"})),
    "llama, scaled rope, own head": lambda: llama.Model(
        llama.ModelArgs.from_dict(
            {
                **COMMON,
                "model_type": "llama",
                "tie_word_embeddings": False,
                "rope_scaling": {"rope_type": "linear", "factor": 2.0},
            }
        )
    ),
    "qwen2": lambda: qwen2.Model(qwen2.ModelArgs.from_dict({**COMMON, "model_type": "qwen2"})),
    "qwen3": lambda: qwen3.Model(qwen3.ModelArgs.from_dict({**COMMON, "model_type": "qwen3", "head_dim": 16})),
}


@pytest.fixture(autouse=True, scope="module")
def uncompiled() -> Iterator[None]:
    """As on a processor, where mlx-lm's compiled functions would each run a C++ compiler."""
    mx.disable_compile()
    yield
    mx.enable_compile()


def student(kind: str, **changes: object) -> Module:
    """A random model, adapted, with weights at which the adapter matters."""
    mx.random.seed(1)
    model = STACKS[kind]()
    mx.eval(model.parameters())  # type: ignore[no-untyped-call]
    add_lora(model, TrainingSettings.model_validate({"lora_rank": 2, "lora_alpha": 2.0, "num_layers": 2, **changes}))
    moved = {name: tensor + 0.1 * mx.random.normal(tensor.shape) for name, tensor in lora_weights(model).items()}
    set_lora_weights(model, moved)
    model.eval()
    return model


def rows() -> list[TokenRow]:
    generator = np.random.default_rng(0)
    return [
        TokenRow(generator.integers(0, VOCABULARY, length).astype(np.int32), start)
        for length, start in ((2, 1), (9, 4), (64, 63), (65, 1), (66, 30), (140, 70))
    ]


def row_by_row(model: Module) -> mx.array:
    """The textbook: each row alone through the model, all logits, the loss of the supervised ones."""
    total = mx.array(0.0)
    for row in rows():
        logits = model(mx.array(row.ids[:-1])[None])[0, row.start - 1 :]
        total = total + losses.cross_entropy(logits, mx.array(row.ids[row.start :]), reduction="sum")
    return total


def with_gradient(model: Module, loss: Callable[[], mx.array]) -> tuple[float, Weights]:
    value, gradient = value_and_grad(model, loss)()
    return value.item(), dict(tree_flatten(gradient))


def assert_close(given: Weights, wanted: Weights, tolerance: float = 1e-5) -> None:
    assert given.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (mx.abs(given[name] - tensor).max() <= tolerance * mx.abs(tensor).max()).item(), name


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("frozen", [0, 1])
@pytest.mark.parametrize("packed", [True, False])
def test_a_step_is_that_of_its_rows_alone(kind: str, frozen: int, packed: bool) -> None:
    model = student(kind)
    value, wanted = with_gradient(model, lambda: row_by_row(model))
    loss = LossFunction(model, frozen_layers=frozen, packed=packed)
    assert (loss.packed, loss.trunk_layers) == (packed, frozen)
    _, parts = Feeder(BatchPlan(rows(), 6, 0, 4, packed=packed), loss).step(1)
    assert len(parts) == 2
    given, gradient = with_gradient(model, lambda: mx.stack([loss(part, trained=True) for part in parts]).sum())
    assert given == pytest.approx(value, rel=1e-5)
    assert_close(gradient, wanted)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 40), st.integers(1, 39)), min_size=1, max_size=6), st.integers(1, 6))
def test_any_split_into_micro_batches_adds_up_to_the_same_gradient(
    shape: list[tuple[int, int]], micro_batch_size: int
) -> None:
    some = [TokenRow(np.arange(length, dtype=np.int32), min(start, length - 1)) for length, start in shape]
    loss = LossFunction(SHARED, packed=True)

    def summed(micro: int | None, packed: bool) -> tuple[float, Weights]:
        parts = Feeder(BatchPlan(some, len(some), 0, micro, packed=packed), loss).step(1)[1]
        return with_gradient(SHARED, lambda: mx.stack([loss(part, trained=True) for part in parts]).sum())

    value, wanted = summed(None, packed=False)
    given, gradient = summed(micro_batch_size, packed=True)
    assert given == pytest.approx(value, rel=1e-5)
    assert_close(gradient, wanted, 2e-5)


SHARED = student("llama")


def test_a_stack_that_does_more_than_a_plain_one_is_not_packed() -> None:
    model = student("llama")
    assert LossFunction(model, packed=True).packed
    attend = type(model.layers[1].self_attn)

    class Capped(attend):  # type: ignore[misc, valid-type]
        def __call__(self, *inputs: object) -> mx.array:
            return mx.tanh(super().__call__(*inputs))

    model.layers[1].self_attn.__class__ = Capped
    assert not LossFunction(model, packed=True).packed


@pytest.mark.parametrize(("asked", "length"), [(1, 1), (64, 64), (65, 65), (3, 130), (100, 130)])
def test_attention_is_mlxs(asked: int, length: int) -> None:
    mx.random.seed(0)
    arrays = [mx.random.normal(shape) for shape in ((6, asked, 8), (2, length, 8), (2, length, 8), (6, asked, 8))]

    def ours(queries: mx.array, keys: mx.array, values: mx.array) -> mx.array:
        return causal_attention(queries, keys, values, 0.3)

    def theirs(queries: mx.array, keys: mx.array, values: mx.array) -> mx.array:
        return mx.fast.scaled_dot_product_attention(queries[None], keys[None], values[None], scale=0.3, mask="causal")[
            0
        ]

    for a, b in zip(_both(ours, arrays), _both(theirs, arrays), strict=True):
        assert mx.allclose(a, b, rtol=1e-4, atol=1e-6).item()


def test_the_gated_unit_is_the_textbooks_even_far_from_zero() -> None:
    gate, up, cotangent = (mx.array([-200.0, -20.0, -1.0, 0.0, 3.0, 200.0]) + shift for shift in (0.0, 1.0, 2.0))

    def textbook(gate: mx.array, up: mx.array) -> mx.array:
        return gate * mx.sigmoid(gate) * up

    for a, b in zip(_both(gated, [gate, up, cotangent]), _both(textbook, [gate, up, cotangent]), strict=True):
        assert mx.allclose(a, b, rtol=1e-5, atol=1e-6).item()


def _both(function: Callable[..., mx.array], arrays: list[mx.array]) -> Iterator[mx.array]:
    values, gradients = mx.vjp(function, arrays[:-1], arrays[-1:])
    yield from (*values, *gradients)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("frozen", [0, 1])
def test_recomputed_layers_give_the_same_gradient_with_dropout(packed: bool, frozen: int) -> None:
    found = []
    for grad_checkpoint in (False, True):
        model = student("llama", lora_dropout=0.5)
        loss = LossFunction(model, frozen_layers=frozen, packed=packed, grad_checkpoint=grad_checkpoint)
        arrays = Feeder(BatchPlan(rows(), 6, 0, packed=packed), loss).step(1)[1]
        model.train()
        mx.random.seed(3)
        first = with_gradient(model, lambda: loss(arrays[0], trained=True))  # noqa: B023 - called at once
        found.append((first, with_gradient(model, lambda: loss(arrays[0], trained=True))))  # noqa: B023
    for (value, wanted), (again, gradient) in zip(*found, strict=True):
        assert again == pytest.approx(value, rel=1e-6)
        assert_close(gradient, wanted, 1e-6)
    assert found[0][0][0] != found[0][1][0]  # dropout was on


@pytest.mark.parametrize("packed", [True, False])
def test_recomputed_layers_need_less_memory(packed: bool) -> None:
    mx.random.seed(1)
    model = llama.Model(llama.ModelArgs.from_dict({**COMMON, "model_type": "llama", "num_hidden_layers": 8}))
    add_lora(model, TrainingSettings(lora_rank=2))
    row = TokenRow(np.arange(401, dtype=np.int32) % VOCABULARY, 390)
    peaks: list[int] = []
    for grad_checkpoint in (False, True):
        loss = LossFunction(model, packed=packed, grad_checkpoint=grad_checkpoint)
        (arrays,) = Feeder(BatchPlan([row], 1, 0, packed=packed), loss).step(1)[1]
        mx.eval(arrays.tensors(), lora_weights(model))
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(value_and_grad(model, lambda: loss(arrays, trained=True))())  # noqa: B023 - called at once
        peaks.append(mx.get_peak_memory() - before)
    assert peaks[1] < 0.5 * peaks[0]
