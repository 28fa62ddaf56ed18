"""Panes: framed rooms of the deck that can be focused and given the whole screen."""

from __future__ import annotations

from dataclasses import dataclass

from textual.containers import Vertical
from textual.content import Content
from textual.message import Message


@dataclass
class PaneChosen(Message):
    """A pane, or its tab, was clicked."""

    pane_id: str


class Pane(Vertical):
    """A framed part of the deck. ``title`` is what its tab says."""

    def __init__(self, title: str, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.title = title
        self.border_title = Content(title)

    def on_click(self) -> None:
        self.post_message(PaneChosen(self.id or ""))

    def take_focus(self) -> None:
        """Give the keyboard to what can be scrolled in here."""
        for child in self.query("*"):
            if child.focusable:
                child.focus(scroll_visible=False)
                return
