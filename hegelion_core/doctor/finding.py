"""What a check found, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hegelion_core.errors import explain
from hegelion_core.events import CheckFailed, CheckPassed

Level = Literal["ok", "note", "warning", "failed"]
"""``note``: worth knowing, nothing has to be done. ``warning``: it works, but worse than it could, or it wants a look.
``failed``: what needs it will not work until it is mended."""

MARKS: dict[Level, str] = {"ok": "✓", "note": "·", "warning": "!", "failed": "✗"}
Say = Callable[[str], None]
"""Is told a line of what is being done."""


@dataclass(frozen=True)
class Remedy:
    """What can be done at once. Doing it again does no harm, and no data is ever deleted."""

    what: str
    """What will be done, in words."""
    do: Callable[[Say], str]
    """Does it and returns what was done; raises ``UserError`` or ``OSError`` if it cannot be done."""
    asks: bool = False
    """It installs or downloads something, or ends processes: a person is asked first."""

    def apply(self, say: Say) -> str:
        """Do it.

        Returns:
            What was done.

        Raises:
            UserError: it cannot be done.
        """
        try:
            return self.do(say)
        except OSError as error:
            raise explain(error) from None


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    level: Level
    found: str
    mend: str = ""
    """How to mend it, or what to do next, in words."""
    remedy: Remedy | None = None


@dataclass(frozen=True)
class Section:
    """Findings that belong together."""

    title: str
    findings: tuple[Finding, ...]


def from_check(check: CheckPassed | CheckFailed) -> Finding:
    """A check of the check stage as a finding."""
    if isinstance(check, CheckFailed):
        return Finding(check.name, "failed", check.detail, check.fix)
    return Finding(check.name, "ok", check.detail)
