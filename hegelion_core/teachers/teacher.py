"""The protocol that every teacher follows.

A call is one question to a teacher. It has a folder of its own, ``<run>/spool/calls/<call id>/``, that holds
``request.json`` (the ``Call``, written by the generator) and whatever the teacher wrote (``out``, ``err``). The folder
lives until its answer has been handled durably, so an answer that was written whole is salvaged at the next start even
if the core died.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from hegelion_core.dialectic.steps import Step

FaultKind = Literal[
    "not_logged_in",  # stop all, tell the user how to log in
    "quota",  # the plan's window is used up: pause all
    "terminated",  # the provider closed the account: stop all, never retry
    "balance",  # no money left: stop all
    "rate",  # too many requests: cool down
    "transient",  # retry with backoff
    "timeout",  # a watchdog ended the call
    "filtered",  # the provider refuses this prompt: record it, do not retry
    "tool_use",  # the tripwire: the agent tried to use a tool
    "protocol",  # output that cannot be understood
]


REQUEST, OUT, ERR, GROWING = "request.json", "out", "err", "growing"
"""Files of a call's folder: what is asked, and the teacher's raw output on both streams."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a teacher."""

    call_id: str
    """Unique in the run; names the call's folder."""
    prompt_id: str
    query: str
    instance: int
    attempt: int = 1
    correction: str | None = None
    """The exact fault of the answer before, when this call asks again."""
    step: Step | None = None
    """The part of a dialogue that is asked for; none: the whole in one reply."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a teacher answered, as it wrote it: a ``<thought>`` block and the answer, or one step of a dialogue."""

    text: str
    mode: Literal["single", "turns", "dialogue"] = "single"
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    truncated: bool = False
    """The teacher says that a token limit cut the answer."""
    metadata: dict[str, str | int | float] = {}


class TeacherInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which teacher answers."""

    name: str
    version: str
    model: str = ""
    detail: str = ""


class TeacherFault(Exception):
    """A call that gave no answer, by class. ``retry_after`` is in seconds, where the provider named it."""

    def __init__(self, kind: FaultKind, message: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.retry_after = retry_after

    def redacted(self, redact: Callable[[str], str]) -> TeacherFault:
        """The same fault without credentials, which providers like to quote."""
        return TeacherFault(self.kind, redact(self.message), redact(self.hint), self.retry_after)


class Teacher(Protocol):
    """A source of dialectical answers."""

    @property
    def calls_per_instance(self) -> int:
        """How many calls one generator instance keeps in flight."""

    async def start(self) -> TeacherInfo:
        """Find the program, probe its version and login, load what must be loaded.

        Raises:
            TeacherFault: it is not there, not logged in, or does not work.
        """

    def tidy(self) -> None:
        """Remove what an earlier core of this run, that was killed, left behind outside the run's folder."""

    async def prove(self, log: Callable[[str], None], *, step: bool = False) -> None:
        """Show, once a program version, that orders inside a prompt are not obeyed; at once where nothing is to show.

        ``step``: in a step of a dialogue, which is asked in other words than a whole answer.

        Raises:
            TeacherFault: ``tool_use``, it obeyed and must not be used; any other class, not known yet: try again.
        """

    async def ask(self, call: Call, folder: Path, log: Callable[[str], None]) -> Answer:
        """Ask and wait; hands lines for the instance's log to ``log`` as they come.

        ``folder`` holds the call as ``REQUEST`` already; what the teacher writes goes there too.
        Cancelling ends the call and every process that serves it alone.

        Raises:
            TeacherFault: no answer, by class.
        """

    def read_answer(self, folder: Path) -> Answer | None:
        """The answer in a call's folder, if it was written whole; changes nothing. For the salvage, before ``tidy``.

        Raises:
            TeacherFault: ``tool_use``, the call had reached for a tool.
        """

    def read_growing(self, folder: Path) -> str:
        """What there is of a reply that is being written, for people; empty where the teacher does not tell."""

    async def close(self) -> None:
        """End every process of this teacher."""
