"""What a training must have made when it says that it is done."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import sha256
from tests.fakes import training_runs
from tests.faults.place import Place


class _Manifest(msgspec.Struct):
    files: dict[str, str]


def training_faults(place: Place) -> list[str]:
    """Where it differs from what the undisturbed training made, to the byte; nothing where that is being made.

    A trainer that is asked to stop saves where it is: so the checkpoint before the last may be of another step.
    """
    expected, left = place.stock.training, training_left(place)
    if not expected:
        return []
    steps = [_checkpoints(made) for made in (expected, left)]
    apart = steps[0] ^ steps[1]
    names = sorted(
        name
        for name in expected.keys() | left.keys()
        if expected.get(name) != left.get(name) and name.partition("/")[0] not in apart
    )
    faults = [f"not those of the undisturbed training: {names}; strays: {left.get('strays')}"] if names else []
    if len(steps[1]) < len(steps[0]):
        faults.append(f"checkpoints are missing: there are {sorted(steps[1])}")
    return [*faults, *_damaged(place)]


def training_left(place: Place) -> dict[str, object]:
    """All that a training made, as far as it repeats; empty if it made nothing."""
    try:
        (folder,) = place.runs.iterdir()
        return training_runs.left_behind(folder, place.adapter)
    except (OSError, ValueError):
        return {}


def _checkpoints(made: dict[str, object]) -> set[str]:
    return {name.partition("/")[0] for name in made if name.startswith("step-")}


def _damaged(place: Place) -> list[str]:
    """Checkpoints whose manifest does not hold; those that are kept are there to be gone on from."""
    return [
        f"{path.name} is damaged" for path in sorted(place.runs.glob("*/checkpoints/step-*")) if not _is_whole(path)
    ]


def _is_whole(checkpoint: Path) -> bool:
    try:
        manifest = msgspec.json.decode((checkpoint / "manifest.json").read_bytes(), type=_Manifest)
        return all(sha256(checkpoint / name) == digest for name, digest in manifest.files.items())
    except (OSError, *UNREADABLE):
        return False
