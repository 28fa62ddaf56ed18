"""What a fuzz target is, and what its input looks like to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_INPUT = 64 << 10
"""Bytes of an input."""
SPLIT = b"\n\xff\xfe\n"
"""Stands between the parts of an input that has several; neither a text nor JSON holds it."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Target:
    """Something that is fed with bytes. It returns; whatever it raises is a defect."""

    feed: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    """Inputs to begin with: what the real thing looks like."""


def parts(data: bytes, count: int) -> list[bytes]:
    """The parts of an input; those that are not there are empty."""
    found = data.split(SPLIT, count - 1)
    return found + [b""] * (count - len(found))


def text_of(data: bytes) -> str:
    """Bytes as a program's output may hold them: what is not UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def holds_controls(text: str) -> bool:
    """Whether a text holds what neither an answer nor a terminal should get; line feeds and tabs are none."""
    return _CONTROLS.search(text) is not None


def steers(text: str) -> bool:
    """Whether a text would steer a terminal: ``holds_controls``, or it turns the direction of the line."""
    return holds_controls(text) or _TURNING.search(text) is not None
