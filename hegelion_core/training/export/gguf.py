"""The fused model as one GGUF file in half precision, where mlx-lm can write it. Imports mlx.

mlx-lm knows the tensors of a few model types and one kind of vocabulary, SentencePiece. Byte-level vocabularies (Llama
3, SmolLM2) are put right here, as llama.cpp's own converter writes them: kind ``gpt2``, with the merges and the name
of the way in which text is split first.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias, cast

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.gguf import convert_to_gguf

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.training.export.fused import FusedModel, Say

MODEL_TYPES = ("llama", "mistral")
"""That mlx-lm can write. It takes mixtral too, but names its experts, which it stacks, as no other program does."""
FILE = "model-f16.gguf"
Value: TypeAlias = "str | list[str] | mx.array"

_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def refuse(config: Mapping[str, object]) -> None:
    """Raise if mlx-lm cannot write this model as GGUF, or would write it wrongly; asked before the long work.

    Raises:
        UserError: which models it can, and the way for the others.
    """
    kind = config.get("model_type")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    scaled = isinstance(rope, dict) and (rope.get("rope_type") or rope.get("type")) not in (None, "default", "linear")
    width, heads, head = (config.get(name) for name in ("hidden_size", "num_attention_heads", "head_dim"))
    odd_heads = isinstance(width, int) and isinstance(heads, int) and head not in (None, width // heads)
    if kind not in MODEL_TYPES:
        fault = f"mlx-lm writes GGUF for the model types {', '.join(MODEL_TYPES)}, and this is {kind}"
    elif scaled:
        fault = "mlx-lm writes no GGUF for positions that are scaled as this model's are"
    elif odd_heads:
        fault = "mlx-lm writes no GGUF for a model whose heads have a width of their own"
    else:
        return
    raise UserError(
        f"{fault}.",
        "Export with --to fused --dequantize, and convert that folder with llama.cpp's convert_hf_to_gguf.py.",
        ExitCode.USAGE,
    )


def write_gguf(fused: FusedModel, folder: Path, say: Say) -> None:
    """Write ``model-f16.gguf``, and see that it can be read back.

    Args:
        fused: dequantised.

    Raises:
        UserError: a weight is too large for half precision, or the file is not what was written.
        OSError, RuntimeError: it cannot be written.
    """
    flat: list[tuple[str, mx.array]] = tree_flatten(fused.model.parameters())  # type: ignore[no-untyped-call, assignment]
    weights = {name: _halved(tensor) for name, tensor in flat}
    config = dict(fused.config)
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:  # where newer configs keep it, mlx-lm's writer does not look
        config["rope_theta"] = rope["rope_theta"]
    path = folder / FILE
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # it prints
        convert_to_gguf(fused.base, weights, config, str(path))
    tensors, metadata = read_gguf(path)
    if len(tensors) != len(weights) or not all(mx.isfinite(tensor).all().item() for tensor in tensors.values()):
        raise UserError(
            f"{fused.base.name}: has weights that are too large for half precision.",
            "Export with --to fused, which keeps the precision of the base.",
        )
    for note in mend_vocabulary(metadata, fused.base):
        say(note)
    mended = path.with_suffix(".mended.gguf")
    mx.save_gguf(str(mended), tensors, metadata)
    mended.replace(path)


def read_gguf(path: Path) -> tuple[dict[str, mx.array], dict[str, Value]]:
    """Tensors and metadata of a GGUF file."""
    loaded = mx.load(str(path), format="gguf", return_metadata=True)
    tensors, metadata = cast("tuple[dict[str, mx.array], dict[str, Value]]", loaded)
    mx.eval(tensors)  # they stay backed by the file, which will be replaced
    return tensors, metadata


def mend_vocabulary(metadata: dict[str, Value], base: Path) -> list[str]:
    """Correct what mlx-lm writes about the tokenizer; returns what a user should know of it.

    ``tokenizer.json`` holds what is needed: https://huggingface.co/docs/tokenizers. The names that llama.cpp gives to
    pre-tokenizers are in its convert_hf_to_gguf.py.
    """
    tokenizer = json.loads((base / "tokenizer.json").read_bytes())
    model, before = tokenizer["model"], json.dumps(tokenizer.get("pre_tokenizer"))
    kinds = metadata["tokenizer.ggml.token_type"]
    metadata["tokenizer.ggml.token_type"] = cast(mx.array, kinds).astype(mx.int32)  # llama.cpp loads no other type
    if (template := _chat_template(base)) is not None:
        metadata["tokenizer.chat_template"] = template
    if "ByteLevel" not in before:
        return [
            "mlx-lm gives all words of the vocabulary the same score: llama.cpp may split text otherwise than this "
            "model was trained on. If that matters, export with --to fused and use convert_hf_to_gguf.py."
        ]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    split = _split(tokenizer["pre_tokenizer"])
    metadata["tokenizer.ggml.model"] = "gpt2"
    metadata["tokenizer.ggml.pre"] = split or "default"
    if merges:
        metadata["tokenizer.ggml.merges"] = merges
    metadata.pop("tokenizer.ggml.scores", None)
    if split:
        return []
    return ["llama.cpp's name for this tokenizer's way of splitting text is not known here; 'default' is written."]


def _split(pre_tokenizer: dict[str, object]) -> str | None:
    """llama.cpp's name of a pre-tokenizer."""
    parts = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    steps = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    kinds = [step.get("type") for step in steps]
    if kinds == ["Split", "ByteLevel"] and steps[0].get("pattern") == {"Regex": _LLAMA_3}:
        return "llama-bpe"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    return "gpt-2" if kinds == ["ByteLevel"] and steps[0].get("use_regex", True) else None


def _chat_template(base: Path) -> str | None:
    apart, config = base / "chat_template.jinja", base / "tokenizer_config.json"
    if apart.is_file():
        return apart.read_text("utf-8")
    template = json.loads(config.read_bytes()).get("chat_template") if config.is_file() else None
    return template if isinstance(template, str) else None


def _halved(tensor: mx.array) -> mx.array:
    return tensor.astype(mx.float32).astype(mx.float16) if tensor.ndim > 1 else tensor.astype(mx.float32)
