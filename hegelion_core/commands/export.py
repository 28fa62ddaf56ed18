"""``hegelion-console export``: a trained adapter for PEFT, as one fused model, or as GGUF."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from hegelion_core.commands.options import CONTEXT, DEMO, SET, WORKSPACE, flags_of, setting
from hegelion_core.commands.streams import write, write_result
from hegelion_core.commands.text import printable
from hegelion_core.errors import ExitCode

if TYPE_CHECKING:
    from hegelion_core.training.export.run import Exported, Form


@click.command(context_settings=CONTEXT)
@setting("--adapter-path", "training.adapter_path", "Folder of the adapter.")
@click.option("--to", type=click.Choice(["peft", "fused", "gguf"]), required=True, help="The form that is wanted.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to write [beside the adapter: ADAPTER-FORM].")
@click.option("--model", metavar="VALUE", help="The base model, if it is not where it was at the training.")
@click.option("--dequantize", is_flag=True, help="fused: write full weights though the base is quantised.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output, words on standard error.")
@WORKSPACE
@DEMO
@SET
@click.pass_context
def export(
    context: click.Context,
    /,
    to: str,
    *,
    output: Path | None,
    model: str | None,
    dequantize: bool,
    as_json: bool,
    workspace: Path,
    demo: bool,
    **values: object,
) -> None:
    """Write a trained adapter in the form that another program reads.

    peft: for transformers and PEFT. fused: base and adapter as one model folder. gguf: one file for llama.cpp, where
    mlx-lm can write it. The result folder is made whole or not at all.

    \b
    Examples:
      hegelion-console export --adapter_path artifacts/adapters/hegelion_1.5b_v1 --to peft
      hegelion-console export --adapter_path artifacts/adapters/hegelion_1.5b_v1 --to fused --output my_model
    """
    from hegelion_core.settings import resolve
    from hegelion_core.training.export.run import Request
    from hegelion_core.training.export.run import export as run
    from hegelion_core.workspace import Workspace

    words = sys.stderr if as_json else sys.stdout
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        write(words, printable(line) + "\n")

    def progress(what: str, done: int, total: int | None) -> None:
        write(words, printable(f"Downloading {what}: {done} of {total or '?'} bytes") + "\n")

    root = workspace.resolve()
    place = Workspace(root, demo)
    settings = resolve(root, flags_of(values), demo=demo).settings
    request = Request(
        place=place,
        adapter=place.resolve(settings.training.adapter_path),
        to=cast("Form", to),
        output=place.resolve(output) if output is not None else None,
        model=model,
        dequantise=dequantize,
    )
    made = run(request, say, progress)
    _print(made, said, as_json=as_json)
    context.exit(ExitCode.DONE)


def _print(made: Exported, said: list[str], *, as_json: bool) -> None:
    if as_json:
        import msgspec

        result = {"to": made.to, "folder": str(made.folder), "base": made.base, "files": made.files, "said": said}
        write_result(msgspec.json.encode(result).decode() + "\n")
        return
    from hegelion_core.commands.words import nearby

    size = sum(made.files.values())
    write_result(printable(f"Done: {nearby(str(made.folder))} ({len(made.files)} files, {size / 1e6:.1f} MB).") + "\n")
