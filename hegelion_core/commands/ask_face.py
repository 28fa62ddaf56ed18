"""What ``ask`` shows while it works: parts on standard output as they come, on a terminal a line of what goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator

from msgspec.structs import replace

from hegelion_core.commands.ask_parts import Parts
from hegelion_core.commands.ask_words import WIDTH, wrapped
from hegelion_core.commands.streams import write
from hegelion_core.commands.text import printable
from hegelion_core.dialectic.agent_log import AgentEntry, Critique
from hegelion_core.dialectic.steps import Step, read_synthesis
from hegelion_core.teachers.teacher import TeacherInfo

TICK = 0.5
"""Seconds between two looks of the line of what goes on."""


class TerminalFace:
    """``asking.Face`` for a terminal, a file or a pipe."""

    def __init__(self, query: str, calls: int, *, parts: bool) -> None:
        """``calls`` is what it costs; ``parts``: each is shown on standard output when it comes, else named only.

        On a terminal a part is shown while it grows.
        """
        self._calls = calls
        self.sofar = AgentEntry(query=query, thesis="", antithesis="", synthesis="")
        """What was said so far; to be told if it ends here."""
        self._width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        self._asked: dict[str, float] = {}
        self._last = "starting the teacher"
        self._live = sys.stderr.isatty()
        self._shown = False
        on_terminal = sys.stdout.isatty()
        self._bold = on_terminal and "NO_COLOR" not in os.environ
        self._parts = Parts(self._out, self._width, self._title) if parts else None
        self.watches = parts and on_terminal

    # asking.Face

    def ready(self, info: TeacherInfo) -> None:
        self._last = ""
        model = f" {info.model}" if info.model and info.model != info.version else ""
        program = f"{info.name} {info.version}{model}".strip()
        self.note(f"{program}: {self._calls} calls, if none has to be repeated")

    def heard(self, who: str, text: str) -> None:
        self._last = f"{who}: {text}" if who else text
        if "failed (" in text or text.startswith("asks again"):
            self.note(self._last)

    def grows(self, step: Step, reply: str) -> None:
        self._last = ""  # the newest words stand above
        if self._parts:
            self._parts.grow(step, reply)

    def begins(self, step: Step) -> None:
        self._last = ""
        self._asked[step.critic or step.role] = time.monotonic()

    def said(self, step: Step, text: str) -> None:
        self._asked.pop(step.critic or step.role, None)
        self._remember(step, text)
        if step.role == "judge":
            return
        if self._parts:
            self._parts.whole(step, text)
        else:
            self.note(f"{step.critic or step.role}: done")

    def failed(self, step: Step, why: str, *, again: bool) -> None:
        who = step.critic or step.role
        if not again:
            self._asked.pop(who, None)
        if self._parts:
            self._parts.drop(step)
        self.note(f"{who}: {why}{' It is asked once more.' if again else ''}")

    # What is shown

    def part(self, name: str, text: str) -> None:
        """A part under its heading, on standard output."""
        self._out(f"{self._title(name)}\n{wrapped(text, self._width)}\n\n")

    def _title(self, name: str) -> str:
        return f"\x1b[1m{name}\x1b[0m" if self._bold else name

    def _out(self, text: str) -> None:
        self._clear()
        write(sys.stdout, text)

    def note(self, text: str) -> None:
        """A line for people, on standard error."""
        self._clear()
        write(sys.stderr, printable(" ".join(text.split())) + "\n")

    @contextlib.asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Keep the line of what goes on, where standard error is a terminal."""
        ticking = asyncio.create_task(self._tick()) if self._live else None
        try:
            yield
        finally:
            if ticking is not None:
                ticking.cancel()
            self._clear()
            if self._parts:
                self._parts.end()

    async def _tick(self) -> None:
        while True:
            now = time.monotonic()
            asked = ", ".join(f"{who} {now - since:.0f} s" for who, since in self._asked.items())
            line = " · ".join(part for part in (asked, self._last) if part)
            shown = printable(" ".join(line.split()))[: self._width - 1]
            write(sys.stderr, f"\r\x1b[2m{shown}\x1b[0m\x1b[K")
            self._shown = True
            await asyncio.sleep(TICK)

    def _clear(self) -> None:
        if self._shown:
            write(sys.stderr, "\r\x1b[K")
            self._shown = False

    def _remember(self, step: Step, text: str) -> None:
        match step.role:
            case "thesis":
                self.sofar = replace(self.sofar, thesis=text)
            case "critic":
                critique = Critique(critic=step.critic, text=text)
                self.sofar = replace(self.sofar, critiques=(*self.sofar.critiques, critique))
            case "synthesis":
                synthesis, answer = read_synthesis(text)
                self.sofar = replace(self.sofar, synthesis=synthesis, answer=answer)
