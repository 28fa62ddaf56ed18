"""Prompts whose kind is known: those that come with the package, and two sets written for tests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from hegelion_core.workspace import PACKAGE

DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True)
class KnownPrompt:
    """A prompt and the kind of task that it is; empty for one that can be argued."""

    text: str
    kind: str = ""

    @property
    def held_out(self) -> bool:
        """Whether it is in the half on which rules were never tuned; follows from its text alone."""
        return hashlib.sha256(self.text.encode()).digest()[0] % 2 == 1


def read(path: Path) -> list[KnownPrompt]:
    """The prompts of a file, in order."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [KnownPrompt(row.get("prompt") or row["text"], row.get("kind", "")) for row in rows]


def bundled() -> list[KnownPrompt]:
    return read(PACKAGE / "generation" / "bundled_prompts.jsonl")


def evaluation() -> list[KnownPrompt]:
    return read(PACKAGE / "evaluation" / "bundled_prompts.jsonl")


def arguable() -> list[KnownPrompt]:
    return read(DATA / "arguable_prompts.jsonl")


def unarguable() -> list[KnownPrompt]:
    return read(DATA / "unarguable_prompts.jsonl")
