"""What is kept of every optimizer step, and what a person reads of them. Pure, but for the metrics file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.errors import UserError
from hegelion_core.events import StepReported
from hegelion_core.training.scu import measures
from hegelion_core.unreadable import UNREADABLE


class StepMetrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of ``metrics.jsonl``."""

    step: int
    loss: float
    """Mean cross-entropy of the batch's supervised tokens, nats per token, before the step."""
    data_bpt: float
    param_bpt: float
    """Of the weights after the step."""
    s: float
    s_hat: float
    lam: float = msgspec.field(name="lambda")
    """In force during the step."""
    lambda_after: float
    """In force from the next step on."""
    lr: float
    grad_norm: float | None = None
    """Before clipping; none where it was not measured."""
    tokens: int
    """Supervised tokens of the batch."""
    seconds: float
    validation: float | None = None
    """Nats per token, where it was measured after the step."""


def summarise(steps: Sequence[StepMetrics], *, iters: int, peak_memory: int = 0) -> StepReported:
    """The means over one or more steps: the loss by tokens, ParamBPT by steps, and S of the two.

    Args:
        steps: the steps since the last report.
        iters: steps of the whole training.
        peak_memory: bytes.
    """
    tokens, last = sum(step.tokens for step in steps), steps[-1]
    loss = sum(step.loss * step.tokens for step in steps) / tokens
    data_bpt, param_bpt = measures.bits(loss), sum(step.param_bpt for step in steps) / len(steps)
    return StepReported(
        step=last.step,
        iters=iters,
        loss=loss,
        data_bpt=data_bpt,
        param_bpt=param_bpt,
        s=measures.share(data_bpt, param_bpt),
        lambda_before=steps[0].lam,
        lambda_after=last.lambda_after,
        learning_rate=last.lr,
        tokens_per_second=tokens / max(sum(step.seconds for step in steps), 1e-9),
        peak_memory=peak_memory,
    )


def step_line(report: StepReported) -> str:
    """The guide's line: ``Step N: Loss=X, DataBPT=Y, ParamBPT=Z, S=W%, λ=A -> B``."""
    return (
        f"Step {report.step}: Loss={report.loss:.3f}, DataBPT={report.data_bpt:.3f}, "
        f"ParamBPT={report.param_bpt:.5f}, S={100 * report.s:.2f}%, "
        f"λ={plain(report.lambda_before)} -> {plain(report.lambda_after)}"
    )


def plain(value: float) -> str:
    """A number in plain decimals, at least 4 of them and, above 0, at least 4 significant digits."""
    decimals = 4 if value <= 0 else max(4, 3 - math.floor(math.log10(value)))
    return f"{value:.{decimals}f}"


def append_step(path: Path, step: StepMetrics) -> None:
    """Add a line to the metrics file, durably.

    Raises:
        UserError: no space, or not writable; the file is as it was.
    """
    try:
        workspace.append(path, msgspec.json.encode(step) + b"\n")
    except OSError as error:
        raise UserError(
            f"{path}: step {step.step} cannot be written ({error.strerror}).",
            "Free some space and give the same command again; training goes on at the last checkpoint.",
        ) from None


def cut_back(path: Path, step: int) -> list[StepMetrics]:
    """Drop the lines after ``step``, and any that a kill left torn; the steps that are left."""
    kept: list[StepMetrics] = []
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                metrics = msgspec.json.decode(line, type=StepMetrics)
            except UNREADABLE:
                continue
            if metrics.step <= step:
                kept.append(metrics)
    workspace.replace(path, b"".join(msgspec.json.encode(metrics) + b"\n" for metrics in kept))
    return kept
