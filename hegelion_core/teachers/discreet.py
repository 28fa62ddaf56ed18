"""A teacher whose answers hold none of the user's credentials: Kimi has its own, and an endpoint is sent one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from hegelion_core.redaction import Redactor
from hegelion_core.teachers.teacher import Answer, Call, Teacher, TeacherInfo


class Discreet:
    """Another teacher, of whose answers credentials that are known by their values are taken out."""

    def __init__(self, teacher: Teacher, redact: Redactor) -> None:
        self._teacher = teacher
        self._redact = redact

    @property
    def calls_per_instance(self) -> int:
        return self._teacher.calls_per_instance

    async def start(self) -> TeacherInfo:
        return await self._teacher.start()

    def tidy(self) -> None:
        self._teacher.tidy()

    async def prove(self, log: Callable[[str], None], *, step: bool = False) -> None:
        await self._teacher.prove(log, step=step)

    async def ask(self, call: Call, folder: Path, log: Callable[[str], None]) -> Answer:
        return self._without(await self._teacher.ask(call, folder, log))

    def read_answer(self, folder: Path) -> Answer | None:
        answer = self._teacher.read_answer(folder)
        return None if answer is None else self._without(answer)

    def read_growing(self, folder: Path) -> str:
        return self._redact.growing(self._teacher.read_growing(folder))

    async def close(self) -> None:
        await self._teacher.close()

    def _without(self, answer: Answer) -> Answer:
        known = self._redact.known
        told = {name: known(said) if isinstance(said, str) else said for name, said in answer.metadata.items()}
        return msgspec.structs.replace(answer, text=known(answer.text), metadata=told)
