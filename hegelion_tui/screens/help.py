"""What every key does, from the table of actions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from hegelion_tui.actions import ACTIONS, CHART_ACTIONS, LOG_ACTIONS, SCROLLING, Action
from hegelion_tui.keys import remapped
from hegelion_tui.screens.room import Dialog

Keys = Sequence[tuple[str, str]]
"""Keys as people read them, and what they do."""
_ABOUT = (
    "The run lives in a core of its own: closing this screen does not end it, and opening the console again shows it "
    "where it is."
)


class KeyTable(Widget):
    """Keys on the left, what they do on the right, where it is wrapped; a line between groups."""

    ALLOW_SELECT = False

    def __init__(self, groups: Sequence[Keys]) -> None:
        super().__init__()
        self._groups = groups
        self._room = max(len(key) for group in groups for key, _ in group) + 2
        self._laid_out: tuple[int, list[Content]] = (0, [])
        """A width, and the lines at that width."""

    def render(self) -> Content:
        return Content("\n").join(self._at(self.size.width))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._at(width))

    def _at(self, width: int) -> list[Content]:
        if self._laid_out[0] != width:
            self._laid_out = width, list(self._lines(width))
        return self._laid_out[1]

    def _lines(self, width: int) -> Iterator[Content]:
        for group in self._groups:
            for key, does in group:
                for number, line in enumerate(textwrap.wrap(does, max(10, width - self._room))):
                    shown = "" if number else key
                    yield Content.assemble((f"{shown:>{self._room - 2}}  ", "bold $primary"), line)
            yield Content("")
        for line in textwrap.wrap(_ABOUT, max(10, width)):
            yield Content.assemble((line, "dim"))


class HelpScreen(Dialog[None]):
    """Closes with Escape, ? or q."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q,f1", "dismiss", "Close")]

    def __init__(self, actions: Sequence[Action] = (), keys: Keys = SCROLLING) -> None:
        """``actions`` of a screen, by default of the main one; ``keys`` are those that widgets have by themselves."""
        super().__init__()
        self._tables = (actions,) if actions else (ACTIONS, LOG_ACTIONS, CHART_ACTIONS)
        self._keys = keys

    def compose(self) -> ComposeResult:
        groups = [[(action.shown, action.help) for action in remapped(table, self.app)] for table in self._tables]
        groups.append([*self._keys, ("ctrl+p", "Command palette: every action, and the themes.")])
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = Content("Keys")
            dialog.border_subtitle = Content("Escape closes")
            yield KeyTable(groups)
