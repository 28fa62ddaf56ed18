"""The rejected answers of the data set from which the prompts come."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from hegelion_core.data_sets.argued import last_answer
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import clean
from hegelion_core.generation.data_sets import open_data_set

COLUMN = "rejected"


def rejected_answers(
    dataset: str, split: str, revision: str | None, folder: Path, wanted: Collection[int], log: Callable[[str], None]
) -> dict[int, str]:
    """The rejected answer to each of some prompts, by the number of its id; streamed, only those wanted are kept.

    Args:
        dataset: hub name, or local folder or file, with prompts and a column ``rejected``: texts or conversations.
        split: of it.
        revision: of it, on the hub.
        folder: the workspace.
        wanted: numbers of the prompts' ids.
        log: takes a line for people.

    Raises:
        UserError: it cannot be read, or has no such column.
    """
    opened = open_data_set(dataset, split, revision, folder, (COLUMN,))
    log(f"Reading the rejected answers of {opened.name}.")
    found: dict[int, str] = {}
    for prompt, told in opened.texts(COLUMN):
        number = int(prompt_id(clean(prompt).strip())[2:], 16)
        if number in wanted and number not in found and (text := clean(last_answer(told)).strip()):
            found[number] = text
    log(f"It has one for {len(found)} of {len(wanted)} prompts.")
    return found
