"""A question with a few answers; each has a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Button, Static

from hegelion_tui.screens.room import Dialog


@dataclass(frozen=True)
class Answer:
    """``key`` chooses it; the question's result is ``name``."""

    name: str
    key: str
    label: str


CANCEL = Answer("cancel", "escape", "Cancel")


class Question(Dialog[str]):
    """Its result is the name of the answer; the first one is the one that Enter takes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "answer('cancel')", show=False),
        Binding("ctrl+c", "app.quit", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, text: str, answers: Sequence[Answer]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._answers = (*answers, CANCEL)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self._title)
            yield Static(self._text, markup=False)
            with Horizontal(classes="answers"):
                for answer in self._answers:
                    shown = "esc" if answer is CANCEL else answer.key
                    label = Content.assemble((shown, "bold"), f" {answer.label}")
                    yield Button(label, id=answer.name, compact=True)

    def on_key(self, event: Key) -> None:
        for answer in self._answers:
            if event.key == answer.key:
                event.stop()
                self.dismiss(answer.name)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id or CANCEL.name)

    def action_answer(self, name: str) -> None:
        self.dismiss(name)
