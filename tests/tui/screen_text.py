"""What a person would read on a screen under test, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from textual.pilot import Pilot

from hegelion_tui.app import ConsoleApp

ReturnType = TypeVar("ReturnType")


def text_of(app: ConsoleApp) -> str:
    """The screen as text, a line a row."""
    rows = app.screen._compositor.render_strips(app.size)
    return "\n".join(row.text.rstrip() for row in rows)


async def until(pilot: Pilot[ReturnType], holds: Callable[[], bool], patience: float = 10, every: float = 0.01) -> None:
    """Return as soon as ``holds()`` is true, which is looked at ``every`` so many seconds; fails after ``patience``."""
    async with asyncio.timeout(patience):
        while not holds():
            await pilot.pause(every)


async def until_shown(pilot: Pilot[int], *wanted: str) -> str:
    """The screen's text as soon as it holds everything that is ``wanted``."""
    app = pilot.app
    assert isinstance(app, ConsoleApp)
    try:
        await until(pilot, lambda: all(text in text_of(app) for text in wanted))
    except TimeoutError:
        missing = [text for text in wanted if text not in text_of(app)]
        raise AssertionError(f"not on the screen: {missing}\n{text_of(app)}") from None
    return text_of(app)
