"""The keys at the foot of the screen: as many as there is room for, the most useful ones first to stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from hegelion_tui.actions import ACTIONS, Action
from hegelion_tui.keys import remapped

GAP = 2
"""Cells between two keys."""


class KeyBar(Widget):
    """The actions of a table that have a rank; a click does them too. One widget, however many they are."""

    ALLOW_SELECT = False

    pointed: reactive[str] = reactive("")
    """The action under the pointer."""

    def __init__(self, actions: Sequence[Action] = ACTIONS) -> None:
        super().__init__()
        self._actions = actions

    def render(self) -> Content:
        return Content(" " * GAP).join(
            hint(action).stylize("on $panel") if action.name == self.pointed else hint(action) for action in self.shown
        )

    @property
    def shown(self) -> list[Action]:
        """The actions for which there is room, with the keys that do them now."""
        ranked = [action for action in remapped(self._actions, self.app) if action.rank]
        room = self.size.width + GAP
        kept: set[str] = set()
        for action in sorted(ranked, key=lambda action: action.rank):
            room -= hint(action).cell_length + GAP
            if room >= 0:
                kept.add(action.name)
        return [action for action in ranked if action.name in kept]

    def places(self) -> Iterator[tuple[Action, range]]:
        """The actions that are shown, and the columns that each of them takes."""
        left = 0
        for action in self.shown:
            right = left + hint(action).cell_length
            yield action, range(left, right)
            left = right + GAP

    def _at(self, event: events.MouseEvent) -> Action | None:
        offset = event.get_content_offset(self)
        column = offset.x if offset is not None else -1
        return next((action for action, columns in self.places() if column in columns), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        action = self._at(event)
        self.pointed = action.name if action else ""
        self.tooltip = action.help if action else None

    def on_leave(self) -> None:
        self.pointed = ""
        self.tooltip = None

    async def on_click(self, event: events.Click) -> None:
        if action := self._at(event):
            await self.run_action(f"screen.{action.name}")


def hint(action: Action) -> Content:
    """A key and what it does."""
    return Content.assemble((action.shown, "bold $primary"), " ", (action.label, "dim"))
