"""What an evaluation found: the content of ``evaluation.json``, and a few lines about it. Pure."""

from __future__ import annotations

import math
import textwrap

import msgspec

from hegelion_core.events import EvaluationFinished

TRAINING_SETTINGS = frozenset({"model", "max_seq_length", "validation_share", "seed", "batch_size"})
"""Those on which an evaluation depends, besides its own."""


class GivenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One model's answer to a held-out prompt."""

    text: str
    tokens: int
    cut: bool
    """The token limit ended it."""
    complete_trace: bool


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What one model did. Without held-out rows the loss is none."""

    loss_nats_per_token: float | None
    answers: tuple[GivenAnswer, ...]
    seconds: float

    @property
    def bits_per_token(self) -> float | None:
        """The loss in bits: nats / ln 2."""
        return None if self.loss_nats_per_token is None else self.loss_nats_per_token / math.log(2)

    @property
    def complete_trace_share(self) -> float:
        """The share of answers that hold a complete trace, 0 to 1; 0 without answers."""
        return sum(answer.complete_trace for answer in self.answers) / len(self.answers) if self.answers else 0.0


class PromptResult(msgspec.Struct, frozen=True, kw_only=True):
    """A held-out prompt and both answers."""

    prompt: str
    base: GivenAnswer
    adapter: GivenAnswer


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a run's ``evaluation.json``."""

    student: str
    adapter_path: str
    validation_rows: int
    validation_tokens: int
    """Supervised tokens, over which the losses are means."""
    base_loss_nats_per_token: float | None
    adapter_loss_nats_per_token: float | None
    base_bits_per_token: float | None
    adapter_bits_per_token: float | None
    base_complete_trace_share: float
    adapter_complete_trace_share: float
    max_new_tokens: int
    base_seconds: float
    adapter_seconds: float
    results: tuple[PromptResult, ...]


def compare(
    base: Side,
    adapter: Side,
    *,
    prompts: list[str],
    student: str,
    adapter_path: str,
    validation_rows: int,
    validation_tokens: int,
    max_new_tokens: int,
) -> Evaluation:
    """Both sides in one record; each has an answer to each of ``prompts``, in their order."""
    return Evaluation(
        student=student,
        adapter_path=adapter_path,
        validation_rows=validation_rows,
        validation_tokens=validation_tokens,
        base_loss_nats_per_token=base.loss_nats_per_token,
        adapter_loss_nats_per_token=adapter.loss_nats_per_token,
        base_bits_per_token=base.bits_per_token,
        adapter_bits_per_token=adapter.bits_per_token,
        base_complete_trace_share=base.complete_trace_share,
        adapter_complete_trace_share=adapter.complete_trace_share,
        max_new_tokens=max_new_tokens,
        base_seconds=base.seconds,
        adapter_seconds=adapter.seconds,
        results=tuple(
            PromptResult(prompt=prompt, base=one, adapter=other)
            for prompt, one, other in zip(prompts, base.answers, adapter.answers, strict=True)
        ),
    )


def finished(evaluation: Evaluation, path: str) -> EvaluationFinished:
    """The event; where no rows were held out its losses are 0 and so is ``validation_rows``."""
    return EvaluationFinished(
        path=path,
        prompts=len(evaluation.results),
        validation_rows=evaluation.validation_rows,
        base_loss=evaluation.base_loss_nats_per_token or 0.0,
        adapter_loss=evaluation.adapter_loss_nats_per_token or 0.0,
        base_bits=evaluation.base_bits_per_token or 0.0,
        adapter_bits=evaluation.adapter_bits_per_token or 0.0,
        base_traces=evaluation.base_complete_trace_share,
        adapter_traces=evaluation.adapter_complete_trace_share,
    )


def lines(result: EvaluationFinished) -> list[str]:
    """The figures for people."""
    shown: list[str] = []
    if result.validation_rows:
        change = result.adapter_loss - result.base_loss
        rows = "1 held-out row" if result.validation_rows == 1 else f"{result.validation_rows} held-out rows"
        shown.append(
            f"Loss on {rows}: {result.base_loss:.3f} -> {result.adapter_loss:.3f} nats per token ({change:+.3f}), "
            f"{result.base_bits:.3f} -> {result.adapter_bits:.3f} bits per token."
        )
    else:
        shown.append("Loss: not measured, since no rows were held out.")
    if result.prompts:
        base, adapter = round(result.base_traces * result.prompts), round(result.adapter_traces * result.prompts)
        prompts = "1 held-out prompt" if result.prompts == 1 else f"{result.prompts} held-out prompts"
        shown.append(f"Complete traces on {prompts}: {base} -> {adapter}.")
    shown.append(f"Both answers to each prompt: {result.path}")
    return shown


def example(evaluation: Evaluation, width: int = 240) -> list[str]:
    """The first prompt and the beginning of both answers to it, for people; empty without prompts."""
    if not evaluation.results:
        return []
    first = evaluation.results[0]
    answers = (("base", first.base), ("adapter", first.adapter))
    return [first.prompt, *(f"{name}: {textwrap.shorten(given.text, width)}" for name, given in answers)]
