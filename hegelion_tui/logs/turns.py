"""Whose turn it is: panes look at their logs one after the other, and whoever presses keys goes before them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

BREATH = 0.001
"""Seconds between two panes: more than one turn of the event loop."""
HELD = 0.3
"""Seconds after a key for which it counts as being pressed: keys that are held come faster."""


class Turns:
    """Shared by the panes of a screen."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._last_key = float("-inf")

    def key_pressed(self) -> None:
        """A key has come."""
        self._last_key = time.monotonic()

    @property
    def keys_come(self) -> bool:
        """Whether someone is pressing keys."""
        return time.monotonic() - self._last_key < HELD

    @contextlib.asynccontextmanager
    async def mine(self) -> AsyncGenerator[None, None]:
        """Wait until no other pane is at it; what has come meanwhile, keys above all, is heard before the next."""
        async with self._lock:
            yield
            await asyncio.sleep(BREATH)
