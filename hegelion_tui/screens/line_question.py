"""A question that is answered with a line of text."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from hegelion_tui.screens.room import Dialog


class LineQuestion(Dialog[str | None]):
    """Its result is the line; ``None`` if it was not answered."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, title: str, text: str, value: str = "", *, enter: str = "does it") -> None:
        """``enter`` says what Enter does."""
        super().__init__()
        self._title = title
        self._text = text
        self._value = value
        self._enter = enter

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog line-question") as dialog:
            dialog.border_title = Content(self._title)
            dialog.border_subtitle = Content(f"Enter {self._enter}, Escape cancels")
            yield Static(self._text, markup=False)
            yield Input(self._value, compact=True, select_on_focus=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())
