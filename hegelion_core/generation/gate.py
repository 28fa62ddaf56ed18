"""Lets the calls of dialogues through at the pace: as many at once as it allows, none while it waits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from hegelion_core.generation.pacing import Pace


class Gate:
    """One gate for all calls that share a pace."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._inside = 0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait until one more call may begin; inside, it is counted."""
        async with self._changed:
            while (wait := self._pace.wait(self._inside, time.monotonic())) != 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            async with self._changed:
                self._changed.notify_all()
