"""``hegelion-console quality``: what a sample file holds, and a data set card written from it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hegelion_core.commands.options import CONTEXT, DEMO, SET, WORKSPACE, flags_of, setting
from hegelion_core.commands.streams import write, write_result
from hegelion_core.commands.text import printable
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.regular import open_regular, refuse_to_replace

if TYPE_CHECKING:
    from hegelion_core.generation.quality import Progress
    from hegelion_core.generation.quality_report import QualityReport

_STYLES = {"title": "bold", "figure": "", "finding": "yellow", "detail": "dim"}
_WORTH_PROGRESS = 4 << 20
"""Bytes of a sample file from which on reading it takes long enough to show how far it is."""


@click.command(context_settings=CONTEXT)
@click.argument("samples", required=False, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON on standard output.")
@click.option("--card", "card_path", type=click.Path(path_type=Path), help="Write a data set card (README.md) there.")
@click.option("--license", "license_", metavar="NAME", help="Licence that the card states; without one it states none.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Language for the card; may be repeated.")
@click.option("--force", is_flag=True, help="Let the card replace a file that is no card of ours.")
@setting("--held-out", "evaluation.prompts", "Prompts that no sample should have; default: those of the evaluation.")
@click.option(
    "--threshold",
    type=click.FloatRange(0.3, 1.0),
    default=0.8,
    show_default=True,
    help="Jaccard of word runs from which two texts are near duplicates.",
)
@click.option("--strict", is_flag=True, help="Exit 1 on duplicates, held-out prompts or unusable lines.")
@WORKSPACE
@DEMO
@SET
@click.pass_context
def quality(
    context: click.Context,
    /,
    samples: str | None,
    *,
    as_json: bool,
    card_path: Path | None,
    license_: str | None,
    languages: tuple[str, ...],
    force: bool,
    threshold: float,
    strict: bool,
    workspace: Path,
    demo: bool,
    **values: object,
) -> None:
    """Report on the quality of a whole sample file: duplicates, leaks, lengths, where it comes from.

    SAMPLES is the sample file; default: the one that 'generate' writes.

    \b
    Examples:
      hegelion-console quality
      hegelion-console quality --strict --json > quality.json
      hegelion-console quality --card artifacts/data/README.md --license cc-by-4.0 --language en
    """
    from hegelion_core.generation.quality import assess
    from hegelion_core.generation.sources import evaluation_prompts
    from hegelion_core.settings import resolve
    from hegelion_core.workspace import Workspace

    root = workspace.resolve()
    place = Workspace(root, demo)
    flags = flags_of({**values, "generation__output": samples})
    settings = resolve(root, flags, demo=demo).settings
    path = place.resolve(settings.generation.output)
    held_out = [prompt.text for prompt in evaluation_prompts(settings.evaluation, place)]
    if card_path is not None:
        _refuse_card(card_path, path, force=force)
    with _progress(path) as progress:
        report = assess(path, path.with_suffix(".rejected.jsonl"), held_out, threshold, progress)
    if card_path is not None:
        _write_card(card_path, path, report, license_, languages)
    _print(report, path, as_json=as_json)
    if card_path is not None:
        write(sys.stderr, f"Card written: {printable(str(card_path))}\n")
    context.exit(ExitCode.FAILED if strict and report.faults else ExitCode.DONE)


def _print(report: QualityReport, path: Path, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        write_result(msgspec.json.encode(report).decode() + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    from hegelion_core.commands.quality_words import lines
    from hegelion_core.commands.words import nearby

    console = Console(highlight=False, soft_wrap=True)
    for line in lines(report, nearby(str(path))):
        console.print(Text(line.text, _STYLES[line.kind]))


@contextlib.contextmanager
def _progress(path: Path) -> Iterator[Progress]:
    """Shows how far a large file is read, on standard error if that is a terminal."""
    large = path.is_file() and path.stat().st_size >= _WORTH_PROGRESS
    if not (large and sys.stderr.isatty()):
        yield lambda what, share: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading samples", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _refuse_card(target: Path, samples: Path, *, force: bool) -> None:
    """Raise if the card may not be written there; asked before the long work.

    Raises:
        UserError: it is the sample file, a folder, in no folder, or a file that is no card of ours (without ``force``).
    """
    from hegelion_core.generation.card import MARK

    hint = "Give another file, such as README.md beside the samples."
    if target.is_dir():
        raise UserError(f"{target}: is a folder.", "Name the card's file, such as README.md in it.", ExitCode.USAGE)
    if not target.parent.is_dir():
        raise UserError(
            f"{target.parent}: there is no such folder.", "Make it first, or " + hint.lower(), ExitCode.USAGE
        )
    refuse_to_replace(target)
    if not target.exists():
        return
    if samples.exists() and target.samefile(samples):
        raise UserError(f"{target}: is the sample file itself.", hint, ExitCode.USAGE)
    with open_regular(target) as file:
        ours = MARK.encode() in file.read(1 << 16)
    if not (ours or force):
        raise UserError(
            f"{target}: is no card of ours, so it is not replaced.", f"{hint[:-1]}, or say --force.", ExitCode.USAGE
        )


def _write_card(
    target: Path, samples: Path, report: QualityReport, license_: str | None, languages: tuple[str, ...]
) -> None:
    from hegelion_core.generation.card import card
    from hegelion_core.workspace import replace

    if not report.accepted:
        raise UserError(f"{samples}: holds no usable sample, so there is nothing for a card to describe.")
    beside = Path(os.path.relpath(samples.resolve(), target.parent.resolve()))
    data_file = samples.name if ".." in beside.parts else beside.as_posix()
    replace(target, card(report, data_file=data_file, license=license_, languages=languages).encode())
