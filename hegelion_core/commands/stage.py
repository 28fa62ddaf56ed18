"""The commands that run one stage: generate and train. Each is a run too; so is evaluate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from hegelion_core.commands.options import (
    COMMON,
    CONTEXT,
    PROMPTS,
    TEACHER,
    TRAINING,
    flags_of,
    setting,
)
from hegelion_core.events import Stage


def run_stage(kind: Stage, stages: Sequence[Stage], values: dict[str, object]) -> None:
    """Run ``stages`` with the parameters of a command; ends the process with their exit code."""
    from hegelion_core.commands import headless
    from hegelion_core.settings import resolve
    from hegelion_core.workspace import Workspace

    root = Path(str(values["workspace"])).resolve()
    demo = bool(values["demo"])
    if kind == "check":
        raise AssertionError("a check is not a run")
    code = headless.run(
        Workspace(root, demo),
        resolve(root, flags_of(values), demo=demo),
        kind,
        stages,
        as_json=bool(values["as_json"]),
        new=bool(values["new"]),
        dry_run=bool(values["dry_run"]),
    )
    raise SystemExit(code)


@click.command(context_settings=CONTEXT)
@setting("--model", "generation.teacher", "Teacher: kimi-cli, kimi-code, kimi-legacy, openai or local.", "--teacher")
@setting("--output", "generation.output", "The sample file.")
@PROMPTS
@TEACHER
@COMMON
def generate(**values: object) -> None:
    """Ask the teacher until the file holds the wanted number of accepted samples.

    Run it again after whatever stopped it: it goes on where it was.

    \b
    Examples:
      hegelion-console generate --limit 500 --model kimi-cli
      hegelion-console generate --teacher-url http://localhost:8080/v1 --teacher-model NAME
      hegelion-console generate --model local --dataset bundled --limit 20
      hegelion-console generate --prompt-file my_prompts.txt --model kimi-cli
    """
    run_stage("generate", ("generate",), values)


@click.command(context_settings=CONTEXT)
@setting("--model", "training.model", "Student: hub name, local folder or 'bundled'.")
@setting("--data", "conversion.output", "Training rows, JSONL.")
@click.option(
    "--standard",
    "training__trainer",
    flag_value="standard",
    default=None,
    help="Plain LoRA through mlx-lm's own trainer, from the same data.",
)
@TRAINING
@setting("--seed", "training.seed", "Seed of initialisation, order, dropout and split.")
@COMMON
def train(**values: object) -> None:
    """Fine-tune the student with LoRA under the Shannon Control Unit, or with mlx-lm's own trainer (--standard).

    \b
    Example:
      hegelion-console train --model deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B \\
        --data artifacts/data/hegelion_scu_ready.jsonl --adapter_path artifacts/adapters/hegelion_1.5b_v1 \\
        --batch_size 4 --iters 500 --lr 1e-5
    """
    from hegelion_core.training.distributed.hosts import refuse_mlx_launch

    refuse_mlx_launch(os.environ)
    run_stage("train", ("train",), values)
