"""What every child process of ours shares: its run, its reports to the core, how it stops and how it fails.

A worker is started as ``python -m <module> <job file>``. It prints log lines for people on standard output and
standard error, and appends typed events to its report file, which the core follows.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from hegelion_core import events, workspace
from hegelion_core.discreet_streams import keep_credentials_from
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.redaction import Redactor
from hegelion_core.settings import Settings


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told: the content of its job file."""

    root: str
    demo: bool
    run: str
    """Folder of the run."""
    reports: str
    """File to which the worker appends its events."""
    settings: dict[str, object]
    """The settings tree, as JSON."""
    arguments: dict[str, str] = {}


class Worker:
    """A child process's view of its run."""

    def __init__(self, job: Job) -> None:
        self.settings = Settings.model_validate(job.settings)
        self.workspace = workspace.Workspace(Path(job.root), job.demo)
        self.run = workspace.RunFolder(Path(job.run))
        self.arguments = job.arguments
        self.stop_requested = threading.Event()
        """Set by SIGTERM or SIGINT: save what is worth saving and return."""
        self._reports = Path(job.reports)
        self._quiet = False

    def be_quiet(self) -> None:
        """Say and report nothing but failures: another process does the same work and tells of it."""
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
        self._quiet = True

    def report(self, event: events.Event) -> None:
        """Tell the core what happened; durable when this returns."""
        if self._quiet and not isinstance(event, events.WorkerFailed | events.MemoryExhausted):
            return
        workspace.append(self._reports, events.encode(event))

    def report_download(self, what: str, done: int, total: int | None) -> None:
        """Tell the core how far a download is, in bytes; for ``models.loading.locate``."""
        self.report(events.DownloadProgressed(what=what, done=done, total=total))


def main(work: Callable[[Worker], None]) -> None:
    """Run a worker's ``work`` and exit.

    Exit codes: 0 done, 130 stopped on request, a ``UserError``'s own code, 1 for anything unforeseen.
    """
    keep_credentials_from("stdout", "stderr")
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    worker = Worker(job)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop_requested.set())
    try:
        work(worker)
    except UserError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201 - a worker's log
        redact = Redactor(os.environ)
        told = events.WorkerFailed(message=redact(error.message), hint=redact(error.hint), exit_code=error.exit_code)
        with contextlib.suppress(OSError):  # where the disk is full, the log and the exit code must do
            worker.report(told)
        sys.exit(error.exit_code)
    sys.exit(ExitCode.INTERRUPTED if worker.stop_requested.is_set() else ExitCode.DONE)
