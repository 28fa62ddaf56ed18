"""The keys at the foot of the screen: as many as there is room for, the most useful ones first to stay."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from hegelion_tui.actions import ACTIONS, Action
from hegelion_tui.keys import remapped


class KeyHint(Static):
    """A key and what it does; a click does it too."""

    ALLOW_SELECT = False

    def __init__(self, action: Action) -> None:
        super().__init__(Content.assemble((action.shown, "bold $primary"), " ", (action.label, "dim")))
        self.action = action
        self.tooltip = action.help

    @property
    def room(self) -> int:
        """Cells that it takes, the gap included."""
        return len(self.action.shown) + len(self.action.label) + 3

    async def on_click(self) -> None:
        await self.run_action(f"screen.{self.action.name}")


class KeyBar(Horizontal):
    """The actions of a table that have a rank."""

    def __init__(self, actions: Sequence[Action] = ACTIONS) -> None:
        super().__init__()
        self._actions = actions

    def compose(self) -> ComposeResult:
        yield from (KeyHint(action) for action in remapped(self._actions, self.app) if action.rank)

    async def rebuild(self) -> None:
        """Show the keys that do it now."""
        await self.recompose()
        self._fit(self.size.width)

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size.width)

    def _fit(self, room: int) -> None:
        for hint in sorted(self.query(KeyHint), key=lambda hint: hint.action.rank):
            room -= hint.room
            hint.display = room >= 0  # the gap after the last one stands for the bar's padding
