"""Keys of one's own: the table ``[keys]`` of ``hegelion.toml`` gives actions other keys than they came with."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from textual.app import App
from textual.keys import KEY_NAME_REPLACEMENTS, REPLACED_KEYS, Keys, format_key, key_to_character

from hegelion_tui.actions import (
    ACTIONS,
    CHART_ACTIONS,
    CHECK_ACTIONS,
    COMPARE_ACTIONS,
    LOG_ACTIONS,
    SAMPLE_ACTIONS,
    SCROLL_KEYS,
    SETTING_ACTIONS,
    Action,
)

TABLES: dict[str, tuple[Action, ...]] = {
    "run": (*ACTIONS, *CHART_ACTIONS),
    "logs": (*ACTIONS, *LOG_ACTIONS),
    "samples": SAMPLE_ACTIONS,
    "settings": SETTING_ACTIONS,
    "checklist": CHECK_ACTIONS,
    "compare": COMPARE_ACTIONS,
}
"""Actions that can be done at the same time, and so need keys that differ."""
RESERVED = frozenset({"enter", "up", "down", "home", "end", "pageup", "pagedown", "ctrl+c", "ctrl+q", "ctrl+p"})
"""Keys that mean the same everywhere."""
_MODIFIERS = {"ctrl", "shift", "alt", "super", "meta", "hyper"}
_NAMED = {key.value for key in Keys}
KeyNames = Callable[[str], str]
"""Name of an action to the key that does it, as people read it."""


class KeyedApp(App[int]):
    """An app whose actions may have other keys."""

    keymap: Mapping[str, str] = {}
    """Name of an action to its keys; only those that were given."""

    def use_keys(self, keymap: Mapping[str, str]) -> None:
        """From now on these keys do it."""
        self.keymap = dict(keymap)
        self.set_keymap(self.keymap)


def names() -> dict[str, Action]:
    """Every action by its name; one that several screens have is one."""
    found: dict[str, Action] = {}
    for table in TABLES.values():
        for action in table:
            found.setdefault(action.name, action)
    return found


def remapped(actions: Sequence[Action], app: object) -> tuple[Action, ...]:
    """The actions with the keys that they have in ``app``."""
    keymap = app.keymap if isinstance(app, KeyedApp) else {}
    return tuple(
        replace(action, keys=keymap[action.name], shown=shown(keymap[action.name])) if action.name in keymap else action
        for action in actions
    )


def key_names(app: object) -> KeyNames:
    """How the keys of ``app`` are called in texts that tell people what to press."""
    known = names()
    return lambda name: remapped([known[name]], app)[0].shown


def shown(keys: str) -> str:
    """The first of the keys as people read it: ``ctrl+s``, ``?``."""
    *modifiers, key = keys.split(",")[0].split("+")
    return "+".join([*modifiers, format_key(key)])


def written(keys: str) -> str:
    """All of the keys as people write them: ``?, f1``; ``normal`` reads it back."""
    return ", ".join(_short(key) for key in keys.split(","))


def _short(key: str) -> str:
    """The character of a key that has one; what has a name keeps it."""
    character = key_to_character(REPLACED_KEYS.get(key, key))
    return character if character is not None and character.isprintable() and character not in ", " else key


def read(table: Mapping[str, object]) -> tuple[dict[str, str], dict[str, str]]:
    """The keymap that a table of the file asks for, and what is wrong with the rest of it: name to words."""
    keymap: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name, value in table.items():
        try:
            keymap[_known(name)] = normal(value)
        except ValueError as error:
            problems[name] = str(error)
    for name in list(keymap):
        if taken := taken_by(name, keymap[name], keymap):
            problems[name] = taken
            del keymap[name]
    return keymap, problems


def _known(name: str) -> str:
    if name in (known := names()):
        return name
    near = difflib.get_close_matches(name, known, n=1)
    raise ValueError(f"there is no such action{f', but {near[0]} is one' if near else ''}")


def normal(value: object) -> str:
    """Keys, with commas between them, as Textual names them.

    Raises:
        ValueError: what is wrong, in words.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a key such as z, ctrl+t or f5 is needed")
    parts = [","] if value.strip() == "," else [part.strip() for part in value.split(",")]
    return ",".join(_normal(part) for part in parts)


def _normal(key: str) -> str:
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    name = _name(last)
    if not name or not set(modifiers) <= _MODIFIERS:
        raise ValueError(f"{key!r} is no key; z, ctrl+t and f5 are")
    full = "+".join([*modifiers, name])
    if full in RESERVED:
        raise ValueError(f"{full} means the same everywhere; choose another key")
    return full


def _name(key: str) -> str:
    """Textual's name of a key without modifiers; empty if there is none."""
    import unicodedata

    if len(key) == 1 and key.isprintable() and key != " ":
        name = key if key.isalnum() else unicodedata.name(key, "").lower().replace("-", "_").replace(" ", "_")
        return KEY_NAME_REPLACEMENTS.get(name, name)
    known = key in _NAMED or key in KEY_NAME_REPLACEMENTS.values() or key_to_character(key) is not None
    return key if len(key) > 1 and known else ""


def taken_by(name: str, keys: str, keymap: Mapping[str, str]) -> str:
    """Which other action has one of these keys already, in words; empty if none has."""
    wanted = set(keys.split(","))
    for where, table in TABLES.items():
        if name not in {action.name for action in table}:
            continue
        if where == "logs" and wanted & SCROLL_KEYS:
            return f"{shown((wanted & SCROLL_KEYS).pop())} scrolls a log already"
        for other in table:
            both = wanted & set(keymap.get(other.name, other.keys).split(","))
            if other.name != name and both:
                return f"{shown(both.pop())} is the key of {other.name} already"
    return ""
