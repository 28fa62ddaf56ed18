"""Rows of the samples screen into a file that a person names; nothing is overwritten unasked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from textual.screen import Screen

from hegelion_core.generation.catalogue import Catalogue, View
from hegelion_core.generation.decisions import decisions_path
from hegelion_core.workspace import Workspace
from hegelion_tui.screens.line_question import LineQuestion
from hegelion_tui.screens.question import Answer, Question


async def export_samples(
    screen: Screen[None], place: Workspace, catalogue: Catalogue, view: View, rows: Sequence[int], what: str
) -> None:
    """Ask for the file and write it; runs in a worker of ``screen``, which tells how it went.

    Args:
        screen: asks and tells.
        place: relative names are below it.
        catalogue: the samples.
        view: the shelf that the rows are of.
        rows: the rows.
        what: says which they are.
    """
    samples = catalogue.store.path
    proposed = samples.with_name(f"{samples.stem}.{'selection' if view == 'samples' else 'attempts'}.jsonl")
    shown = proposed.relative_to(place.root) if proposed.is_relative_to(place.root) else proposed
    question = LineQuestion("Export", f"{what}, as JSONL into this file:", str(shown), enter="writes")
    line = await screen.app.push_screen_wait(question)
    if not line:
        return
    target = _target(place, line)
    if why := _refusal(target, catalogue):
        screen.notify(why, title="Nothing was exported.", severity="warning", markup=False)
        return
    if _exists(target):
        replaces = Question("Replace the file?", f"{target} is there already.", [Answer("replace", "r", "Replace it")])
        if await screen.app.push_screen_wait(replaces) != "replace":
            return
    try:
        count = await asyncio.to_thread(catalogue.export, view, rows, target)
    except (OSError, IndexError) as error:
        said = error.strerror if isinstance(error, OSError) else "the samples were replaced meanwhile"
        screen.notify(f"{target}: {said}.", title="Nothing was exported.", severity="error", markup=False)
    else:
        screen.notify(str(target), title=f"{count:,} rows exported.", markup=False)


def _target(place: Workspace, line: str) -> Path:
    try:
        return place.resolve(Path(line).expanduser())
    except RuntimeError:  # ~name of nobody
        return place.resolve(Path(line))


def _exists(path: Path) -> bool:
    return path.exists()


def _refusal(target: Path, catalogue: Catalogue) -> str:
    """Why nothing may be written there; empty if it may."""
    ours = {*(shelf.path for shelf in catalogue.shelves.values()), decisions_path(catalogue.store.path)}
    try:
        if target.is_dir():
            return f"{target} is a folder."
        if not target.parent.is_dir():
            return f"There is no folder {target.parent}."
        if target.exists() and not target.is_file():
            return f"{target} is no regular file."
        if target.exists() and any(path.exists() and path.samefile(target) for path in ours):
            return f"{target.name} is a file of the samples themselves."
    except (OSError, ValueError) as error:
        return f"{target}: {error}."
    return ""
