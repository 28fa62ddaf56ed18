"""Telling someone who is not looking, in the ways that the settings want."""

from __future__ import annotations

from collections.abc import Mapping

from textual import work

from hegelion_core.commands.text import printable
from hegelion_tui import desktop
from hegelion_tui.alerts import Alert, Kind, Way
from hegelion_tui.keys import KeyedApp


class TellingApp(KeyedApp):
    """An app that rings the terminal's bell and shows notifications."""

    ways: Mapping[Kind, Way] = {}
    """How each kind is told; what is not named is not."""
    project = ""
    """What the notifications are about."""

    def tell(self, alert: Alert) -> None:
        """Tell it, if and how that is wanted. Returns at once; nothing is raised."""
        way = self.ways.get(alert.kind, "off")
        if way in ("bell", "both"):
            self.bell()
        if way in ("desktop", "both") and not self.is_web:  # in a browser, this machine's desktop is not the person's
            self._tell_desktop(alert.text)

    @work(group="desktop", exit_on_error=False)
    async def _tell_desktop(self, text: str) -> None:
        await desktop.tell(f"hegelion {printable(self.project)}", text, self._write)

    def _write(self, sequence: str) -> None:
        """Send an escape sequence to the terminal."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
