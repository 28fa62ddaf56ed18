"""Every command's help has an example, and every example is a command line that the command takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hegelion_tui.cli import COMMANDS, door


def walk(
    command: click.Command, path: tuple[str, ...], above: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """The name and the help of a command and of all below it."""
    context = click.Context(command, above, info_name=path[-1])
    yield " ".join(path), command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*path, name), context)


HELP = dict(walk(door, ("hegelion-console",)))


def examples(text: str) -> list[str]:
    """The command lines below 'Example', without what is said about them."""
    _, _, rest = re.sub(r"\\\n\s+", "", text).partition("\n  Example")
    lines = [line.strip() for line in rest.split("\n\n")[0].splitlines()[1:]]
    return [re.split(r"\s{2,}| [<>] ", line)[0] for line in lines]


def parse(command: click.Command, arguments: list[str]) -> None:
    """Read a command line as click would; nothing is done."""
    context = command.make_context("x", list(arguments))
    rest = [*context._protected_args, *context.args]
    if isinstance(command, click.Group) and rest:
        _, below, further = command.resolve_command(context, rest)
        assert below is not None
        parse(below, further)


def test_all_commands_are_walked() -> None:
    assert {f"hegelion-console {name}" for name in COMMANDS} | {"hegelion-console runs list"} <= set(HELP)


@pytest.mark.parametrize("name", HELP)
def test_there_are_examples_that_can_be_typed(name: str) -> None:
    found = examples(HELP[name])
    assert found, HELP[name]
    assert all(example.startswith(name) for example in found)
    for example in found:
        first, *arguments = shlex.split(example)
        assert first == "hegelion-console"
        parse(door, arguments or ["--demo"])


def documented() -> list[str]:
    """Command lines of the README and the pages in docs/, but those with something left out."""
    root = Path(__file__).parent.parent.parent.parent
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    text = "\n".join(page.read_text("utf-8") for page in pages).replace("\\\n", "")
    lines = [re.split(r"\s{2,}| [<>] ", line)[0] for line in re.findall(r"(?m)^(?: {4})?(hegelion-console\b.*)$", text)]
    return [line for line in dict.fromkeys(lines) if not re.search(r"\.\.\.|…|\[|\|", line)]


def test_every_command_line_of_the_pages_can_be_typed() -> None:
    lines = documented()
    assert len(lines) > 40
    for line in lines:
        parse(door, shlex.split(line, comments=True)[1:] or ["--demo"])
