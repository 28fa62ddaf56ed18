"""The child process that converts: ``python -m hegelion_core.conversion.worker <job file>``.

Input and output are those of the settings, unless the job's arguments name ``input`` and ``output``.
"""

from __future__ import annotations

from pathlib import Path

from hegelion_core.conversion import origin
from hegelion_core.conversion.chat_template import load_tokenizer
from hegelion_core.conversion.convert import ConversionStoppedError, Hooks, convert_file
from hegelion_core.conversion.lengths import too_long
from hegelion_core.conversion.rendering import chatml, student_format
from hegelion_core.conversion.rows import counts
from hegelion_core.events import NoticePosted, RowsConverted
from hegelion_core.models.loading import locate_tokenizer
from hegelion_core.worker import Worker, main


def work(worker: Worker) -> None:
    """Convert, and report ``RowsConverted``."""
    settings = worker.settings
    source = worker.workspace.resolve(Path(worker.arguments.get("input", settings.generation.output)))
    target = worker.workspace.resolve(Path(worker.arguments.get("output", settings.conversion.output)))
    if settings.conversion.template == "chatml":
        tokenizer, format_ = None, chatml()
    else:
        tokenizer = load_tokenizer(folder := locate_tokenizer(settings.training.model, worker.workspace.models))
        format_ = student_format(tokenizer, folder.name)
    _log(f"Converting {source} for {settings.training.model}: {format_.name} form.")
    made_of = origin.key_of(source, settings) if source.is_file() else ""
    try:
        tally = convert_file(source, target, format_, Hooks(log=_log, stop=worker.stop_requested.is_set))
    except ConversionStoppedError:
        return
    origin.note(target, made_of, tally)
    _log(f"{tally.rows} rows in {target}." + (f" Skipped: {counts(tally.skipped)}." if tally.skipped else ""))
    if tokenizer and (said := too_long(target, tokenizer, settings.training.max_seq_length).words()):
        _log(said)
        worker.report(NoticePosted(text=said, level="warning"))
    worker.report(
        RowsConverted(
            rows=tally.rows, skipped=dict(tally.skipped), path=str(target), template=settings.conversion.template
        )
    )


def _log(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a worker's log


if __name__ == "__main__":
    main(work)
