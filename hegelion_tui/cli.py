"""``hegelion-console``: mounts the commands; without one, opens the console.

What is heavy is imported only by the command that needs it: ``--help``, ``--version``, ``--status`` and ``--run-all``
load neither textual nor mlx nor datasets.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from hegelion_core import __version__
from hegelion_core.commands import entry
from hegelion_core.commands.options import (
    CONTEXT,
    DEMO,
    DRY_RUN,
    JSON,
    NEW,
    RUN_ALL,
    SET,
    WORKSPACE,
    flags_of,
)
from hegelion_core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from hegelion_core.workspace import Workspace

COMMANDS = {
    "generate": ("hegelion_core.commands.stage", "Ask the teacher until the file holds enough samples."),
    "quality": ("hegelion_core.commands.quality", "Report on a whole sample file: duplicates, lengths, reasons."),
    "convert": ("hegelion_core.commands.convert", "Turn samples into training rows."),
    "dataset": ("hegelion_core.commands.dataset", "Turn agent logs or samples into data sets that trainers read."),
    "train": ("hegelion_core.commands.stage", "Fine-tune the student with LoRA under SCU."),
    "checkpoint": ("hegelion_core.commands.checkpoint", "Have the training that runs save a checkpoint now."),
    "evaluate": ("hegelion_core.commands.evaluate", "Compare the adapter with the base model."),
    "stop": ("hegelion_core.commands.stop", "Stop what runs, cleanly, from any terminal."),
    "runs": ("hegelion_core.commands.runs", "List, show, compare and remove runs."),
    "ask": ("hegelion_core.commands.ask", "Argue one question through: thesis, critics, synthesis, judge."),
    "report": ("hegelion_core.commands.report", "Write a run as one HTML page with pictures."),
    "doctor": (
        "hegelion_core.commands.doctor",
        "Checklist and troubles, and how to mend them; --fix mends what is safe.",
    ),
    "export": ("hegelion_core.commands.export", "Write the adapter for PEFT, as one model, or as GGUF."),
}
"""Name to module and one line of help; a module is imported when its command is used."""


class Door(click.Group):
    """The top command: its sub-commands are loaded when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if ctx.resilient_parsing:  # a shell that completes is told nothing, and no error
                return None
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            raise click.UsageError(f"No such command {cmd_name}." + (f" Did you mean {near[0]}?" if near else ""), ctx)
        module, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and lines from the table: a shell that completes a command's name imports none of them."""
        named = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Door, invoke_without_command=True, context_settings=CONTEXT)
@click.option("--run-all", is_flag=True, help="Every stage without the console, from prompts to an evaluated adapter.")
@click.option("--status", is_flag=True, help="Say where the newest run stands, from its files alone.")
@click.option("--watch", is_flag=True, help="With --status: again every 2 seconds, until q or Ctrl+C.")
@WORKSPACE
@DEMO
@RUN_ALL
@SET
@NEW
@JSON
@DRY_RUN
@click.option("--model", hidden=True)
@click.version_option(__version__, prog_name="hegelion-console")
@click.pass_context
def door(
    context: click.Context,
    /,
    *,
    run_all: bool,
    status: bool,
    watch: bool,
    workspace: Path,
    demo: bool,
    new: bool,
    as_json: bool,
    dry_run: bool,
    model: str | None,
    **values: object,
) -> None:
    """Turn prompts into a small model that reasons dialectically.

    Without a command this opens the console. Results live below artifacts/ in the workspace.

    \b
    Examples:
      hegelion-console --run-all --demo       the whole job in minutes, with small real models
      hegelion-console --run-all              Kimi teaches DeepSeek-R1-Distill-Qwen-1.5B, 500 samples
      hegelion-console                        the console
      hegelion-console --status --watch       where the run stands, from any terminal
    """
    if context.invoked_subcommand is not None:
        return
    if model is not None:
        raise UserError("--model is ambiguous here.", "Use --teacher or --student.", ExitCode.USAGE)
    flags = flags_of(values)
    if status or watch:
        from hegelion_core.commands.status import status as show_status

        context.exit(show_status(workspace, demo=demo, as_json=as_json, watch=watch))
    if run_all or dry_run:
        from hegelion_core.commands.run_all import run_all as run

        context.exit(run(workspace, flags, demo=demo, new=new, as_json=as_json, dry_run=dry_run))
    context.exit(_open_console(workspace, flags, demo=demo))


def _open_console(workspace: Path, flags: dict[str, object], *, demo: bool) -> int:
    served = "TEXTUAL_DRIVER" in os.environ  # by textual-serve, which shows it in a browser
    if not served and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(
            "The console needs a terminal, and this is none.",
            "Use 'hegelion-console --run-all' where there is no terminal.",
            ExitCode.USAGE,
        )
    import asyncio

    from hegelion_core.workspace import Workspace

    root = workspace.resolve()
    arguments = ["--workspace", str(root), *(["--demo"] if demo else [])]
    arguments += [part for name, value in flags.items() for part in ("--set", f"{name}={value}")]
    return asyncio.run(_show_console(Workspace(root, demo), arguments, flags))


async def _show_console(place: Workspace, arguments: list[str], flags: dict[str, object]) -> int:
    """Connect to the core, or start one, while textual is being imported: both take a good part of a second."""
    import asyncio

    from hegelion_core.client import Client, connect_or_start

    async def resume(folder: str) -> Client:
        return await connect_or_start(place, [*arguments, *(["--resume", folder] if folder else [])])

    connecting = asyncio.create_task(resume(""))
    importing = asyncio.to_thread(importlib.import_module, "hegelion_tui.app")
    client, app = await asyncio.gather(connecting, importing)
    code: int = await app.run_console(client, flags, resume)
    return code


def main() -> None:
    """The entry point."""
    if "_HEGELION_CONSOLE_COMPLETE" in os.environ:
        from hegelion_core.commands.completing import register

        register()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], command: click.Command = door) -> int:
    """Run a command line; returns its exit code."""
    return entry.run(arguments, command)
