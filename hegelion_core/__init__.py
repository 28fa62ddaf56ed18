"""The core of hegelion-console: an asyncio library that knows no screen. Here are its public names.

Each is imported when it is used first: the command line must not wait for what it does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hegelion_core.client import Client as Client
    from hegelion_core.commands.words import describe as describe
    from hegelion_core.core import Core as Core
    from hegelion_core.errors import ExitCode as ExitCode
    from hegelion_core.errors import UserError as UserError
    from hegelion_core.event_log import replay as replay
    from hegelion_core.events import STAGES as STAGES
    from hegelion_core.glance import Onlooker as Onlooker
    from hegelion_core.library import open_workspace as open_workspace
    from hegelion_core.operations import Operations as Operations
    from hegelion_core.run_state import RunState as RunState
    from hegelion_core.settings import Settings as Settings
    from hegelion_core.settings import resolve as resolve
    from hegelion_core.workspace import Workspace as Workspace

__version__ = "0.1.0"

_ROOMS = {
    "Client": "client",
    "Core": "core",
    "ExitCode": "errors",
    "Onlooker": "glance",
    "Operations": "operations",
    "RunState": "run_state",
    "STAGES": "events",
    "Settings": "settings",
    "UserError": "errors",
    "Workspace": "workspace",
    "describe": "commands.words",
    "open_workspace": "library",
    "replay": "event_log",
    "resolve": "settings",
}
"""Each public name, and the module in which it is."""


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return [*_ROOMS, "__version__"]
