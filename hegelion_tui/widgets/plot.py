"""``textual_plot`` as the chart needs it. It imports numpy: ``chart`` loads this room when there is what to draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual_hires_canvas import Canvas
from textual_plot import PlotWidget
from textual_plot.axis_formatter import AxisFormatter
from textual_plot.plot_widget import Legend, LinePlot

from hegelion_core.ticks import Tick
from hegelion_tui.axes import Axis
from hegelion_tui.braille import line_cells
from hegelion_tui.messages import StepPointed, WheelTurned
from hegelion_tui.metrics import Role, Series
from hegelion_tui.widgets.bare import BareGrid

MARGIN = 9
"""Cells left of the plot, for the labels of its marks."""
FRAME = 2
"""Cells of the plot that its frame takes."""

_LIGHT = str.maketrans("┏┗━┃┣┫╋┳┻┛", "│└─│├┤┼┬┴─")


class _Marks(AxisFormatter):
    """Hands our own marks to the library."""

    def __init__(self, ticks: Sequence[Tick]) -> None:
        self._ticks = ticks

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        return [tick.at for tick in self._ticks]

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [tick.label for tick in self._ticks]


class _Canvas(Canvas):
    """Repaints only the rows that a drawing changed: of a long training, a new step changes few or none."""

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """What is drawn meanwhile is repainted in the end."""
        before = list(
            zip(self._buffer, self._styles, strict=True)
        )  # clearing makes new rows, so these stay as they are
        self._refreshes_pending += 1
        try:
            yield
        finally:
            self._refreshes_pending -= 1
        now = list(zip(self._buffer, self._styles, strict=True))
        if len(now) != len(before):
            self.refresh()
        elif changed := [y for y, (old, new) in enumerate(zip(before, now, strict=True)) if old != new]:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    _own_style: Style | None = None

    @property
    def rich_style(self) -> Style:
        """Asked for at each line; worked out only after styles have changed."""
        if self._own_style is None:
            self._own_style = super().rich_style
        return self._own_style

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._own_style = None

    def render_line(self, y: int) -> Strip:
        # Before it knows its size the library gives a strip without a style, which NO_COLOR's filter cannot bear.
        strip = super().render_line(y)
        return strip if strip.cell_length else Strip.blank(self.size.width, self.rich_style)


class Plot(PlotWidget, inherit_bindings=False, can_focus=False):
    """Draws pictures, and tells where the pointer is."""

    def __init__(self) -> None:
        super().__init__(allow_pan_and_zoom=False)
        self.set_reactive(PlotWidget.margin_top, 0)
        self.set_reactive(PlotWidget.margin_bottom, 1)
        self.set_reactive(PlotWidget.margin_left, MARGIN)

    def compose(self) -> ComposeResult:
        # The library's own parts, by the names by which it knows them.
        with BareGrid():
            yield from (_Canvas(1, 1, id=name) for name in ("margin-top", "margin-left", "plot", "margin-bottom"))
        yield Legend(id="legend")

    @property
    def columns(self) -> int:
        """Columns that there are for data."""
        return max(1, self.size.width - MARGIN - FRAME)

    @property
    def rows(self) -> int:
        """Rows that there are for data."""
        return max(1, self.size.height - 1 - FRAME)

    def draw(
        self,
        series: Sequence[Series],
        *,
        x: Axis,
        y: Axis,
        styles: Mapping[Role, str],
        cursor: tuple[float, str] | None,
    ) -> None:
        """Show these series, from back to front, in place of what was shown.

        Args:
            series: what to show.
            x: steps.
            y: values.
            styles: Rich styles of the lines.
            cursor: a step at which a line stands, and its style.
        """
        self.clear()
        self.set_xlimits(x.low, x.high)
        self.set_ylimits(y.low, y.high)
        self.set_x_formatter(_Marks(x.ticks(max(2, self.columns // 12))))
        self.set_y_formatter(_Marks(y.ticks(max(2, self.rows // 2))))
        for one in series:
            self._add(one, styles[one.role])
        if cursor is not None and x.low <= cursor[0] <= x.high:
            self.add_v_line(*cursor)
        self.render()

    def _add(self, one: Series, style: str) -> None:
        xs, ys = [x for x, _ in one.points], [y for _, y in one.points]
        if len(xs) > 1:
            self.plot(xs, ys, line_style=style)
        if len(xs) == 1 or (one.role == "second" and len(xs) <= self.columns // 4):
            self.scatter(xs, ys, marker="◆", marker_style=style)

    def _rerender(self) -> None:
        self._needs_rerender = True  # and no repaint of the whole: ``draw`` renders, and the canvases know what changed

    def _render_plot(self) -> None:
        with ExitStack() as stack:
            for canvas in self.query(_Canvas):
                stack.enter_context(canvas.drawing())
            super()._render_plot()
            self._calm_frame(self.query_one("#plot", Canvas))

    def _render_line_plot(self, dataset: LinePlot) -> None:
        # The library sets dot by dot, which takes a tenth of a second for a noisy curve; here all are set at once.
        canvas, area = self.query_one("#plot", Canvas), self._scale_rectangle
        xs = (dataset.x - self._x_min) / (self._x_max - self._x_min) * area.width
        ys = (self._y_max - dataset.y) / (self._y_max - self._y_min) * area.height
        cells = line_cells(xs, ys, area.width, area.height)
        for row, column in zip(*cells.nonzero(), strict=True):
            code = int(cells[row, column])
            canvas.set_pixel(area.x + int(column), area.y + int(row), chr(0x2800 + code), dataset.line_style)

    def _calm_frame(self, canvas: Canvas) -> None:
        """The library draws a heavy frame all round; two thin axes are enough."""
        right, bottom = canvas.size.width - 1, canvas.size.height - 1
        for x in range(right + 1):
            canvas.set_pixel(x, 0, " ", "")
            self._lighten(canvas, x, bottom)
        for y in range(bottom + 1):
            canvas.set_pixel(right, y, " ", "")
            self._lighten(canvas, 0, y)

    def _lighten(self, canvas: Canvas, x: int, y: int) -> None:
        char, style = canvas.get_pixel(x, y)
        canvas.set_pixel(x, y, char.translate(_LIGHT), style)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._turned(event, up=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._turned(event, up=False)

    def on_click(self, event: events.Click) -> None:
        if (step := self._step_at(event)) is not None:
            self.post_message(StepPointed(step))

    def _turned(self, event: events.MouseEvent, *, up: bool) -> None:
        event.stop()
        event.prevent_default()
        if (step := self._step_at(event)) is not None:
            self.post_message(WheelTurned(up, step))

    def _step_at(self, event: events.MouseEvent) -> float | None:
        offset = event.get_content_offset(self)
        column = offset.x - MARGIN if offset is not None else -1
        if not 0 <= column - 1 < self.columns:
            return None
        step, _ = self.get_coordinate_from_pixel(column, 0)
        return step
