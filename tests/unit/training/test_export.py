"""An adapter in other forms: PEFT's formula by NumPy alone, the fused model, GGUF, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn.layers.base import Module
from mlx_lm.utils import load, quantize_model, save
from numpy.typing import NDArray
from safetensors.numpy import load_file

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models.bundled import unpermute
from hegelion_core.training.export.gguf import FILE, read_gguf
from hegelion_core.training.export.peft import peft_config
from hegelion_core.training.export.run import Exported, Request, export
from hegelion_core.training.export.source import read_adapter
from hegelion_core.workspace import Workspace
from tests.fakes.adapters import KEYS, make_adapter
from tests.fakes.tiny_model import HEADS, KV_HEADS, make_tiny_model

TOKENS = mx.array([[5, 17, 99, 3, 42, 7, 7, 200]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(base, tmp_path_factory.mktemp("adapters") / "one", layers=1)


def logits(model: Module) -> NDArray[np.float32]:
    return np.array(model(TOKENS))


def exported(adapter: Path, to: str, tmp_path: Path, **changes: object) -> tuple[Exported, list[str]]:
    said: list[str] = []
    values = {"place": Workspace(tmp_path), "adapter": adapter, "to": to, "output": tmp_path / to, **changes}
    return export(Request(**values), said.append), said  # type: ignore[arg-type]


# PEFT


def peft_layer(
    tensors: dict[str, NDArray[np.float32]],
    config: dict[str, object],
    path: str,
    weight: NDArray[np.float32],
    x: NDArray[np.float32],
) -> NDArray[np.float32]:
    """PEFT's documented forward of one module, from the exported files alone (no bias)."""
    a, b = (tensors[f"base_model.model.{path}.lora_{matrix}.weight"] for matrix in "AB")
    rank, alpha = config["r"], config["lora_alpha"]
    assert isinstance(rank, int)
    assert isinstance(alpha, int | float)
    assert a.shape == (rank, weight.shape[1])
    assert b.shape == (weight.shape[0], rank)
    scaling = alpha / (rank**0.5 if config["use_rslora"] else rank)
    y = np.asarray(x @ weight.T + scaling * ((x @ a.T) @ b.T), np.float32)
    if config["use_dora"]:
        magnitude = tensors[f"base_model.model.{path}.lora_magnitude_vector"]
        y *= magnitude / np.linalg.norm(weight + scaling * (b @ a), axis=1)
    return y


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("scale", [2.0, 32 / 3**0.5], ids=["alpha/r", "rank-stabilised"])
def test_pefts_formula_on_the_exported_file_gives_what_the_module_gives(
    base: Path, tmp_path: Path, dora: bool, scale: float
) -> None:
    made = make_adapter(base, tmp_path / "a", layers=2, dora=dora, scale=scale, rank=3)
    exported(made, "peft", tmp_path)
    tensors = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    config = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    model, weights = load(str(base), adapter_path=str(made))[0], load_file(base / "model.safetensors")
    modules = {name: module for name, module in model.named_modules() if hasattr(module, "lora_a")}
    assert len(modules) == 2 * 7
    assert len(tensors) == (3 if dora else 2) * len(modules)
    for path, module in modules.items():
        weight = weights[f"{path}.weight"]
        x = np.random.default_rng(1).standard_normal((5, weight.shape[1])).astype(np.float32)
        expected = np.array(module(mx.array(x)))
        np.testing.assert_allclose(peft_layer(tensors, config, path, weight, x), expected, rtol=2e-5, atol=2e-5)


def test_the_config_names_the_adapted_layers_where_they_are_not_all(adapter: Path) -> None:
    config = peft_config(read_adapter(adapter), "owner/model", 2)
    assert config["target_modules"] == list(KEYS)
    assert (config["layers_to_transform"], config["layers_pattern"]) == ([1], "layers")
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (4, 16, "owner/model")
    assert isinstance(config["lora_alpha"], int)


def test_all_layers_need_no_list(base: Path, tmp_path: Path) -> None:
    made = make_adapter(base, tmp_path / "all", layers=2)
    assert peft_config(read_adapter(made), "m", 2)["layers_to_transform"] is None
    assert peft_config(read_adapter(made), "m", None)["layers_to_transform"] == [0, 1]


def test_without_the_base_at_hand_peft_is_written_unchecked_and_that_is_said(adapter: Path, tmp_path: Path) -> None:
    made, said = exported(adapter, "peft", tmp_path, model="owner/not-here")
    assert made.base == "owner/not-here"
    assert any("not checked" in line for line in said)


# One model


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_the_fused_model_loads_and_says_the_same(base: Path, tmp_path: Path, dora: bool) -> None:
    made = make_adapter(base, tmp_path / "a", layers=1, dora=dora)
    result, _ = exported(made, "fused", tmp_path)
    fused = load(str(tmp_path / "fused"))[0]
    expected = logits(load(str(base), adapter_path=str(made))[0])
    np.testing.assert_allclose(logits(fused), expected, atol=1e-4)
    assert np.abs(expected - logits(load(str(base))[0])).max() > 0.1
    assert {"config.json", "tokenizer.json", "model.safetensors", "hegelion_export.json"} <= set(result.files)
    assert json.loads((tmp_path / "fused" / "hegelion_export.json").read_text())["base"] == str(base)


def test_a_gguf_holds_the_fused_weights_and_the_whole_tokenizer(base: Path, adapter: Path, tmp_path: Path) -> None:
    exported(adapter, "gguf", tmp_path)
    tensors, metadata = read_gguf(tmp_path / "gguf" / FILE)
    assert metadata["general.architecture"] == "llama"
    assert metadata["tokenizer.ggml.model"] == "gpt2"
    assert "<|im_start|>" in metadata["tokenizer.ggml.tokens"]
    kinds = metadata["tokenizer.ggml.token_type"]
    assert isinstance(kinds, mx.array)
    assert kinds.dtype == mx.int32  # the only one that llama.cpp loads
    assert "im_start" in str(metadata["tokenizer.chat_template"])
    exported(adapter, "fused", tmp_path)
    weights = load_file(tmp_path / "fused" / "model.safetensors")
    assert len(tensors) == len(weights)
    for name, heads in (("attn_q", HEADS), ("attn_k", KV_HEADS)):
        module = f"model.layers.1.self_attn.{name.removeprefix('attn_')}_proj.weight"
        assert tensors[f"blk.1.{name}.weight"].dtype == mx.float16
        np.testing.assert_array_equal(
            np.array(unpermute(tensors[f"blk.1.{name}.weight"], heads)), weights[module].astype(np.float16)
        )
    down = weights["model.layers.1.mlp.down_proj.weight"].astype(np.float16)
    np.testing.assert_array_equal(np.array(tensors["blk.1.ffn_down.weight"]), down)


def test_a_gguf_of_another_kind_of_model_is_refused_with_the_way(tmp_path: Path) -> None:
    qwen = make_tiny_model(tmp_path / "qwen", kind="qwen2")
    made = make_adapter(qwen, tmp_path / "a", layers=1)
    with pytest.raises(UserError, match=r"llama, mistral, and this is qwen2") as raised:
        exported(made, "gguf", tmp_path)
    assert "--to fused" in raised.value.hint
    assert "convert_hf_to_gguf.py" in raised.value.hint
    assert not (tmp_path / "gguf").exists()


def test_a_quantised_base_stays_so_or_is_dequantised_which_keeps_every_bit(base: Path, tmp_path: Path) -> None:
    model, tokenizer, config = load(str(base), return_config=True)
    packed = tmp_path / "packed"
    quantised, config = quantize_model(model, config, group_size=32, bits=4)
    save(packed, base, quantised, tokenizer, config, donate_model=False)
    made = make_adapter(packed, tmp_path / "a", layers=1)
    expected = logits(load(str(packed), adapter_path=str(made))[0])

    _, said = exported(made, "fused", tmp_path)
    assert any("quantised again" in line for line in said)
    assert "quantization" in json.loads((tmp_path / "fused" / "config.json").read_text())
    off = np.abs(logits(load(str(tmp_path / "fused"))[0]) - expected).max()
    exported(made, "fused", tmp_path, dequantise=True)
    assert "quantization" not in json.loads((tmp_path / "fused" / "config.json").read_text())
    assert np.abs(logits(load(str(tmp_path / "fused"))[0]) - expected).max() < 1e-4 < off
    exported(made, "gguf", tmp_path)
    assert all(tensor.dtype in (mx.float16, mx.float32) for tensor in read_gguf(tmp_path / "gguf" / FILE)[0].values())
    _, said = exported(made, "peft", tmp_path)
    assert any("which transformers does not read" in line for line in said)


# What is refused


@pytest.mark.parametrize("to", ["peft", "fused"])
def test_an_adapter_of_another_model_is_told(adapter: Path, tmp_path: Path, to: str) -> None:
    other = make_tiny_model(tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    mx.save_safetensors(
        str(other / "model.safetensors"), {k: mx.array(v) for k, v in weights.items() if ".layers.1." not in k}
    )
    with pytest.raises(UserError, match="adapter") as raised:
        exported(adapter, to, tmp_path, model=str(other))
    assert raised.value.exit_code == ExitCode.USAGE
    assert "layers.1" in raised.value.message
    assert not (tmp_path / to).exists()


def test_a_folder_of_ours_is_replaced_and_any_other_is_not(adapter: Path, tmp_path: Path) -> None:
    target = tmp_path / "peft"
    target.mkdir()  # empty: nothing to lose
    exported(adapter, "peft", tmp_path)
    (target / "left_over").touch()
    exported(adapter, "peft", tmp_path)
    assert sorted(path.name for path in target.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "hegelion_export.json",
    ]
    (target / "hegelion_export.json").unlink()
    with pytest.raises(UserError, match="something else"):
        exported(adapter, "peft", tmp_path)
    assert (target / "adapter_model.safetensors").exists()
    with pytest.raises(UserError, match="adapter's own folder"):
        exported(adapter, "peft", tmp_path, output=adapter / "peft")


def test_what_a_kill_left_is_cleared_and_a_failure_leaves_nothing(adapter: Path, tmp_path: Path) -> None:
    (tmp_path / ".peft.tmp").mkdir()
    (tmp_path / ".peft.tmp" / "half").touch()
    exported(adapter, "peft", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["peft"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        exported(adapter, "peft", tmp_path, output=tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("adapter_config.json", None, "lacks adapter_config.json"),
        ("adapters.safetensors", None, "lacks adapters.safetensors"),
        ("adapter_config.json", b"{", "cannot be read"),
        ("adapters.safetensors", b"torn", "cannot be read"),
        ("adapter_config.json", b'{"fine_tune_type": "full", "model": "m"}', "is no LoRA adapter"),
        ("adapter_config.json", b'{"fine_tune_type": "%s"}' % (b"x" * 5000), r"adapter \('x{40}'\)"),
    ],
)
def test_what_is_no_adapter_is_told(
    adapter: Path, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in adapter.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    if content is None:
        (broken / name).unlink()
    else:
        (broken / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        exported(broken, "peft", tmp_path)
    assert raised.value.exit_code == ExitCode.USAGE
