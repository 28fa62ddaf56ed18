"""Flags that are settings, and what every command shares. A flag's value is checked by the settings tree alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., object])
Option = Callable[[F], F]

CONTEXT: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    # --batch_size and --batch-size alike, as the operations guide writes both.
    "token_normalize_func": lambda token: token.replace("_", "-"),
    "max_content_width": 100,
}


def setting(flag: str, name: str, help_text: str, *others: str) -> Option[F]:
    """A flag that sets ``name`` (``section.name``); ``others`` are flags that mean the same."""
    parameter = name.replace(".", "__")
    return click.option(
        flag, *others, parameter, default=None, metavar="VALUE", help=help_text, shell_complete=_complete_value
    )


def _complete_value(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What a shell offers as a setting's value: the choices there are, or files."""
    from hegelion_core.settings import described  # takes longer than all the rest

    wanted = {setting.name.replace(".", "__"): setting.wanted for setting in described()}[str(parameter.name)]
    if wanted.kind == "path":
        return [CompletionItem(begun, type="file")]
    return [CompletionItem(choice) for choice in wanted.choices if choice.startswith(begun)]


def switch(flag: str, name: str, help_text: str) -> Option[F]:
    """A flag without a value that turns the setting ``name`` on."""
    return click.option(flag, name.replace(".", "__"), is_flag=True, flag_value=True, default=None, help=help_text)


def flags_of(values: Mapping[str, object]) -> dict[str, object]:
    """The settings among a command's parameters that were given, ``--set`` included; ``name`` to value."""
    given = {name.replace("__", "."): value for name, value in values.items() if "__" in name and value is not None}
    extra = values.get("assignments")
    for assignment in extra if isinstance(extra, tuple) else ():
        name, equals, value = str(assignment).partition("=")
        if not equals:
            raise click.BadParameter(f"{assignment!r} is not SECTION.NAME=VALUE.", param_hint="--set")
        given[name.strip()] = value.strip()
    return given


def together(*options: Option[F]) -> Option[F]:
    """Several options as one decorator, in their order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


WORKSPACE: Option[Any] = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder in which everything lives (below artifacts/). Default: the current folder.",
)
DEMO: Option[Any] = click.option(
    "--demo", is_flag=True, help="Small real models, 12 samples, no account; everything in artifacts/demo/."
)
SET: Option[Any] = click.option(
    "--set", "assignments", multiple=True, metavar="SECTION.NAME=VALUE", help="Any other setting; may be repeated."
)
NEW: Option[Any] = click.option("--new", is_flag=True, help="Start afresh; earlier results are kept in their run.")
JSON: Option[Any] = click.option(
    "--json", "as_json", is_flag=True, help="Events as JSON lines on standard output, words on standard error."
)
DRY_RUN: Option[Any] = click.option("--dry-run", is_flag=True, help="Say what would be done and what is done already.")
COMMON: Option[Any] = together(WORKSPACE, DEMO, SET, NEW, JSON, DRY_RUN)

PROMPTS: Option[Any] = together(
    setting("--dataset", "generation.dataset", "Hub data set, local folder or file, or 'bundled'."),
    setting("--split", "generation.split", "Split of the data set."),
    setting("--prompt-file", "generation.prompt_file", "Text file (a prompt a line) or JSONL, in place of a data set."),
    setting("--revision", "generation.revision", "Revision of a hub data set; default: the newest, recorded."),
    setting("--limit", "generation.limit", "Accepted samples wanted in the file, in all [500, or a prompt file's]."),
    setting("--prefer", "generation.prefer", "'arguable' prompts first, or 'any' alike."),
    setting("--seed", "generation.seed", "Seed of the order of the prompts."),
    setting("--council", "generation.council", "Critics of each thesis: 'council', 'security', 'debate' ... [none]."),
    switch("--judge", "generation.judge", "Have a judge score each sample."),
    setting("--min-score", "generation.min_score", "Samples under this score, 0 to 10, are rejected [0: none are]."),
    setting("--instances", "generation.instances", "Generator instances that run at once, 1 to 64."),
    setting("--max-attempts", "generation.max_attempts", "Attempts before a prompt is set aside."),
    setting("--first-line-timeout", "generation.first_line_timeout", "Seconds until a teacher's first line [60]."),
    setting("--silence-timeout", "generation.silence_timeout", "Seconds without output until a call ends [300]."),
    setting("--total-timeout", "generation.total_timeout", "Seconds until a call is ended [900]."),
    setting("--quota-wait", "generation.quota_wait", "Seconds to wait, in all, for a quota; then exit 75 [21600]."),
)
TEACHER: Option[Any] = together(
    setting("--teacher-url", "teacher.url", "Base URL of an OpenAI-compatible endpoint, .../v1."),
    setting("--teacher-model", "teacher.model", "The teacher's model: alias, endpoint's name, or folder."),
    setting("--temperature", "teacher.temperature", "Sampling temperature [provider's; local: 0.7]."),
    setting("--top-p", "teacher.top_p", "Nucleus sampling, 0 to 1 [provider's]."),
    setting("--max-new-tokens", "teacher.max_new_tokens", "Tokens an answer may have [provider's; local: 300]."),
    setting("--thinking", "teacher.thinking", "Whether the teacher thinks first: 'on', 'off' [its default]."),
)
TRAINING: Option[Any] = together(
    setting("--adapter-path", "training.adapter_path", "Folder of the adapter."),
    setting("--batch-size", "training.batch_size", "Rows an optimizer step sees."),
    setting("--micro-batch-size", "training.micro_batch_size", "Rows of a step that pass the model at a time [all]."),
    setting("--iters", "training.iters", "Optimizer steps."),
    setting("--lr", "training.lr", "Learning rate, at its highest.", "--learning-rate"),
    setting("--lr-schedule", "training.lr_schedule", "'constant', or falling: 'linear', 'cosine'."),
    setting("--warmup", "training.warmup", "Steps over which the learning rate rises [5]."),
    setting("--max-grad-norm", "training.max_grad_norm", "Norm to which gradients are scaled down; 0: never [1]."),
    switch("--grad-checkpoint", "training.grad_checkpoint", "Compute activations again: slower, less memory."),
    setting("--max-seq-length", "training.max_seq_length", "Tokens a row may have."),
    setting("--num-layers", "training.num_layers", "Last layers that get LoRA; -1: all.", "--lora-layers"),
    setting("--lora-rank", "training.lora_rank", "Rank of the LoRA matrices."),
    setting("--lora-alpha", "training.lora_alpha", "Scale of the update is alpha / rank."),
    switch("--use-rslora", "training.use_rslora", "Scale of the update is alpha / sqrt(rank)."),
    setting("--fine-tune-type", "training.fine_tune_type", "'lora' or 'dora'."),
    setting("--lora-dropout", "training.lora_dropout", "Dropout before the LoRA matrices, 0 to 1."),
    setting("--scu-law", "training.scu_law", "'decoupled' (ours, default) or 'published' (to the letter)."),
    setting("--scu-reference", "training.scu_reference", "S counts from 'initial' weights or 'zero' (published law)."),
    switch("--auto-stop", "training.auto_stop", "Stop once the controller has settled and validation is flat."),
    setting("--target-s", "training.target_s", "Share S* of the update's cost that SCU holds, 0 to 1."),
    setting("--kp", "training.kp", "Proportional gain of the controller."),
    setting("--ki", "training.ki", "Integral gain of the controller."),
    setting("--lambda-init", "training.lambda_init", "Strength of the pull at the start; 0: plain LoRA."),
    setting("--prior-sigma", "training.prior_sigma", "Standard deviation of the prior on a LoRA weight."),
    setting("--tokens-per-epoch", "training.tokens_per_epoch", "N of the SCU formulas; default: counted."),
    setting("--scu-update-freq", "training.scu_update_freq", "Optimizer steps between updates of lambda."),
    setting(
        "--keep", "training.keep", "'best' (default: of the best validation) or 'last' weights become the adapter."
    ),
    setting(
        "--validate-every", "training.validate_every", "Steps between validations [as checkpoints].", "--steps-per-eval"
    ),
    setting("--checkpoint-every", "training.checkpoint_every", "Optimizer steps between checkpoints.", "--save-every"),
    setting("--patience", "training.patience", "Stop after so many validations without improvement [0: never]."),
    setting("--sample-every", "training.sample_every", "Optimizer steps between sample answers [100; 0: none]."),
    setting("--memory-limit", "training.memory_limit", "Memory of the trainer: GiB (12) or a share (75%)."),
    setting("--processes", "training.processes", "Processes on each host that share the rows of a step [1]."),
    setting("--hosts", "training.hosts", "Addresses of machines that train together, this one first: A,B."),
    setting("--hostfile", "training.hostfile", "A host file of mlx.launch, in place of --hosts and --processes."),
    setting("--backend", "training.backend", "How they talk: ring, mpi, jaccl, jaccl-ring or nccl [ring; CUDA: nccl]."),
    switch("--allow-shorter", "training.allow_shorter", "Cut rows shorter if one at a time does not fit in memory."),
    setting("--report-every", "training.report_every", "Optimizer steps between Step lines.", "--steps-per-report"),
    setting("--track", "training.track", "Metrics go to 'tensorboard', 'trackio' or 'wandb', too."),
)
TEMPLATE: Option[Any] = setting(
    "--template", "conversion.template", "'student' (the student's own chat template) or 'chatml'."
)
RUN_ALL: Option[Any] = together(
    setting("--teacher", "generation.teacher", "kimi-cli, kimi-code, kimi-legacy, openai or local."),
    setting("--student", "training.model", "Hub name, local folder or 'bundled'."),
    setting("--output", "generation.output", "The sample file."),
    PROMPTS,
    TEACHER,
    TEMPLATE,
    TRAINING,
)
"""The settings of a whole run."""
