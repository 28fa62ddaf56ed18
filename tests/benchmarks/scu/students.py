"""Students that can be trained in minutes, and rows for them.

The students are small Llamas, pretrained here on the docstrings of Python's own library: a random model has nothing
that an adapter could build on. These have learned English and the form of a chat. The rows to train them on are 36
short dialectical answers, written for this, which are new to them in form and content.
"""

from __future__ import annotations

import ast
import inspect
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from tests.fakes.tiny_model import CHATML

START, END, BEGIN = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
VOCABULARY = 1024
LEFT_OUT = (
    *("asyncio", "collections", "configparser", "datetime", "difflib", "email", "ipaddress", "mailbox"),
    *("pathlib", "random", "shutil", "statistics", "tarfile", "threading", "urllib", "zipfile"),
)
"""Modules whose docstrings no student sees in pretraining: the trainings' rows are taken from them."""
WINDOW, WINDOWS = 128, 8
"""Tokens in a row of pretraining, and rows in a step."""


@dataclass(frozen=True)
class Size:
    """A student's size and how long it is pretrained."""

    width: int
    layers: int
    steps: int


@dataclass(frozen=True)
class Entry:
    """A question and its answer."""

    name: str
    question: str
    text: str

    @property
    def prompt(self) -> str:
        """The question, in ChatML, up to where the answer begins."""
        return f"{START}user\n{self.question}{END}\n{START}assistant\n"

    def row(self) -> dict[str, object]:
        """A line of a training file."""
        return {"id": self.name, "text": f"{self.prompt}{self.text}{END}\n", "answer_start": len(self.prompt)}


def dialectic_rows() -> list[Entry]:
    """The 36 answers, each to another question."""
    lines = Path(__file__).with_name("dialectic_rows.jsonl").read_text("utf-8").splitlines()
    return [_dialectic(number, json.loads(line)) for number, line in enumerate(lines)]


def _dialectic(number: int, parts: dict[str, str]) -> Entry:
    thought = "\n".join(f"**{name.upper()}**: {parts[name]}" for name in ("thesis", "antithesis", "synthesis"))
    return Entry(f"dialectic-{number}", parts["query"], f"<thought>\n{thought}\n</thought>\n{parts['answer']}")


def entries() -> list[Entry]:
    """The docstrings of Python's library, of 40 to 1,000 characters, by name."""
    library = Path(inspect.getfile(ast)).parent
    found: dict[str, Entry] = {}
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        module = ".".join(path.relative_to(library).with_suffix("").parts)
        if module.startswith(("test", "lib2to3", "idlelib", "site-packages", "_")):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        found.update((entry.name, entry) for entry in _documented(tree, module))
    return sorted(found.values(), key=lambda entry: entry.name)


def _documented(node: ast.AST, name: str) -> Iterator[Entry]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef):
            continue
        inner = f"{name}.{child.name}"
        text = (ast.get_docstring(child) or "").strip()
        if 40 <= len(text) <= 1000 and text.isascii():
            yield Entry(inner, f"What does {inner} do?", text)
        yield from _documented(child, inner)


def docstring_rows(count: int, seed: int) -> list[Entry]:
    """``count`` entries of the modules that pretraining leaves out, the same for the same seed."""
    fitting = [entry for entry in entries() if entry.name.split(".")[0] in LEFT_OUT]
    return random.Random(seed).sample(fitting, count)


def pretrained(folder: Path, size: Size) -> Path:
    """The folder of such a student, which is made if it is not there yet."""
    final = folder / f"student-{size.width}x{size.layers}-{size.steps}"
    if (final / "config.json").exists():
        return final
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
    return final


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
