"""Panes: framed rooms of the deck that can be focused and given the whole screen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from hegelion_tui.log_text import tail
from hegelion_tui.widgets.log_view import LogView

TAIL_LINES = 200
"""Lines of a log that are there when a pane opens."""
POLL = 0.1
"""Seconds between looks at a log."""


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


class LogPane(Pane):
    """A log file, followed."""

    empty: reactive[str] = reactive("", repaint=False)
    """What stands in an empty log."""

    def __init__(self, title: str, path: Path, id: str, empty: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id)
        self.path = path
        self.set_reactive(LogPane.empty, empty)
        self._reader = tail(path, TAIL_LINES)
        self._trouble = ""

    def compose(self) -> ComposeResult:
        yield LogView().data_bind(LogPane.empty)

    def on_mount(self) -> None:
        view = self.query_one(LogView)
        self.watch(view, "unseen", self._show_unseen)
        self.watch(view, "following", self._show_unseen)
        self.poll()
        self.set_interval(POLL, self.poll)

    def poll(self) -> None:
        """Show what is new in the file; a part of it at a time, so that a flood does not hold up the keys."""
        try:
            lines = self._reader.read()
        except OSError as error:
            trouble = f"{self.path.name}: cannot be read ({error.strerror})."
            lines = [trouble] if trouble != self._trouble else []
            self._trouble = trouble
        if lines:
            self.query_one(LogView).extend(lines)

    def _show_unseen(self) -> None:
        view = self.query_one(LogView)
        lines = f"{view.unseen:,} line{'s' if view.unseen != 1 else ''}"
        self.border_subtitle = None if view.following else Content(f"+{lines}, End follows")
