"""What ``hegelion.toml`` tells the console itself: theme and keys. Light, since the first paint waits for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hegelion_core.errors import UserError
from hegelion_core.setting_sources import KEYS, SETTINGS_FILE, flatten, from_environment, parse, read_text

THEME = "console.theme"


@dataclass(frozen=True)
class Preferences:
    """As they are written; nothing is checked yet."""

    theme: str = ""
    """Empty: nobody chose one."""
    overruled: bool = False
    """Whether the environment or a flag names the theme, whatever the file says."""
    keys: Mapping[str, object] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read(root: Path, flags: Mapping[str, object]) -> Preferences:
    """Read them for the workspace ``root``; a file that cannot be read is a problem, and no reason not to open."""
    try:
        tables, problems = parse(read_text(root / SETTINGS_FILE)), []
    except UserError as error:
        tables, problems = {}, [error.message]
    keys = tables.get(KEYS, {})
    if not isinstance(keys, dict):
        keys, problems = {}, [*problems, f"{SETTINGS_FILE}: {KEYS} must be a table of actions and keys."]
    over = {**from_environment(os.environ), **flags}
    theme = over.get(THEME, flatten(tables).get(THEME, ""))
    return Preferences(str(theme), THEME in over, keys, tuple(problems))
