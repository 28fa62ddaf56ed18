"""How a command line ends: an exit code, and one or two lines on standard error for what a user can mend."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence

import click

from hegelion_core.commands import streams
from hegelion_core.commands.text import printable
from hegelion_core.errors import ExitCode, UserError, explain


def run(arguments: Sequence[str], command: click.Command, name: str = "hegelion-console") -> int:
    """Run a command line of the program called ``name``; returns its exit code."""
    streams.prepare()
    try:
        result: object = command.main(list(arguments), prog_name=name, standalone_mode=False)
    except UserError as error:
        _tell(str(error))
        return error.exit_code
    except OSError as error:
        _tell(str(explain(error)))
        return ExitCode.FAILED
    except click.ClickException as error:
        _tell(_in_words(error, _called(arguments, command, name)))
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return result if isinstance(result, int) else ExitCode.DONE


def _tell(text: str) -> None:
    streams.write(sys.stderr, f"error: {printable(text)}\n")


def _called(arguments: Sequence[str], command: click.Command, name: str) -> str:
    """The command as it was called: errors of click's parser do not say which it is."""
    is_sub = isinstance(command, click.Group) and bool(arguments) and not arguments[0].startswith("-")
    return f"{name} {arguments[0]}" if is_sub else name


def _in_words(error: click.ClickException, name: str) -> str:
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else name
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        near = difflib.get_close_matches(error.option_name, error.possibilities or [], n=1)
        message = f"{path}: no such option {error.option_name}." + (f" Did you mean {near[0]}?" if near else "")
    return f"{message}\nSee '{path} --help'."
