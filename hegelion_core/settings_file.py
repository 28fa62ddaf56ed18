"""``hegelion.toml`` as a person edits it: where every setting stands, and one changed at a time.

A change keeps everything else of the file byte for byte: comments, order, and what this version does not know.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from hegelion_core import workspace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.setting_sources import (
    KEYS,
    SETTINGS_FILE,
    Source,
    flatten,
    from_environment,
    parse,
    read_text,
    variable,
)
from hegelion_core.setting_words import Setting
from hegelion_core.settings import check, described, merge, resolve

if TYPE_CHECKING:
    from tomlkit.items import Item
    from tomlkit.toml_document import TOMLDocument

TomlValue = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Standing:
    """A setting and what it is set to."""

    setting: Setting
    value: object
    """As it was written, or the default."""
    source: Source
    written: object
    """What the file says; ``None`` if nothing."""
    problem: str = ""
    """Why the value cannot be used; empty if it can."""

    @property
    def overruled(self) -> str:
        """What stands over the file, as in 'the variable HEGELION_TRAINING__LR'; empty if nothing does."""
        match self.source:
            case "environment":
                return f"the environment variable {variable(self.setting.name)}"
            case "demo":
                return "--demo"
            case "flag":
                return "a flag of the command line"
            case _:
                return ""


@dataclass(frozen=True)
class Standings:
    """All settings, and what the file says beside them."""

    text: str
    """The file."""
    settings: tuple[Standing, ...]
    unknown: Mapping[str, object]
    """What the file says that means nothing to this version; ``section.name`` to value."""


@dataclass(frozen=True)
class Edit:
    """The file before and after a change."""

    before: str
    after: str


@dataclass(frozen=True)
class Sources:
    """All that settings come from, but for the file."""

    root: Path
    """The workspace, in which the file lies."""
    flags: Mapping[str, object]
    demo: bool = False
    environment: Mapping[str, str] | None = None
    """The process's, unless given."""

    @property
    def path(self) -> Path:
        return self.root / SETTINGS_FILE

    def standings(self) -> Standings:
        """Where every setting stands now. A value that is not valid is told as such.

        Raises:
            UserError: the file cannot be read, or is not TOML.
        """
        text = read_text(self.path)
        written = flatten(parse(text))
        environment = os.environ if self.environment is None else self.environment
        merged = merge(written, from_environment(environment), self.flags, demo=self.demo)
        found: list[Standing] = []
        for setting in described():
            name = setting.name
            value = merged.values.get(name, setting.default)
            problem = _problem(setting, value) if name in merged.values else ""
            found.append(Standing(setting, value, merged.sources[name], written.get(name), problem))
        known = {setting.setting.name for setting in found}
        return Standings(text, tuple(found), {name: value for name, value in written.items() if name not in known})

    def save(self, setting: Setting, value: object) -> Edit:
        """Write a value into the file, durably; ``None`` takes the setting out of it.

        Raises:
            UserError: it is not valid, or not together with the others; nothing was written.
            OSError: the file cannot be written.
        """
        text = read_text(self.path)
        if value is None:
            new = remove(text, setting.section, setting.key)
        else:
            new = put(text, setting.section, setting.key, to_toml(setting, value))
        self._refuse_new_trouble(text, new)
        write(self.path, new)
        return Edit(text, new)

    def save_key(self, action: str, keys: str | None) -> Edit:
        """Write an action's keys into the file, or take them out; the keys were checked before.

        Raises:
            UserError: the file is written in a way that this cannot change.
            OSError: the file cannot be written.
        """
        text = read_text(self.path)
        new = remove(text, KEYS, action) if keys is None else put(text, KEYS, action, keys)
        write(self.path, new)
        return Edit(text, new)

    def restore(self, edit: Edit) -> bool:
        """Take a change back, to the last byte; ``False``, and nothing is done, if the file was changed since.

        Raises:
            OSError: the file cannot be written.
        """
        if read_text(self.path) != edit.after:
            return False
        write(self.path, edit.before)
        return True

    def _refuse_new_trouble(self, before: str, after: str) -> None:
        """Values that are valid by themselves may not go together. What was wrong before may stay."""

        def trouble(text: str) -> UserError | None:
            try:
                resolve(self.root, self.flags, demo=self.demo, environment=self.environment, text=text)
            except UserError as error:
                return error
            return None

        if (found := trouble(after)) is not None and trouble(before) is None:
            raise found


def save_theme(root: Path, theme: str) -> None:
    """Write the console's theme into the settings file of the workspace ``root``.

    Raises:
        UserError: the file is written in a way that this cannot change.
        OSError: it cannot be written.
    """
    path = root / SETTINGS_FILE
    write(path, put(read_text(path), "console", "theme", theme))


def _problem(setting: Setting, value: object) -> str:
    try:
        check(setting, value)
    except UserError as error:
        return error.message
    return ""


def to_toml(setting: Setting, value: object) -> TomlValue | Item:
    """A valid value as the file has it; a number that was typed keeps its notation, as in ``2e-5``.

    Raises:
        UserError: it is not valid, or cannot be written.
    """
    import tomlkit

    checked = check(setting, value)
    if isinstance(value, str) and isinstance(checked, float):
        with contextlib.suppress(tomllib.TOMLDecodeError, ValueError):
            if type(tomllib.loads(f"x = {value}")["x"]) in (int, float):
                return tomlkit.value(value)
    match checked:
        case bool() | int() | float() | str():
            return checked
        case PurePath():
            return str(checked)
        case tuple():
            return [str(part) for part in checked]
        case _:
            raise UserError(f"{setting.name}: cannot be written.", "Take it out of the file instead.", ExitCode.USAGE)


def shown(value: object) -> str:
    """A value as people write it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).replace("e-0", "e-")
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


# The text of the file


def put(text: str, section: str, key: str, value: TomlValue | Item) -> str:
    """The file with ``section.key`` set to ``value``; everything else stays byte for byte.

    Raises:
        UserError: the file is written in a way that this cannot change.
    """
    with _editing(text, section, key) as document:
        import tomlkit

        if section not in document:
            document[section] = tomlkit.table()
        table = document[section]
        if not isinstance(table, dict):
            raise ValueError(section)
        if key in table:
            table[key] = value
        else:
            _append(table, key, value)
        new = tomlkit.dumps(document)
    expected = parse(text)
    expected[section] = {**_table(expected.get(section)), key: _plain(value)}
    return _faithful(text, new, expected)


def remove(text: str, section: str, key: str) -> str:
    """The file without ``section.key``; everything else stays byte for byte.

    Raises:
        UserError: the file is written in a way that this cannot change.
    """
    expected = parse(text)
    held = _table(expected.get(section))
    if key not in held:
        return text
    with _editing(text, section, key) as document:
        import tomlkit

        table = document[section]
        if not isinstance(table, dict):
            raise ValueError(section)
        del table[key]
        new = tomlkit.dumps(document)
    expected[section] = {name: value for name, value in held.items() if name != key}
    return _faithful(text, new, expected)


def write(path: Path, text: str) -> None:
    """Replace the settings file, atomically and durably; a link stays a link, and its rights stay.

    Raises:
        OSError: it cannot be written; it is as it was.
    """
    real = path.resolve()
    mode = real.stat().st_mode & 0o777 if real.exists() else None
    workspace.replace(real, text.encode(), mode=workspace.SHARED)
    if mode is not None:
        real.chmod(mode)


@contextlib.contextmanager
def _editing(text: str, section: str, key: str) -> Iterator[TOMLDocument]:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    parse(text)  # says what is wrong in our words
    try:
        yield tomlkit.parse(text)
    except (TOMLKitError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise _by_hand(f"{section}.{key}") from None


def _by_hand(name: str) -> UserError:
    return UserError(
        f"{SETTINGS_FILE}: {name} cannot be changed here, as the file is written.",
        "Change it in an editor.",
        ExitCode.USAGE,
    )


def _append(table: dict[str, object], key: str, value: TomlValue | Item) -> None:
    """Put a key behind the last one: comments after that one belong to what follows."""
    from tomlkit.items import Table

    body = table.value.body if isinstance(table, Table) else []
    last = max((at for at, (name, _) in enumerate(body) if name is not None), default=None)
    rest = body[last + 1 :] if last is not None else []
    if rest:
        del body[last + 1 if last is not None else 0 :]
    table[key] = value
    body.extend(rest)


def _faithful(text: str, new: str, expected: Mapping[str, object]) -> str:
    """``new``, if it says what it should, with every line of comment that was there.

    tomlkit keeps a file's looks; this keeps a user's file from whatever it may once get wrong.
    """
    try:
        said: dict[str, object] = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        said = {}
    if said != _without_empty(expected, said) or _comments(text) - _comments(new):
        raise _by_hand("this")
    if text.count("\n") == text.count("\r\n") > 0:
        return new.replace("\r\n", "\n").replace("\n", "\r\n")
    return new


def _comments(text: str) -> Counter[str]:
    return Counter(line.strip() for line in text.splitlines() if line.lstrip().startswith("#"))


def _without_empty(expected: Mapping[str, object], found: Mapping[str, object]) -> dict[str, object]:
    """A section that has lost its last value may be gone."""
    return {name: value for name, value in expected.items() if name in found or value != {}}


def _table(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def _plain(value: TomlValue | Item) -> object:
    unwrap = getattr(value, "unwrap", None)
    return unwrap() if callable(unwrap) else value
