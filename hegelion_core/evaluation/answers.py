"""Answers of a model to several prompts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx_lm.generate import BatchGenerator
from mlx_lm.sample_utils import make_sampler
from mlx_lm.tokenizer_utils import TokenizerWrapper

from hegelion_core.dialectic.parsing import clean
from hegelion_core.evaluation.summary import GivenAnswer
from hegelion_core.evaluation.traces import holds_complete_trace

TEMPERATURE = 0.3
"""Low, so that the comparison is of what the models hold likely; not 0, at which small models fall into loops."""
BATCH = 16
"""Answers in the making at once."""
REPORT_EVERY = 10
"""Tokens between two reports: a report is written durably, a token is not."""


def answer_prompts(
    model: Module,
    tokenizer: TokenizerWrapper,
    prompts: Sequence[str],
    *,
    opened: str,
    max_new_tokens: int,
    seed: int,
    progress: Callable[[int], None],
    stop: Callable[[], bool],
    temperature: float = TEMPERATURE,
) -> list[GivenAnswer] | None:
    """Let a model continue generation prompts.

    Args:
        model: in evaluation mode.
        tokenizer: its own.
        prompts: generation prompts, special tokens included.
        opened: the part of the trace's block with which the prompts end; it is put before the answers.
        max_new_tokens: tokens an answer may have.
        seed: of the sampler.
        progress: told the number of tokens that the answers have reached, every ``REPORT_EVERY`` tokens.
        stop: asked after each token.
        temperature: of the sampler; 0 takes the likeliest token.

    Returns:
        An answer for each prompt, in order; none if ``stop()`` was true.
    """
    mx.random.seed(seed)
    generator = make_generator(model, tokenizer, temperature)
    encoded = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    uids: list[int] = generator.insert(encoded, [max_new_tokens] * len(prompts))
    tokens: dict[int, list[int]] = {uid: [] for uid in uids}
    endings: dict[int, str] = {}
    reached = 0
    try:
        while len(endings) < len(uids):
            for response in generator.next_generated():
                if response.finish_reason != "stop":
                    tokens[response.uid].append(response.token)
                if response.finish_reason is not None:
                    endings[response.uid] = response.finish_reason
            if stop():
                return None
            if (longest := max(map(len, tokens.values()))) >= reached + REPORT_EVERY:
                reached = longest
                progress(reached)
    finally:
        generator.close()
    return [
        given(opened + tokenizer.decode(tokens[uid]), len(tokens[uid]), cut=endings[uid] == "length") for uid in uids
    ]


def make_generator(model: Module, tokenizer: TokenizerWrapper, temperature: float) -> BatchGenerator:
    """What gives ``BATCH`` answers a token each at a time, and ends them at the tokenizer's end tokens."""
    return BatchGenerator(
        model,
        stop_tokens=[[token] for token in tokenizer.eos_token_ids],
        sampler=make_sampler(temp=temperature),
        completion_batch_size=BATCH,
        prefill_batch_size=BATCH,
    )


def given(text: str, tokens: int, *, cut: bool) -> GivenAnswer:
    """An answer as it is kept and measured. ``text`` holds what the prompt had opened."""
    text = clean(text)
    return GivenAnswer(text=text, tokens=tokens, cut=cut, complete_trace=holds_complete_trace(text))
