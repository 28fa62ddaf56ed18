"""The chart of step metrics. Its library (and numpy) is loaded when there is something to draw."""

from __future__ import annotations

import asyncio
import importlib
from typing import ClassVar, Protocol

from textual import work
from textual.app import ComposeResult
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from hegelion_core.run_state import RunState
from hegelion_tui.metrics import METRICS, Metric, Series, limits, thin
from hegelion_tui.widgets.pane import Pane

REDRAW = 0.5
"""Seconds between redraws, at the least."""
_MARGIN = 9


class Plot(Protocol):
    """What is used of ``textual_plot.PlotWidget``."""

    margin_top: int
    margin_bottom: int
    margin_left: int

    def clear(self) -> None: ...
    def plot(self, x: list[float], y: list[float], line_style: str, hires_mode: object) -> None: ...
    def scatter(self, x: list[float], y: list[float], marker: str, marker_style: str) -> None: ...
    def set_ylimits(self, ymin: float | None, ymax: float | None) -> None: ...


class ChartBody(Widget, can_focus=True):
    """The plot, or a line that says when there will be one."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--main", "chart--second", "chart--target"}

    def compose(self) -> ComposeResult:
        yield Static("The chart begins with the first training steps.", classes="empty", markup=False)


class ChartPane(Pane):
    """One metric at a time, live."""

    state: reactive[RunState] = reactive(RunState(), repaint=False)
    metric: reactive[Metric] = reactive(METRICS[0], repaint=False)

    def __init__(self, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__("chart", id)
        self._plot: Plot | None = None
        self._braille: object = None
        self._stale = False

    def compose(self) -> ComposeResult:
        yield ChartBody()

    def on_mount(self) -> None:
        self.set_interval(REDRAW, self.redraw)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._mark_stale())

    def on_resize(self) -> None:
        self._stale = True

    def next_metric(self) -> None:
        """Go to the next page, and draw it at once."""
        self.metric = METRICS[(METRICS.index(self.metric) + 1) % len(METRICS)]
        self.redraw()

    def watch_state(self, before: RunState, after: RunState) -> None:
        # Tuples of the fold are replaced, never changed: the same objects mean the same points.
        if before.steps is not after.steps or before.validations is not after.validations:
            self._mark_stale()
        if after.steps and not before.steps:
            self._load()

    def watch_metric(self) -> None:
        self._mark_stale()

    def redraw(self) -> None:
        """Draw, if something changed and it can be seen."""
        series = self.metric.series(self.state)
        self._show_title(series)
        width = self.query_one(ChartBody).size.width - _MARGIN
        if self._plot is None or not self._stale or width < 1:
            return
        self._stale = False
        self._plot.clear()
        self._plot.set_ylimits(*(limits(series) or (None, None)))
        for one in series:
            self._draw(self._plot, one, width)

    def _draw(self, plot: Plot, series: Series, width: int) -> None:
        points = thin(series.points, width)
        xs, ys = [x for x, _ in points], [y for _, y in points]
        style = str(self.query_one(ChartBody).get_component_rich_style(f"chart--{series.role}"))
        if len(points) > 1:
            plot.plot(xs, ys, line_style=style, hires_mode=self._braille)
        if points and (len(points) == 1 or series.role == "second"):
            plot.scatter(xs, ys, marker="◆", marker_style=style)

    def _mark_stale(self) -> None:
        self._stale = True

    def _show_title(self, series: list[Series]) -> None:
        styles = {"main": "$accent", "second": "$primary", "target": "$success"}
        parts: list[str | tuple[str, str]] = [self.metric.name + (f" ({self.metric.unit})" if self.metric.unit else "")]
        for one in series:
            if one.points:
                parts += ["  ", ("━ ", styles[one.role]), f"{one.label} {one.points[-1][1]:.4g}"]
        self.border_title = Content.assemble(*parts)
        self.border_subtitle = Content(f"x: {METRICS[(METRICS.index(self.metric) + 1) % len(METRICS)].name}")

    @work
    async def _load(self) -> None:
        # 0.3 s of imports, beside the event loop.
        library = await asyncio.to_thread(importlib.import_module, "textual_plot")
        body = self.query_one(ChartBody)
        await body.remove_children()
        plot = library.PlotWidget(allow_pan_and_zoom=False)
        plot.can_focus = False  # its own keys would hide ours
        await body.mount(plot)
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 1, _MARGIN
        self._plot, self._braille = plot, library.HiResMode.BRAILLE
        self._stale = True
        self.call_after_refresh(self.redraw)
