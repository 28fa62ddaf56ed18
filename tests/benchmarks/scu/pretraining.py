"""Makes small Llamas and pretrains them on docstrings.

A random model has nothing that an adapter could build on. These have learned English and the form of a chat; the
dialectical rows are new to them in form and content.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import mlx.core as mx
import numpy as np
from mlx.nn import losses
from mlx.nn.utils import value_and_grad
from mlx.optimizers.optimizers import AdamW
from mlx.optimizers.schedulers import cosine_decay
from mlx.utils import tree_flatten
from mlx_lm.models import llama
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from hegelion_core import workspace
from tests.benchmarks.scu.rows import END, LEFT_OUT, START, entries
from tests.benchmarks.scu.students import Size
from tests.fakes.tiny_model import CHATML

BEGIN = "<|endoftext|>"
VOCABULARY = 1024
WINDOW, WINDOWS = 128, 8
"""Tokens in a row of pretraining, and rows in a step."""


def make(final: Path, size: Size) -> None:
    """Write a student into the folder ``final``, its config last."""
    final.mkdir(parents=True, exist_ok=True)
    seen = [entry for entry in entries() if entry.name.split(".")[0] not in LEFT_OUT]
    texts = [cast(str, entry.row()["text"]) for entry in seen]
    tokenizer = _tokenizer(texts)
    tokenizer.save(str(final / "tokenizer.json"))
    model, config = _model(tokenizer, size)
    _train(model, _ids(tokenizer, texts), size.steps)
    mx.save_safetensors(str(final / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": END, "bos_token": BEGIN}
    workspace.replace(final / "tokenizer_config.json", json.dumps({**special, "chat_template": CHATML}).encode())
    workspace.replace(final / "config.json", json.dumps(config).encode())


def _tokenizer(texts: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(text, normalized=False, special=True) for text in (BEGIN, START, END)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _model(tokenizer: Tokenizer, size: Size) -> tuple[llama.Model, dict[str, object]]:
    config: dict[str, object] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": size.width,
        "intermediate_size": 3 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.width // 16,
        "num_key_value_heads": size.width // 16,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "vocab_size": tokenizer.get_vocab_size(),
        "bos_token_id": tokenizer.token_to_id(BEGIN),
        "eos_token_id": tokenizer.token_to_id(END),
    }
    mx.random.seed(0)
    return llama.Model(llama.ModelArgs.from_dict(config)), config


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    shuffled = random.Random(0).sample(texts, len(texts))
    return np.concatenate([np.asarray(encoding.ids, np.int32) for encoding in tokenizer.encode_batch(shuffled)])


def _train(model: llama.Model, ids: np.ndarray[tuple[int], np.dtype[np.int32]], steps: int) -> None:
    optimizer = AdamW(learning_rate=cosine_decay(3e-3, steps, 1e-4), weight_decay=0.01)

    def loss(inputs: mx.array, targets: mx.array) -> mx.array:
        return losses.cross_entropy(model(inputs), targets, reduction="mean")

    step_of = value_and_grad(model, loss)
    generator, begun = np.random.default_rng(0), time.monotonic()
    for step in range(1, steps + 1):
        starts = generator.integers(0, len(ids) - WINDOW - 1, WINDOWS)
        rows = mx.array(np.stack([ids[start : start + WINDOW + 1] for start in starts]))
        value, gradients = step_of(rows[:, :-1], rows[:, 1:])
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state, value)
        if step % 100 == 0:
            seconds = time.monotonic() - begun
            print(f"  pretraining, step {step} of {steps}: loss {value.item():.3f}, {seconds:.0f} s", file=sys.stderr)
