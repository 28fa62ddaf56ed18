"""What a setting takes, in words. Pure: the JSON schema of a field in, plain English out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.redaction import MARK, Redactor

Kind = Literal["text", "path", "whole number", "number", "yes or no", "choice", "list"]
_KINDS: dict[str, Kind] = {"integer": "whole number", "number": "number", "boolean": "yes or no", "array": "list"}


class Wanted(msgspec.Struct, frozen=True, rename="camel"):
    """What a value has to be: the part of a field's JSON schema that settings use."""

    type: str = "string"
    format: str = ""
    words: str = ""
    """Ours, where the schema cannot say it."""
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    min_length: int = 0
    any_of: tuple[Wanted, ...] = ()

    @property
    def optional(self) -> bool:
        """Whether it may be left without a value."""
        return any(part.type == "null" for part in self.any_of)

    @property
    def some(self) -> Wanted:
        """What it has to be if it has a value."""
        return next((part for part in self.any_of if part.type != "null"), self)

    @property
    def kind(self) -> Kind:
        if self.some.enum:
            return "choice"
        return "path" if self.some.format == "path" else _KINDS.get(self.some.type, "text")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that there are, if they can be counted."""
        return ("true", "false") if self.kind == "yes or no" else self.some.enum


def wanted(schema: Mapping[str, object]) -> Wanted:
    """Read a field's JSON schema."""
    return msgspec.convert(schema, Wanted)


def describe(value: Wanted) -> str:
    """As in 'a whole number from 1 to 64'."""
    some = value.some
    if some.words:
        return some.words
    match value.kind:
        case "choice":
            *others, last = [repr(choice) for choice in some.enum]
            return f"{', '.join(others)} or {last}" if others else last
        case "yes or no":
            return "true or false"
        case "path":
            return "a path"
        case "text":
            return "a text that is not empty" if some.min_length else "a text"
        case "list":
            return "a list"
        case kind:
            return f"a {kind}{_range(some)}"


def _range(value: Wanted) -> str:
    low, high = value.minimum, value.maximum
    above, below = value.exclusive_minimum, value.exclusive_maximum
    if low is not None and high is not None:
        return f" from {_figure(low)} to {_figure(high)}"
    if low is not None:
        return f" from {_figure(low)} to below {_figure(below)}" if below is not None else f", {_figure(low)} or more"
    parts = [
        f"{word} {_figure(bound)}"
        for word, bound in (("above", above), ("below", below), ("up to", high))
        if bound is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""


def _figure(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


@dataclass(frozen=True)
class Setting:
    """What a setting is."""

    section: str
    key: str
    meaning: str
    wanted: Wanted
    default: object

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def words(self) -> str:
        """What it takes, as in 'a whole number from 1 to 64'."""
        return describe(self.wanted)


def refusal(setting: Setting, value: object, needed: str = "", where: str = "") -> UserError:
    """A value that is not valid: what is ``needed`` in its place, and what the setting means."""
    near = difflib.get_close_matches(str(value), setting.wanted.choices, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"It means: {setting.meaning}."
    message = f"{where}{setting.name} must be {needed or setting.words}, not {_shown(value)}."
    return UserError(message, hint, ExitCode.USAGE)


def _shown(value: object) -> str:
    """A value that is not valid, without credentials: one may stand in the wrong place."""
    return Redactor({})(_USER.sub(f"{MARK}@", repr(value)))[:80]


_USER = re.compile(r"(?:(?<=://).*|(?<![^\s'\"])[^\s'\"/]*:[^\s'\"/]*)@")
"""What stands before the host in an address, whole or without its beginning."""
