"""The child process that prepares the prompts: ``python -m hegelion_core.generation.sources <job file>``.

It writes ``prompts.jsonl`` of the run: distinct prompts in the order in which they are asked. With the argument
``check`` it only opens the source and reads what proves that it serves.
"""

from __future__ import annotations

import hashlib
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hegelion_core.dialectic.identity import normalise, prompt_id
from hegelion_core.dialectic.parsing import clean
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.events import PromptsPrepared
from hegelion_core.generation.data_sets import open_data_set
from hegelion_core.generation.prompt_files import SourcePrompt, read_prompt_file
from hegelion_core.generation.prompts import Prompt, write_prompts
from hegelion_core.settings import BUNDLED, EvaluationSettings, GenerationSettings
from hegelion_core.worker import Worker, main
from hegelion_core.workspace import PACKAGE, Workspace

BUNDLED_PROMPTS = PACKAGE / "generation" / "bundled_prompts.jsonl"
BUNDLED_EVALUATION = PACKAGE / "evaluation" / "bundled_prompts.jsonl"


@dataclass(frozen=True)
class Selection:
    """The prompts that are asked, in order, and how many were left out for which reason."""

    prompts: list[Prompt]
    left_out: Counter[str] = field(default_factory=Counter)


def select(found: Iterable[SourcePrompt], *, seed: int, max_chars: int, held_out: frozenset[str]) -> Selection:
    """Distinct usable prompts in the order that the seed gives; the order in which they are found plays no part.

    Args:
        found: the source's prompts; of equal ones the first is kept.
        seed: each prompt's place follows from it and the prompt alone.
        max_chars: longer ones are left out.
        held_out: ids of the prompts kept for evaluation.
    """
    kept: dict[str, Prompt] = {}
    left_out: Counter[str] = Counter()
    for prompt in found:
        text = clean(prompt.text).strip()
        name = prompt_id(text)
        reason = _reason(name, text, max_chars, held_out) or ("duplicate" if name in kept else "")
        if reason:
            left_out[reason] += 1
        else:
            kept[name] = Prompt(id=name, text=text, source=prompt.source, row=prompt.row)
    ordered = sorted(kept.values(), key=lambda prompt: hashlib.sha256(f"{seed}:{prompt.id}".encode()).digest())
    return Selection(ordered, left_out)


def _reason(name: str, text: str, max_chars: int, held_out: frozenset[str]) -> str:
    if not normalise(text):
        return "empty"
    if len(text) > max_chars:
        return "too_long"
    return "held_out_for_evaluation" if name in held_out else ""


def open_source(settings: GenerationSettings, workspace: Workspace) -> tuple[str, Iterator[SourcePrompt]]:
    """The source that the settings name: its name for the record, and its prompts.

    Raises:
        UserError: now for a data set that cannot be opened, on reading for a file's faults.
    """
    if settings.prompt_file is not None:
        path = workspace.resolve(settings.prompt_file)
        return path.name, read_prompt_file(path)
    if settings.dataset == BUNDLED:
        return BUNDLED, (SourcePrompt(p.text, BUNDLED, p.row) for p in read_prompt_file(BUNDLED_PROMPTS))
    opened = open_data_set(settings.dataset, settings.split, settings.revision, workspace.root)
    return opened.name, opened.prompts()


def evaluation_prompts(settings: EvaluationSettings, workspace: Workspace) -> list[SourcePrompt]:
    """The prompts held out for evaluation, in their own order.

    Raises:
        UserError: the file cannot be read, or holds none.
    """
    path = BUNDLED_EVALUATION if settings.prompts is None else workspace.resolve(settings.prompts)
    prompts = [prompt for prompt in read_prompt_file(path) if prompt.text.strip()]
    if not prompts:
        raise UserError(f"{path}: holds no prompts.", "Give a file with a prompt a line.", ExitCode.USAGE)
    return prompts


def check_source(settings: GenerationSettings, workspace: Workspace, held_out: frozenset[str]) -> str:
    """Whether the source serves, without fetching a data set: files are read whole, of data sets the first row.

    Returns:
        What was found, in a few words.

    Raises:
        UserError: it does not.
    """
    name, found = open_source(settings, workspace)
    if settings.prompt_file is None and settings.dataset != BUNDLED:
        return name
    selection = select(found, seed=settings.seed, max_chars=settings.max_prompt_chars, held_out=held_out)
    _enough(selection, settings.limit, name)
    return f"{name}, {len(selection.prompts)} prompts"


def _enough(selection: Selection, limit: int, name: str) -> None:
    if (count := len(selection.prompts)) >= limit:
        return
    why = f" ({_counts(selection.left_out)} left out)" if selection.left_out else ""
    raise UserError(
        f"{name}: has {count} usable prompts{why}, but {limit} samples are wanted.",
        f"Ask for at most {count} (--limit {count}), or give more prompts." if count else "Give more prompts.",
        ExitCode.USAGE,
    )


def _counts(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())


def work(worker: Worker) -> None:
    """Prepare the prompts and report ``PromptsPrepared``; or, to check, print what was found."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is nothing to save, and a network may be slow to let go
    settings, workspace = worker.settings.generation, worker.workspace
    held_out = frozenset(prompt_id(p.text) for p in evaluation_prompts(worker.settings.evaluation, workspace))
    if worker.arguments.get("check") == "1":
        _log(check_source(settings, workspace, held_out))
        return
    name, found = open_source(settings, workspace)
    _log(f"Reading prompts from {name}.")
    selection = select(found, seed=settings.seed, max_chars=settings.max_prompt_chars, held_out=held_out)
    _log(f"{len(selection.prompts)} prompts. Left out: {_counts(selection.left_out) or 'none'}.")
    _enough(selection, settings.limit, name)
    _write(worker.run.prompts, selection.prompts)
    worker.report(PromptsPrepared(count=len(selection.prompts), source=name))


def _write(path: Path, prompts: list[Prompt]) -> None:
    try:
        write_prompts(path, prompts)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}).", "Free some disk space, or check the folder's permissions."
        ) from None


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a worker's log


if __name__ == "__main__":
    main(work)
