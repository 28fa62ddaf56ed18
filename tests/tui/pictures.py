"""The pictures of the documentation: ``make pictures``. They show the recorded run, moment by moment.

One line a picture: its file in ``docs/pictures``, the scene, the size, and the theme if it isn't the dark one.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.tui.picture import picture
from tests.tui.scenes import BY_NAME, played
from tests.tui.screen_text import until_shown
from tests.tui.test_screens import settled

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
PICTURES: tuple[tuple[str, str, tuple[int, int], str], ...] = (
    ("generating", "generating", (130, 38), ""),
    ("training", "training", (130, 42), ""),
    ("light", "training", (130, 42), "hegelion-light"),
    ("terminal", "training", (130, 42), "hegelion-terminal"),
    ("chart", "chart", (110, 30), ""),
    ("log", "log-search", (110, 30), ""),
    ("samples", "samples", (130, 34), ""),
    ("compare", "compare", (130, 34), ""),
    ("edit", "sample-edit", (110, 30), ""),
    ("settings", "settings", (130, 30), ""),
    ("checklist", "checklist", (110, 30), ""),
    ("question", "question", (110, 30), ""),
    ("small", "generating", (60, 20), ""),
    ("ended", "ended", (130, 42), ""),
)


async def main() -> None:
    """Make them all anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, scene, size, theme in PICTURES:
        with tempfile.TemporaryDirectory() as folder:
            async with played(BY_NAME[scene], Path(folder), size, theme) as pilot:
                await until_shown(pilot, *BY_NAME[scene].shows)
                text = await settled(pilot, lambda pilot: picture(pilot.app, "hegelion-console"))
        path = FOLDER / f"{name}.svg"
        path.write_text(text)
        print(f"{path.relative_to(FOLDER.parents[1])}  {len(text) / 1024:.0f} KiB")


if __name__ == "__main__":
    asyncio.run(main())
