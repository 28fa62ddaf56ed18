"""What ``hegelion.toml`` tells the console itself: theme, keys, alerts. Light, since the first paint waits for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hegelion_core.errors import UserError
from hegelion_core.setting_sources import KEYS, SETTINGS_FILE, flatten, from_environment, parse, read_text
from hegelion_tui.alerts import KINDS, WAYS, Kind, Way

THEME = "console.theme"


@dataclass(frozen=True)
class Preferences:
    """As they are written; nothing is checked yet."""

    theme: str = ""
    """Empty: nobody chose one."""
    overruled: bool = False
    """Whether the environment or a flag names the theme, whatever the file says."""
    keys: Mapping[str, object] = field(default_factory=dict)
    alerts: Mapping[Kind, Way] = field(default_factory=dict)
    """How something is told to someone who is not looking; what is not named is not told."""
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
    values = {**flatten(tables), **over}
    alerts: dict[Kind, Way] = {}
    for kind in KINDS:
        if (wanted := values.get(name := alert_setting(kind))) is None:
            continue
        if (way := next((way for way in WAYS if way == wanted), None)) is not None:
            alerts[kind] = way
        else:
            problems.append(f"{name} must be one of {', '.join(WAYS)}.")
    return Preferences(str(values.get(THEME, "")), THEME in over, keys, alerts, tuple(problems))


def alert_setting(kind: Kind) -> str:
    """The setting that says how this is told."""
    return f"console.{kind}"
