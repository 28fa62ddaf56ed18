"""All targets, by name."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.fuzz.of_files import file_targets
from tests.hostile.fuzz.of_texts import text_targets
from tests.hostile.fuzz.target import Target


def make_targets(folder: Path) -> dict[str, Target]:
    """By name. ``folder`` is theirs: whatever they write lies in it."""
    return {**text_targets(), **file_targets(folder)}
