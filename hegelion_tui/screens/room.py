"""What our screens have in common: how they take their size, and what is seen behind a dialog.

To open a screen is the longest work of the event loop, so nothing of it is done twice: no styles for a size that is
not the terminal's, no second layout for the size that it has already, no background worked out at each segment.
"""

from __future__ import annotations

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


class Room(Screen[None]):
    """A screen that fills the terminal."""

    render_lines = bare_lines

    # Textual declares these as instance variables, so a ClassVar here would contradict it.
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (40, "-narrow"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (12, "-short"), (32, "-tall")]  # noqa: RUF012

    def fit(self, size: Size) -> None:
        """Have the classes of a terminal of this size from the start."""
        for length, steps in ((size.width, self.HORIZONTAL_BREAKPOINTS), (size.height, self.VERTICAL_BREAKPOINTS)):
            self.add_class([name for least, name in steps if length >= least][-1], update=False)
        self._fitted = size

    _fitted: Size | None = None

    @on(Resize)
    def _resized(self, event: Resize) -> None:
        if event.size == self._fitted and has_laid_out(self, event.size):
            event.prevent_default()
        self._fitted = None
        self.call_later(self.call_after_refresh, self.show_resized)

    def show_resized(self) -> None:
        """Called when all has its place in a terminal of another size: adapt what depends on it."""


class Dialog(ModalScreen[ScreenResultType]):
    """A screen before another one, which is seen dimly behind it."""

    def render(self) -> RenderResult:  # type: ignore[override]
        behind = super().render()
        return Backdrop(behind.screen, behind.color) if isinstance(behind, BackgroundScreen) else behind

    @on(Resize)
    def _resized(self, event: Resize) -> None:
        if has_laid_out(self, event.size):
            event.prevent_default()


class Backdrop(Visual):
    """What Textual shows behind a dialog, in a part of the time: a style is mixed once, not at each segment."""

    def __init__(self, screen: Screen[ScreenResultType], tint: Color) -> None:
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


def has_laid_out(screen: Screen[ScreenResultType], size: Size) -> bool:
    """Whether all has its place already for this size: Textual lays a new screen out, and then tells it its size."""
    return screen._compositor.size == size
