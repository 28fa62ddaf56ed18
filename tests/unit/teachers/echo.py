"""A teacher that always says the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hegelion_core.teachers.teacher import Answer, Call, TeacherInfo


class Echo:
    """Answers ``text``, and names what stands before its last two words in the metadata."""

    calls_per_instance = 1

    def __init__(self, text: str) -> None:
        self._answer = Answer(
            text=text, metadata={"model": f"of {text.split()[-3:][0]}" if text.strip() else "", "score": 7.5}
        )

    async def start(self) -> TeacherInfo:
        return TeacherInfo(name="echo", version="1")

    def tidy(self) -> None: ...

    async def prove(self, log: Callable[[str], None], *, step: bool = False) -> None: ...

    async def ask(self, call: Call, folder: Path, log: Callable[[str], None]) -> Answer:
        return self._answer

    def read_answer(self, folder: Path) -> Answer | None:
        return self._answer

    def read_growing(self, folder: Path) -> str:
        return self._answer.text

    async def close(self) -> None: ...
