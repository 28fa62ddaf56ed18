"""The core's side of a worker: start it, follow its reports, tell how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hegelion_core import events, workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import EventLog
from hegelion_core.redaction import CREDENTIAL_NAME
from hegelion_core.settings import BASE_URL, Settings
from hegelion_core.spool import follow
from hegelion_core.supervisor import Child, Supervisor
from hegelion_core.worker import Job
from hegelion_core.workspace import RunFolder, Workspace

STOP_GRACE = 20.0
"""Seconds that a worker has to save what it has; a trainer finishes its step and writes a checkpoint."""

_NEEDED = ("HF_", "HUGGING", "WANDB_")


def environment(environ: Mapping[str, str], key_variable: str) -> dict[str, str]:
    """``environ`` without what looks like a credential; but workers download models, and track metrics if asked.

    ``key_variable`` holds one, whatever it is called; an endpoint's address may.
    """
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(_NEEDED) or not (name in (key_variable, BASE_URL) or CREDENTIAL_NAME.search(name))
    }


class WorkerDied(UserError):
    """A worker ended without saying why, or for want of memory."""

    def __init__(self, message: str, hint: str, code: int, *, out_of_memory: bool) -> None:
        """``code`` as in ``subprocess``; ``out_of_memory``: it said so itself."""
        super().__init__(message, hint)
        self.code, self.out_of_memory = code, out_of_memory


class Jobs:
    """Runs workers of one run, one after another."""

    def __init__(
        self, place: Workspace, run: RunFolder, settings: Settings, supervisor: Supervisor, log: EventLog
    ) -> None:
        self._place = place
        self._run = run
        self._settings = settings
        self._supervisor = supervisor
        self._log = log

    async def run(
        self,
        name: str,
        module: str,
        *,
        logs: Path | None = None,
        arguments: Mapping[str, str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Run a worker to its end; its events are published as they come. Cancelling stops it cleanly.

        Args:
            settings: in place of the run's own.

        Raises:
            UserError: the worker's own.
            WorkerDied: how it died.
        """
        logs = logs or self._place.logs / f"{name}.log"
        job = write_job(name, self._place, self._run, settings or self._settings, arguments or {})
        begun = time.monotonic()
        child = await self._supervisor.spawn(
            name,
            [sys.executable, "-u", "-m", module, str(job)],
            cwd=self._place.root,
            env=environment(os.environ, self._settings.teacher.key_variable),
            stdout=logs,
        )
        self._log.publish(events.ChildStarted(name=name, pid=child.pid))
        told = _Told()
        following = asyncio.create_task(self._follow(name, child, told))
        try:
            await asyncio.shield(following)
            code = await child.wait()
        finally:
            await child.stop(STOP_GRACE)
            await asyncio.gather(following, return_exceptions=True)  # what it says while it saves counts as well
            seconds = time.monotonic() - begun
            self._log.publish(
                events.ChildExited(name=name, pid=child.pid, code=await child.wait(), seconds=round(seconds, 3))
            )
        failure, exhausted = told.failure, told.exhausted
        if failure is not None:
            raise UserError(failure.message, failure.hint, ExitCode(failure.exit_code))
        if code != 0:
            how = f" ran out of memory: {exhausted.detail}." if exhausted else f" {how_it_ended(code)}{last_line(logs)}"
            raise WorkerDied(name + how, f"Its last lines are in {logs}.", code, out_of_memory=exhausted is not None)

    async def _follow(self, name: str, child: Child, told: _Told) -> None:
        """Publish what a worker reports, until it has ended."""
        async for lines in follow(self._run.reports(name), lambda: not child.running):
            for line in lines:
                try:
                    event = events.decode(line)
                except msgspec.DecodeError:  # torn: the worker was killed while it wrote it
                    continue
                if isinstance(event, events.WorkerFailed):
                    told.failure = event
                else:
                    told.exhausted = event if isinstance(event, events.MemoryExhausted) else told.exhausted
                    self._log.publish(event)


@dataclass
class _Told:
    """What a worker said of its own end."""

    failure: events.WorkerFailed | None = None
    exhausted: events.MemoryExhausted | None = None


def write_job(name: str, place: Workspace, run: RunFolder, settings: Settings, arguments: Mapping[str, str]) -> Path:
    """Lay out what the worker called ``name`` is told; reports of an earlier one are dropped. Returns the job file."""
    reports = run.reports(name)
    reports.unlink(missing_ok=True)
    job = Job(
        root=str(place.root),
        demo=place.demo,
        run=str(run.path),
        reports=str(reports),
        settings=settings.model_dump(mode="json"),
        arguments=dict(arguments),
    )
    path = run.spool / f"{name}.job.json"
    workspace.replace(path, msgspec.json.encode(job))
    return path


def last_line(path: Path) -> str:
    """The last line of a log, behind a colon; a full stop where there is none."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()[:200]}" if lines else "."


def how_it_ended(code: int) -> str:
    """A return code in words that follow the process's name."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    why = {
        **dict.fromkeys(("SIGKILL", "SIGABRT"), " (as it does when the system runs out of memory)"),
        **dict.fromkeys(("SIGSEGV", "SIGBUS"), " (a fault in a library, perhaps at what it read)"),
    }
    return f"was ended by {name}{why.get(name, '')}"
