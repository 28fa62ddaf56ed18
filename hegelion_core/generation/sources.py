"""The prompts of a run: from their source to ``prompts.jsonl``, distinct and in the order in which they are asked.

Prompt files and the bundled prompts are read by the core itself (``is_light``); a data set wants a heavy library, so it
is read by a child process, ``python -m hegelion_core.generation.sources <job file>``.
"""

from __future__ import annotations

import hashlib
import signal
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hegelion_core.dialectic import arguable
from hegelion_core.dialectic.identity import normalise, prompt_id
from hegelion_core.dialectic.parsing import clean
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.events import PromptsPrepared
from hegelion_core.generation.data_sets import open_data_set
from hegelion_core.generation.prompt_files import SourcePrompt, read_prompt_file
from hegelion_core.generation.prompts import Prompt, write_prompts
from hegelion_core.generation.store import SampleStore
from hegelion_core.settings import BUNDLED, DEFAULT_LIMIT, EvaluationSettings, GenerationSettings, Settings
from hegelion_core.worker import Worker, main
from hegelion_core.workspace import PACKAGE, RunFolder, Workspace

BUNDLED_PROMPTS = PACKAGE / "generation" / "bundled_prompts.jsonl"
BUNDLED_EVALUATION = PACKAGE / "evaluation" / "bundled_prompts.jsonl"


@dataclass(frozen=True)
class Selection:
    """The prompts that are asked, in order, and how many were left out for which reason."""

    prompts: list[Prompt]
    left_out: Counter[str] = field(default_factory=Counter)


def select(
    found: Iterable[SourcePrompt], *, seed: int, max_chars: int, held_out: frozenset[str], prefer_arguable: bool = False
) -> Selection:
    """Distinct usable prompts in the order that the seed gives; the order in which they are found plays no part.

    Args:
        found: the source's prompts; of equal ones the first is kept.
        seed: each prompt's place follows from it and the prompt alone.
        max_chars: longer ones are left out.
        held_out: ids of the prompts kept for evaluation.
        prefer_arguable: those that can be argued come before all others.
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
            can_be = arguable.judge(text).arguable if prefer_arguable else None
            kept[name] = Prompt(id=name, text=text, source=prompt.source, row=prompt.row, arguable=can_be)

    def place(prompt: Prompt) -> tuple[bool, bytes]:
        return prompt.arguable is False, hashlib.sha256(f"{seed}:{prompt.id}".encode()).digest()

    return Selection(sorted(kept.values(), key=place), left_out)


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


def held_out_ids(settings: EvaluationSettings, workspace: Workspace) -> frozenset[str]:
    """Ids of the prompts that are never generated from.

    Raises:
        UserError: they cannot be read.
    """
    return frozenset(prompt_id(prompt.text) for prompt in evaluation_prompts(settings, workspace))


def is_light(settings: GenerationSettings) -> bool:
    """Whether the source can be read without a data set library."""
    return settings.prompt_file is not None or settings.dataset == BUNDLED


def check_source(settings: GenerationSettings, workspace: Workspace, held_out: frozenset[str]) -> str:
    """Whether the source serves, without fetching a data set: files are read whole, of data sets the first row.

    Returns:
        What was found, in a few words.

    Raises:
        UserError: it does not.
    """
    name, found = open_source(settings, workspace)
    if not is_light(settings):
        return name
    selection = select(found, seed=settings.seed, max_chars=settings.max_prompt_chars, held_out=held_out)
    _wanted(selection, settings, SampleStore(workspace.resolve(settings.output)).done, name)
    return f"{name}, {len(selection.prompts)} prompts"


def prepare(settings: Settings, workspace: Workspace, run: RunFolder, done: Collection[str]) -> PromptsPrepared:
    """Read the source and write the run's prompts. ``done`` are the ids of prompts that have a sample already.

    Raises:
        UserError: the source cannot be read, or does not hold enough.
    """
    generation = settings.generation
    held_out = held_out_ids(settings.evaluation, workspace)
    name, found = open_source(generation, workspace)
    selection = select(
        found,
        seed=generation.seed,
        max_chars=generation.max_prompt_chars,
        held_out=held_out,
        prefer_arguable=generation.prefer == "arguable",
    )
    target = _wanted(selection, generation, done, name)
    _write(run.prompts, selection.prompts)
    return PromptsPrepared(
        count=len(selection.prompts),
        source=name,
        target=target,
        arguable=sum(p.arguable is True for p in selection.prompts) if generation.prefer == "arguable" else None,
        left_out=dict(selection.left_out),
    )


def _wanted(selection: Selection, settings: GenerationSettings, done: Collection[str], name: str) -> int:
    """How many accepted samples are wanted in the file, in all; of a prompt file without a limit, all.

    Raises:
        UserError: the prompts do not suffice, even if each gives a sample.
    """
    most = len({prompt.id for prompt in selection.prompts}.union(done))
    limit = settings.limit if settings.limit is not None else most if settings.prompt_file else DEFAULT_LIMIT
    if selection.prompts and most >= limit:
        return limit
    why = f" ({_counts(selection.left_out)} left out)" if selection.left_out else ""
    if not selection.prompts:
        raise UserError(f"{name}: holds no usable prompt{why}.", "Give a source with prompts.", ExitCode.USAGE)
    raise UserError(
        f"{name}: has {len(selection.prompts)} usable prompts{why}, but {limit} samples are wanted"
        + (f" and {len(done)} are there." if done else "."),
        f"Ask for at most {most} (--limit {most}), or give more prompts.",
        ExitCode.USAGE,
    )


def _counts(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in left_out.most_common())


def work(worker: Worker) -> None:
    """Prepare the prompts and report ``PromptsPrepared``."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is nothing to save, and a network may be slow to let go
    done = SampleStore(worker.workspace.resolve(worker.settings.generation.output)).done
    generation = worker.settings.generation
    _log(f"Reading the prompts of {generation.prompt_file or generation.dataset}.")
    prepared = prepare(worker.settings, worker.workspace, worker.run, done)
    _log(f"{prepared.count} prompts from {prepared.source}. Left out: {_counts(Counter(prepared.left_out)) or 'none'}.")
    worker.report(prepared)


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
