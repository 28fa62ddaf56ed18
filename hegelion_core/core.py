"""The core: ``Operations`` in this process. It owns the run, its children and its log."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Self

from hegelion_core import __version__
from hegelion_core.again import Kind
from hegelion_core.comparing.comparer import Comparer
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.event_log import EventLog
from hegelion_core.events import STAGES, AnyEvent, NoticePosted, Stage
from hegelion_core.operations import MAX_INSTANCES
from hegelion_core.pipeline import Pipeline
from hegelion_core.run import CoreLock, discard_unused, open_run, opened
from hegelion_core.run_state import RunState
from hegelion_core.settings import Settings
from hegelion_core.supervisor import Supervisor, end_orphans
from hegelion_core.workspace import RunFolder, Workspace


class Core:
    """Operations in this process: owns the run, its children and its log."""

    def __init__(
        self, place: Workspace, folder: RunFolder, settings: Settings, lock: CoreLock, *, anew: bool = False
    ) -> None:
        self._place = place
        self.folder = folder
        self._lock = lock
        self._log = EventLog(folder.events)
        self._supervisor = Supervisor(folder.mark)
        self._pipeline = Pipeline(place, folder, settings, self._supervisor, self._log, anew=anew)
        self._comparer = Comparer(place, folder, settings, self._supervisor)
        self._task: asyncio.Task[ExitCode] | None = None
        self.opening = opened(place, folder, settings, self._log, __version__)
        self._log.publish(self.opening)

    @classmethod
    async def open(cls, place: Workspace, settings: Settings, kind: Kind = "run-all", *, new: bool = False) -> Self:
        """Open the run that these settings identify, new or where it was.

        Raises:
            UserError: another core is at work in this workspace, it cannot be written, or see ``open_run``.
        """
        lock = CoreLock(place)
        try:
            folder = open_run(place, settings, kind, new=new)
            said: list[str] = []
            await end_orphans(folder.mark, said.append)
            core = cls(place, folder, settings, lock, anew=new)
        except BaseException:
            lock.release()
            raise
        for text in said:
            core._log.publish(NoticePosted(text=text))
        if core._log.damaged:
            core._log.publish(
                NoticePosted(text=f"{core._log.damaged} lines of the event log could not be read.", level="warning")
            )
        return core

    @property
    def place(self) -> Workspace:
        return self._place

    @property
    def state(self) -> RunState:
        return self._log.state

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def broken(self) -> bool:
        """Whether the work ended without being able to say so, as when the event log's disk is full."""
        task = self._task
        return task is not None and task.done() and not task.cancelled() and task.exception() is not None

    def events(self) -> AsyncGenerator[AnyEvent, None]:
        return self._log.subscribe()

    async def start(self, stages: Sequence[Stage] = STAGES) -> None:
        if self.busy:
            running = [name for name, stage in self.state.stages.items() if stage.status == "running"]
            raise UserError(
                f"The run is at work ({', '.join(running) or 'starting'}).",
                "Stop it first, or wait.",
                ExitCode.NOT_READY,
            )
        self._task = asyncio.create_task(self._pipeline.run(stages))
        self._task.add_done_callback(self._work_ended)

    def _work_ended(self, _: asyncio.Task[ExitCode]) -> None:
        if self.broken:
            self._log.hang_up()

    async def wait(self) -> ExitCode:
        """The exit code of the work that runs, or ran last."""
        if self._task is None:
            return ExitCode.DONE
        return await asyncio.shield(self._task)

    async def stop(self) -> None:
        if self._task is not None and self.busy:
            if not self._task.cancelling():  # two faces may ask at once; a second time would cut what is being saved
                self._task.cancel()
            await asyncio.wait([self._task])

    async def stop_instance(self, number: int) -> None:
        self._pipeline.stop_instance(number)

    async def scale(self, instances: int) -> None:
        if not 1 <= instances <= MAX_INSTANCES:
            raise UserError(f"{instances} instances are not possible.", f"Choose 1 to {MAX_INSTANCES}.", ExitCode.USAGE)
        self._pipeline.scale(instances)

    async def scale_by(self, change: int) -> None:
        await self.scale(self._pipeline.instances + change)

    async def recount(self) -> None:
        try:
            await self._pipeline.recount()
        except OSError as error:
            raise explain(error) from None

    async def compare(self, question: str, temperature: float = 0.0) -> None:
        try:
            await self._comparer.ask(question, temperature)
        except OSError as error:
            raise explain(error) from None

    async def stop_comparing(self) -> None:
        try:
            await self._comparer.stop()
        except OSError as error:
            raise explain(error) from None

    async def close(self) -> None:
        await self.stop()
        await self._comparer.close()
        await self._supervisor.close()
        self._log.close()
        if not self.state.requested:
            with contextlib.suppress(OSError):  # a folder too many does no harm
                discard_unused(self._place, self.folder)
        self._lock.release()
