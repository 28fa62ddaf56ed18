"""What every key does, from the table of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from hegelion_tui.actions import ACTIONS, CHART_ACTIONS, LOG_ACTIONS, SCROLLING, Action
from hegelion_tui.keys import remapped

_ABOUT = (
    "The run lives in a core of its own: closing this screen does not end it, and opening the console again shows it "
    "where it is."
)


class HelpScreen(ModalScreen[None]):
    """Closes with Escape, ? or q."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q,f1", "dismiss", "Close")]

    def __init__(
        self,
        actions: Sequence[Action] = (*ACTIONS, *LOG_ACTIONS, *CHART_ACTIONS),
        keys: Sequence[tuple[str, str]] = SCROLLING,
    ) -> None:
        """``keys`` are those that widgets have by themselves."""
        super().__init__()
        self._actions = actions
        self._keys = keys

    def compose(self) -> ComposeResult:
        rows = [(action.shown, action.help) for action in remapped(self._actions, self.app)]
        rows += [*self._keys, ("ctrl+p", "Command palette: every action, and the themes.")]
        keys = [Content.assemble((f"{key:>14}  ", "bold $primary"), text) for key, text in rows]
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = Content("Keys")
            dialog.border_subtitle = Content("Escape closes")
            yield Static(Content("\n").join([*keys, Content(""), Content.assemble((_ABOUT, "dim"))]))
