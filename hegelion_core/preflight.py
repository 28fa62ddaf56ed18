"""The child process that checks and fetches what later stages need: ``python -m hegelion_core.preflight <job file>``.

Each check is reported as ``CheckPassed`` or ``CheckFailed``; a failure never hides the others. What was fetched once
is found again at once, so checking again is cheap. The worker itself fails only if it breaks.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from hegelion_core.conversion.chat_template import load_tokenizer
from hegelion_core.conversion.rendering import student_format
from hegelion_core.errors import UserError
from hegelion_core.events import CheckFailed, CheckPassed
from hegelion_core.generation.sources import check_source, evaluation_prompts, held_out_ids
from hegelion_core.models.blas import prepare_mlx
from hegelion_core.models.loading import check_student, locate
from hegelion_core.settings import BUNDLED
from hegelion_core.worker import Worker, main


def work(worker: Worker) -> None:
    """Run every check; what costs nothing comes first."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is nothing to save, and a network may be slow to let go
    _log(prepare_mlx())
    settings, place = worker.settings, worker.workspace
    _run(worker, "evaluation prompts", lambda: f"{len(evaluation_prompts(settings.evaluation, place))} prompts")
    generation = settings.generation
    _log(f"Reading {generation.prompt_file or generation.dataset}.")  # the last word, if that kills this process
    _run(worker, "prompts", lambda: _source(worker))
    if _run(worker, "student", lambda: _student(worker)):
        _run(worker, "chat template", lambda: _template(worker))
    if settings.generation.teacher == "local":
        _run(worker, "local teacher's model", lambda: _fetch(worker, settings.teacher.model or BUNDLED).name)


def _run(worker: Worker, name: str, check: Callable[[], str]) -> bool:
    try:
        detail = check()
    except UserError as error:
        _log(f"{name}: {error}")
        worker.report(CheckFailed(name=name, detail=error.message, fix=error.hint))
        return False
    _log(f"{name}: {detail}")
    worker.report(CheckPassed(name=name, detail=detail))
    return True


def _source(worker: Worker) -> str:
    if worker.run.prompts.exists():
        return "prepared"
    settings, place = worker.settings, worker.workspace
    return check_source(settings.generation, place, held_out_ids(settings.evaluation, place))


def _fetch(worker: Worker, model: str) -> Path:
    return locate(model, worker.workspace.models, worker.report_download)


def _student(worker: Worker) -> str:
    folder = _fetch(worker, worker.settings.training.model)
    return f"{folder.name}; LoRA adapts {len(check_student(folder))} linear modules of each layer"


def _template(worker: Worker) -> str:
    folder = _fetch(worker, worker.settings.training.model)
    tokenizer = load_tokenizer(folder)
    if worker.settings.conversion.template == "chatml":
        return "ChatML, as asked"
    return f"{student_format(tokenizer, folder.name).name} form"


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a worker's log


if __name__ == "__main__":
    main(work)
