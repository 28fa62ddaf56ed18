"""Panes: framed rooms of the deck that can be focused and given the whole screen."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from hegelion_tui.log_text import tail
from hegelion_tui.widgets.log_view import LogView

TAIL_LINES = 200
"""Lines of a log that are there when a pane opens."""
POLL = 0.1
"""Seconds between looks at a log."""


class Pane(Vertical):
    """A framed part of the deck. ``name`` is what its tab says."""

    def __init__(self, title: str, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.title = title
        self.border_title = Content(title)

    def take_focus(self) -> None:
        """Give the keyboard to what can be scrolled in here."""
        for child in self.query("*"):
            if child.focusable:
                child.focus(scroll_visible=False)
                return


class LogPane(Pane):
    """A log file, followed."""

    def __init__(self, title: str, path: Path, empty: str, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(title, id)
        self.path = path
        self._empty = empty
        self._reader = tail(path, TAIL_LINES)
        self._trouble = ""

    def compose(self) -> ComposeResult:
        yield LogView(self._empty)

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
