"""What our screens have in common: how they take their size, and what is seen behind a dialog.

To open a screen takes many steps of work. Keys are heard between them: no step is long, and what need not be done is
not done (styles applied for a size that is not the screen's, a background worked out twice).
"""

from __future__ import annotations

import asyncio

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import on
from textual.app import RenderResult
from textual.color import Color
from textual.css.styles import RulesMap
from textual.events import Resize
from textual.geometry import Size
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen, Screen, ScreenResultType
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual

from hegelion_tui.widgets.bare import bare_lines

NO_STYLE = RichStyle()
BREATH = 0.001
"""Seconds of a pause: long enough for more than one turn of the event loop."""


class Room(Screen[None]):
    """A screen that fills the terminal."""

    render_lines = bare_lines

    # Textual declares these as instance variables, so a ClassVar here would contradict it.
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (40, "-narrow"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (12, "-short"), (32, "-tall")]  # noqa: RUF012

    def fit(self, size: Size) -> None:
        """Have the classes of a terminal of this size from the start: else all is styled once more after the layout."""
        for length, steps in ((size.width, self.HORIZONTAL_BREAKPOINTS), (size.height, self.VERTICAL_BREAKPOINTS)):
            self.add_class([name for least, name in steps if length >= least][-1], update=False)

    @on(Resize)
    async def _resized(self) -> None:
        await pause()
        self.call_later(self.call_after_refresh, self.show_resized)

    def show_resized(self) -> None:
        """Called when all has its place in a terminal of another size: adapt what depends on it."""


class Dialog(ModalScreen[ScreenResultType]):
    """A screen before another one, which is seen dimly behind it."""

    def render(self) -> RenderResult:  # type: ignore[override]
        behind = super().render()
        return Backdrop(behind.screen, behind.color) if isinstance(behind, BackgroundScreen) else behind

    @on(Resize)
    async def _listen(self) -> None:
        await pause()


class Backdrop(Visual):
    """What Textual shows behind a dialog, in a part of the time: a style is mixed once, not at each segment."""

    def __init__(self, screen: Screen[object], tint: Color) -> None:
        self._screen = screen
        self._tint = tint

    def render_strips(self, width: int, height: int | None, style: Style, options: RenderOptions) -> list[Strip]:
        base, mixed = style.rich_style, dict[RichStyle, RichStyle]()
        strips = []
        for strip in self._screen._compositor.render_strips()[:height]:
            segments = []
            for text, own, _ in strip.crop(0, width):
                bare = own.clear_meta_and_links() if own is not None else NO_STYLE
                if (shown := mixed.get(bare)) is None:
                    [segment] = BackgroundScreen.process_segments([Segment(text, bare)], self._tint)
                    shown = mixed[bare] = base + segment.style
                segments.append(Segment(text, shown))
            strips.append(Strip(segments))
        return strips

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return container_width

    def get_height(self, rules: RulesMap, width: int) -> int:
        return self._screen.size.height


async def pause() -> None:
    """Let others have their turn, the keyboard among them.

    Awaited before a screen is laid out for a new size: what came before it (its first layout) was a long step, too.
    """
    await asyncio.sleep(BREATH)
