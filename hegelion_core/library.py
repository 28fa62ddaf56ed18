"""For programs that use the core as a library: a workspace is opened, worked in, and let go."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from hegelion_core.again import Kind
from hegelion_core.core import Core
from hegelion_core.service import Service
from hegelion_core.settings import Settings, resolve
from hegelion_core.workspace import Workspace


@contextlib.asynccontextmanager
async def open_workspace(
    folder: str | Path = ".",
    settings: Mapping[str, object] | None = None,
    *,
    kind: Kind = "run-all",
    demo: bool = False,
    new: bool = False,
) -> AsyncIterator[Core]:
    """Hold a core in this process: the run that these settings identify, new or where it was.

    At the end, whatever ended it, the work is stopped cleanly. Meanwhile a console, ``--status`` and ``stop`` in other
    terminals find this core.

    Args:
        folder: the workspace; everything lives below its ``artifacts/``.
        settings: ``section.name`` to value, over ``hegelion.toml`` and the environment, as flags are.
        kind: what the run is for; it is part of the run's identity.
        demo: as ``--demo``.
        new: as ``--new``: begin afresh, and keep earlier results in the earlier run's folder.

    Raises:
        UserError: a setting is not valid, another core is at work in this workspace, or it cannot be written.
    """
    place, resolved = _prepared(folder, settings or {}, demo=demo)
    async with open_core(place, resolved, kind, new=new) as core:
        yield core


@contextlib.asynccontextmanager
async def open_core(place: Workspace, settings: Settings, kind: Kind, *, new: bool = False) -> AsyncIterator[Core]:
    """A core in this process that other processes find.

    Raises:
        UserError: another core is at work in this workspace, or it cannot be written.
    """
    core = await Core.open(place, settings, kind, new=new)
    service = Service(core)
    try:
        await service.open()
        yield core
    finally:
        await service.close()
        await core.close()


def _prepared(folder: str | Path, settings: Mapping[str, object], *, demo: bool) -> tuple[Workspace, Settings]:
    place = Workspace(Path(folder).resolve(), demo)
    return place, resolve(place.root, settings, demo=demo).settings
