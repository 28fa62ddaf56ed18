"""The parts of a dialogue on standard output: whole where they go to a file, growing line by line on a terminal.

Critics write at the same time, but lines of several would not be readable: one part grows, and those that are whole
before it wait behind it.
"""

from __future__ import annotations

from collections.abc import Callable

from hegelion_core.commands.ask_words import heading, wrapped
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.steps import Step, read_critique, read_synthesis, read_thesis


class Parts:
    """What is shown of the steps, in the order in which they began to be shown."""

    def __init__(self, show: Callable[[str], None], width: int, title: Callable[[str], str] = str) -> None:
        """Nothing is shown yet.

        Args:
            show: takes whole lines.
            width: columns of a line.
            title: makes a heading stand out.
        """
        self._show = show
        self._width = width
        self._title = title
        self._growing = ""
        """Whose part is the last that is shown and not whole yet."""
        self._shown: list[str] = []
        """Its lines so far."""
        self._waiting: list[list[str]] = []

    def grow(self, step: Step, reply: str) -> None:
        """Take what there is of a reply; its lines are shown, but for the last, in which more may come."""
        if self._growing not in ("", _who(step)) or not (lines := self._lines(_as_far_as_read(step, reply))[:-2]):
            return
        if lines[: len(self._shown)] == self._shown:
            self._growing = _who(step)
            self._add(lines[len(self._shown) :])

    def whole(self, step: Step, text: str) -> None:
        """Take a part as it is used; what was not shown of it is shown now, or behind the one that grows."""
        lines = self._lines(_sections(step, text))
        if self._growing not in ("", _who(step)):
            self._waiting.append(lines)
            return
        if lines[: len(self._shown)] != self._shown:  # what was read of half a reply is read otherwise of the whole
            self.drop(step)
        self._add(lines[len(self._shown) :])
        self._next()

    def drop(self, step: Step) -> None:
        """Of this reply nothing more will come."""
        if self._growing == _who(step):
            self._show("[...]\n\n")
            self._next()

    def end(self) -> None:
        """Show what waits behind a part that will not be whole any more."""
        if self._growing:
            self._show("[...]\n\n")
            self._next()

    def _next(self) -> None:
        self._growing, self._shown = "", []
        waiting, self._waiting = self._waiting, []
        for lines in waiting:
            self._show("".join(f"{line}\n" for line in lines))

    def _add(self, lines: list[str]) -> None:
        if lines:
            self._shown += lines
            self._show("".join(f"{line}\n" for line in lines))

    def _lines(self, sections: list[tuple[str, str]]) -> list[str]:
        """Each section's heading, its text, and an empty line."""
        return [
            line for name, text in sections for line in (self._title(name), *wrapped(text, self._width).split("\n"), "")
        ]


def _who(step: Step) -> str:
    return step.critic or step.role


def _sections(step: Step, text: str) -> list[tuple[str, str]]:
    if step.role != "synthesis":
        return [(heading(step), text)]
    synthesis, answer = read_synthesis(text)
    return [(heading(step), synthesis), *([("ANSWER", answer)] if answer else [])]


def _as_far_as_read(step: Step, reply: str) -> list[tuple[str, str]]:
    """The sections in what there is of a reply, read as the whole will be; none while it thinks aloud."""
    if reply.lstrip().lower().startswith("<think>") and "</think>" not in reply:
        return []
    try:
        match step.role:
            case "thesis":
                return _sections(step, read_thesis(reply))
            case "critic":
                return _sections(step, read_critique(reply, step.critic))
            case "synthesis":
                return _sections(step, reply)
            case _:
                return []
    except SampleFault:
        return []
