"""A random two-layer Llama (or Qwen), 64 wide, with a byte-level tokenizer, saved as a model folder that mlx-lm loads.

It says nothing that makes sense, but it loads, generates and trains in milliseconds, without a network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS = 64, 128, 2, 4, 2

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Plain ChatML: nothing is added and nothing is dropped."""

THINKING = (
    "{{ bos_token }}"
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}{% endif %}{% endfor %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{% endif %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1] + eos_token }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
"""As DeepSeek-R1-Distill-Qwen's: a bare system text, an opened <think>, and all before </think> is dropped."""


Kind = Literal["llama", "qwen2", "qwen3"]
_CLASSES: dict[Kind, str] = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def make_tiny_model(folder: Path, *, seed: int = 0, thinking: bool = False, kind: Kind = "llama") -> Path:
    """Write the model into ``folder`` (made if need be) and return it.

    Args:
        folder: where the model is written.
        seed: seed of the random weights.
        thinking: special tokens, begin token and chat template as DeepSeek-R1-Distill-Qwen's; otherwise ChatML.
        kind: of the layers: Qwen2's have biases, Qwen3's norms of queries and keys.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if thinking:
        begin, end = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
        special, plain = [begin, end, "<｜User｜>", "<｜Assistant｜>"], ["<think>", "</think>"]
    else:
        begin, end = "<|endoftext|>", "<|im_end|>"
        special, plain = [begin, end, "<|im_start|>"], []
    tokenizer = _byte_level(special, plain, begin if thinking else None)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": begin,
            "eos_token": end,
            "pad_token": end,
            "clean_up_tokenization_spaces": False,
            "chat_template": THINKING if thinking else CHATML,
        },
    )
    vocabulary = tokenizer.get_vocab_size()
    _write(
        folder / "config.json",
        {
            "architectures": [_CLASSES[kind]],
            "model_type": kind,
            "hidden_size": WIDTH,
            "intermediate_size": HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": WIDTH // HEADS,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "vocab_size": vocabulary,
            "bos_token_id": tokenizer.token_to_id(begin),
            "eos_token_id": tokenizer.token_to_id(end),
        },
    )
    save_file(_weights(vocabulary, seed, kind), folder / "model.safetensors", metadata={"format": "mlx"})
    return folder


def _byte_level(special: list[str], plain: list[str], begin: str | None) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in special])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in plain])
    if begin is not None:  # as there, encoding adds the begin token unless it is told not to
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
        )
    return tokenizer


def _weights(vocabulary: int, seed: int, kind: Kind) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    keys = WIDTH // HEADS * KV_HEADS

    def normal(*shape: int) -> NDArray[np.float32]:
        return np.asarray(random.standard_normal(shape) * shape[-1] ** -0.5, np.float32)

    ones = np.ones(WIDTH, np.float32)
    weights = {"model.embed_tokens.weight": normal(vocabulary, WIDTH), "model.norm.weight": ones}
    for index in range(LAYERS):
        layer = f"model.layers.{index}"
        weights |= {
            f"{layer}.self_attn.q_proj.weight": normal(WIDTH, WIDTH),
            f"{layer}.self_attn.k_proj.weight": normal(keys, WIDTH),
            f"{layer}.self_attn.v_proj.weight": normal(keys, WIDTH),
            f"{layer}.self_attn.o_proj.weight": normal(WIDTH, WIDTH),
            f"{layer}.mlp.gate_proj.weight": normal(HIDDEN, WIDTH),
            f"{layer}.mlp.up_proj.weight": normal(HIDDEN, WIDTH),
            f"{layer}.mlp.down_proj.weight": normal(WIDTH, HIDDEN),
            f"{layer}.input_layernorm.weight": ones,
            f"{layer}.post_attention_layernorm.weight": ones,
        }
        for name in "qkv" if kind == "qwen2" else "":
            weights[f"{layer}.self_attn.{name}_proj.bias"] = normal(WIDTH if name == "q" else keys)
        for name in "qk" if kind == "qwen3" else "":
            weights[f"{layer}.self_attn.{name}_norm.weight"] = 1 + normal(WIDTH // HEADS)
    return weights


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), "utf-8")
