"""Where settings come from: ``hegelion.toml`` and the environment, as they are written. Light: no pydantic."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.regular import read_regular

Source = Literal["default", "file", "environment", "demo", "flag"]
SETTINGS_FILE = "hegelion.toml"
ENVIRONMENT_PREFIX = "HEGELION_"
KEYS = "keys"
"""The table of the file that belongs to the console alone: names of actions to keys."""


def read_text(path: Path) -> str:
    """The settings file as it is, line ends included; nothing where there is none.

    Raises:
        UserError: it cannot be read, or is no file.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path.name}: is no regular file.", "Remove it, or make it one.", ExitCode.USAGE)
    try:
        return read_regular(path).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name}: cannot be read ({error}).", "Check the file.", ExitCode.USAGE) from None


def parse(text: str) -> dict[str, object]:
    """The tables of a settings file.

    Raises:
        UserError: it is not valid TOML, and where.
    """
    try:
        return dict(tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # also a number or a nesting without end
        raise UserError(f"{SETTINGS_FILE}: not valid TOML: {error}.", "Mend that line.", ExitCode.USAGE) from None


def flatten(tables: Mapping[str, object]) -> dict[str, object]:
    """``section.name`` to value; what stands outside any section keeps its bare name. Without the keys."""
    values: dict[str, object] = {}
    for section, content in tables.items():
        if not isinstance(content, dict):
            values[section] = content
        elif section != KEYS:
            values.update({f"{section}.{name}": value for name, value in content.items()})
    return values


def from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    """``section.name`` to value, of the variables ``HEGELION_SECTION__NAME``."""
    values: dict[str, object] = {}
    for variable, value in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and "__" in variable:
            section, _, name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
            values[f"{section}.{name}"] = value
    return values


def variable(name: str) -> str:
    """The environment variable of the setting ``section.name``."""
    section, _, key = name.partition(".")
    return f"{ENVIRONMENT_PREFIX}{section}__{key}".upper()
