"""The core's side of comparing: lay down a question, keep the process that answers, tell how it ended.

The process loads the student at the first question and stays for the next ones. It ends by itself after some minutes
without one, and with the core.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.comparing import exchange
from hegelion_core.comparing.exchange import Exchange, Exchanges, Failed, Question
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.jobs import environment, how_it_ended, last_line, write_job
from hegelion_core.settings import Settings
from hegelion_core.supervisor import Child, Supervisor
from hegelion_core.workspace import RunFolder, Workspace

NAME = "compare"
MODULE = "hegelion_core.comparing.comparison"
IDLE_SECONDS = 300.0
"""How long the process keeps student and adapter in memory without a question."""
CORE_ENDED = ("The core ended before it was answered.", "Ask again.")
KEPT = 50
"""Exchanges that a run keeps."""


class Comparer:
    """Asks base and adapter of one run."""

    def __init__(
        self,
        place: Workspace,
        run: RunFolder,
        settings: Settings,
        supervisor: Supervisor,
        *,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """Answers that an earlier core left open are closed."""
        self._place = place
        self._run = run
        self._settings = settings
        self._supervisor = supervisor
        self._idle_seconds = idle_seconds
        self._folder = exchange.folder_of(run)
        self._child: Child | None = None
        self._watching: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._closing = False
        for left in self._open():
            self._fail(left, *CORE_ENDED)

    async def ask(self, text: str, temperature: float) -> None:
        """Lay down a question; its answers come in files (``exchange``).

        Raises:
            UserError: there is no question, no adapter, or a question is being answered.
        """
        text = exchange.checked(text, temperature)
        adapter = self._place.resolve(self._settings.training.adapter_path)
        if not (adapter / "adapter_config.json").is_file():
            raise UserError(f"{adapter}: holds no adapter yet.", "Train first.", ExitCode.NOT_READY)
        async with self._asking:
            if any(not self._stopped(found) for found in self._open()):
                hint = "Stop it first, or wait."
                raise UserError("A question is being answered.", hint, ExitCode.NOT_READY)
            self._lay_down(text, temperature)
            await self._keep_child()

    async def stop(self) -> None:
        """End what is being answered; what has come so far stays."""
        for found in self._open():
            (exchange.place(self._folder, found.number) / exchange.STOP).touch()

    async def close(self) -> None:
        """End the process."""
        self._closing = True
        await self.stop()
        if self._child is not None:
            await self._child.stop()
        if self._watching is not None:
            await self._watching

    def _open(self) -> list[Exchange]:
        found = Exchanges(self._folder)
        found.refresh()
        return [each for each in found.all() if each.progress != "ended"]

    def _stopped(self, found: Exchange) -> bool:
        return (exchange.place(self._folder, found.number) / exchange.STOP).exists()

    def _lay_down(self, text: str, temperature: float) -> None:
        known = exchange.numbers(self._folder)
        number = known[-1] + 1 if known else 1
        for old in known[: -KEPT + 1]:
            shutil.rmtree(exchange.place(self._folder, old), ignore_errors=True)
        question = Question(
            text=text,
            temperature=temperature,
            max_new_tokens=self._settings.evaluation.max_new_tokens,
            at=time.time(),
        )
        folder = exchange.place(self._folder, number)
        workspace.make_folder(folder)
        workspace.replace(folder / exchange.QUESTION, msgspec.json.encode(question), durable=False)

    async def _keep_child(self) -> None:
        """Start the process, unless it runs."""
        if self._child is not None and self._child.running:
            return
        arguments = {"questions": str(self._folder), "idle_seconds": str(self._idle_seconds)}
        job = write_job(NAME, self._place, self._run, self._settings, arguments)
        self._child = await self._supervisor.spawn(
            NAME,
            [sys.executable, "-u", "-m", MODULE, str(job)],
            cwd=self._place.root,
            env=environment(os.environ, self._settings.teacher.key_variable),
            stdout=self._log_file,
        )
        self._watching = asyncio.create_task(self._watch(self._child))

    async def _watch(self, child: Child) -> None:
        """Nothing stays open that nobody answers any more."""
        code = await child.wait()
        async with self._asking:
            if child is not self._child or not (left := self._open()):
                return
            if code == ExitCode.DONE and not self._closing:  # it had waited long enough just when it was asked again
                await self._keep_child()
                return
            died = f"The process that answers {how_it_ended(code)}{last_line(self._log_file)}"
            for each in left:
                if self._closing:
                    self._fail(each, *CORE_ENDED)
                else:
                    self._fail(each, died, f"Its last lines are in {self._log_file}.")

    def _fail(self, left: Exchange, message: str, hint: str) -> None:
        exchange.write_line(self._folder, left.number, Failed(message=message, hint=hint))

    @property
    def _log_file(self) -> Path:
        return self._place.logs / "compare.log"
