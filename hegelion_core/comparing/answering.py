"""Two models on their way through one question, a token each in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx_lm.generate import BatchGenerator
from mlx_lm.tokenizer_utils import TokenizerWrapper

from hegelion_core.comparing.exchange import AnyLine, Ended, Ending, Part, Who
from hegelion_core.evaluation.answers import given, make_generator

PART_SECONDS = 0.1
"""Between two parts of an answer: what a person sees as flowing."""
_ENDINGS: dict[str, Ending] = {"stop": "end", "length": "cut"}


@dataclass
class Answer:
    """One model's answer in the making."""

    who: Who
    generator: BatchGenerator
    tokenizer: TokenizerWrapper
    opened: str
    """The part of the trace's block with which the prompt ends."""
    tokens: list[int] = field(default_factory=list)
    seconds: float = 0.0
    ending: Ending = ""

    def __post_init__(self) -> None:
        self._words = self.tokenizer.detokenizer
        self._unsaid = self.opened

    def step(self) -> None:
        """Generate one token."""
        begun = time.perf_counter()
        for response in self.generator.next_generated():
            if response.finish_reason != "stop":
                self.tokens.append(response.token)
                self._words.add_token(response.token)
            if response.finish_reason is not None:
                self.ending = _ENDINGS[response.finish_reason]
        self.seconds += time.perf_counter() - begun

    def part(self) -> Part | None:
        """What has come since; none if nothing has."""
        text, self._unsaid = self._unsaid + self._words.last_segment, ""
        return Part(who=self.who, text=text, tokens=len(self.tokens), seconds=self.seconds) if text else None

    def ended(self) -> Ended:
        """The whole of it."""
        found = given(self.opened + self.tokenizer.decode(self.tokens), len(self.tokens), cut=self.ending == "cut")
        return Ended(
            who=self.who,
            text=found.text,
            tokens=found.tokens,
            seconds=self.seconds,
            ending=self.ending or "stopped",
            complete_trace=found.complete_trace,
        )


def answer_both(
    models: dict[Who, Module],
    tokenizer: TokenizerWrapper,
    prompt: list[int],
    *,
    opened: str,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    tell: Callable[[AnyLine], None],
    stop: Callable[[], bool],
) -> None:
    """Let each model continue the same prompt, and tell of it as it goes.

    Each answer's seconds are those of its own steps; since they take turns, they do not share them.

    Args:
        models: in evaluation mode.
        tokenizer: theirs.
        prompt: tokens of the generation prompt.
        opened: the part of the trace's block with which the prompt ends; the answers begin with it.
        max_new_tokens: tokens an answer may have.
        temperature: of the sampler; 0 takes the likeliest token.
        seed: of the sampler.
        tell: is given the lines.
        stop: asked after each token; when it is true the answers end where they are.
    """
    mx.random.seed(seed)
    answers = [
        Answer(who, make_generator(model, tokenizer, temperature), tokenizer, opened) for who, model in models.items()
    ]
    try:
        for answer in answers:
            answer.generator.insert([prompt], [max_new_tokens])
        told = time.perf_counter()
        while (going := [answer for answer in answers if not answer.ending]) and not stop():
            for answer in going:
                answer.step()
                if answer.ending:
                    tell(answer.ended())
            if time.perf_counter() - told >= PART_SECONDS:
                told = time.perf_counter()
                for part in (answer.part() for answer in going if not answer.ending):
                    if part is not None:
                        tell(part)
        for answer in going:
            tell(answer.ended())
    finally:
        for answer in answers:
            answer.generator.close()
