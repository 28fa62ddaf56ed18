"""Of what a training file was made, noted beside it: whoever would make the same sees that it is there.

``.<name>.made`` is a cache. Without it, or if a file has changed since, the rows are made again, which does no harm.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.conversion.rows import Tally
from hegelion_core.dialectic import contract
from hegelion_core.events import RowsConverted
from hegelion_core.generation.decisions import decisions_path
from hegelion_core.regular import read_regular
from hegelion_core.settings import Settings
from hegelion_core.unreadable import UNREADABLE


class _Made(msgspec.Struct, frozen=True):
    key: str
    digest: str
    """Of the training file."""
    rows: int
    skipped: dict[str, int]


def key_of(source: Path, settings: Settings) -> str:
    """The hash of what rows of ``source`` would be made of now.

    Raises:
        OSError: it cannot be read.
    """
    decisions = decisions_path(source)
    parts = (
        settings.conversion.template,
        settings.training.model,
        contract.fingerprint(),
        workspace.sha256(source),
        workspace.sha256(decisions) if decisions.exists() else "",
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def note(target: Path, made_of: str, tally: Tally) -> None:
    """Write down of what ``target`` has just been made; ``made_of``: the ``key_of`` from before."""
    made = _Made(made_of, workspace.sha256(target), tally.rows, dict(tally.skipped))
    workspace.replace(_note(target), msgspec.json.encode(made))


def recall(source: Path, target: Path, settings: Settings) -> RowsConverted | None:
    """What a conversion of ``source`` into ``target`` would report, if it would change nothing; otherwise nothing."""
    try:
        made = msgspec.json.decode(read_regular(_note(target)), type=_Made)
        if made.digest != workspace.sha256(target) or made.key != key_of(source, settings):
            return None
    except (OSError, *UNREADABLE):
        return None
    return RowsConverted(rows=made.rows, skipped=made.skipped, path=str(target), template=settings.conversion.template)


def _note(target: Path) -> Path:
    return target.with_name(f".{target.name}.made")
