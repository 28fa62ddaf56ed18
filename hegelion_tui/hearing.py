"""Whether teachers still say something: asked of the files, away from the event loop."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from hegelion_core.run_state import RunState
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import RunFolder, Workspace
from hegelion_tui.alerts import Silence, silences

SHARE = 0.5
"""Share of the silence after which a call is ended at which it is told: there is still time to do something."""
_USUAL = 300.0


def listen(place: Workspace, state: RunState, now: float) -> tuple[list[Silence], float]:
    """Generators that have heard nothing for half of the silence timeout, and that timeout in seconds."""
    limit = silence_timeout(RunFolder(Path(state.folder)))
    heard = {number: _written(place.generator_log(number)) for number, one in state.instances.items() if one.in_flight}
    return silences(state, heard, now, SHARE * limit), limit


def silence_timeout(run: RunFolder) -> float:
    """Seconds of silence after which a call of this run is ended; the default where its settings cannot be read."""
    with contextlib.suppress(OSError, *UNREADABLE):
        return msgspec.json.decode(run.settings.read_bytes(), type=_Settings).generation.silence_timeout
    return _USUAL


def _written(log: Path) -> float:
    try:
        return log.stat().st_mtime
    except OSError:
        return 0.0


class _Generation(msgspec.Struct):
    silence_timeout: float = _USUAL


class _Settings(msgspec.Struct):
    """What is read of a run's ``settings.json``; the rest of it is passed over."""

    generation: _Generation = msgspec.field(default_factory=_Generation)
