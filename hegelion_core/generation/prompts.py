"""A run's prompts: ``prompts.jsonl``, in the order in which they are asked."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hegelion_core.errors import UserError
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import make_folder, replace


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt to ask. ``row`` is where its source has it, see ``prompt_files.SourcePrompt``."""

    id: str
    text: str
    source: str = ""
    row: int = 0
    arguable: bool | None = None
    """Whether it can be argued; ``None``: nobody asked."""


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a run.

    Raises:
        OSError: the file cannot be read.
        UserError: a line is no prompt; it is written atomically, so someone changed it.
    """
    decoder = msgspec.json.Decoder(Prompt)
    try:
        with open_regular(path) as file:
            return [decoder.decode(line) for line in file]
    except UNREADABLE as error:
        hint = "Start the run afresh with --new: what was accepted is moved into its folder."
        raise UserError(f"{path}: a line is no prompt ({error}).", hint) from None


def write_prompts(path: Path, prompts: list[Prompt]) -> None:
    """Write the prompts of a run, atomically."""
    make_folder(path.parent)
    replace(path, msgspec.json.Encoder().encode_lines(prompts))
