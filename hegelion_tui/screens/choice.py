"""A list of which a person takes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from hegelion_tui.screens.room import Dialog

_HOW = "Enter takes one, Escape none"


class Choice(Dialog[str | None]):
    """Dismisses with the id that was taken, or ``None``."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q", "dismiss", "Close")]

    def __init__(self, title: str, options: Sequence[tuple[str, Content]]) -> None:
        """``options``: ids and what they are called."""
        super().__init__()
        self._title = title
        self._options = options

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self._title)
            dialog.border_subtitle = Content(_HOW)
            dialog.styles.min_width = max(len(self._title), len(_HOW)) + 6  # both are read whole
            yield OptionList(*(Option(content, id=name) for name, content in self._options))

    @on(OptionList.OptionSelected)
    def _taken(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)
