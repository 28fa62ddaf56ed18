"""The chart of step metrics. What draws it (and numpy) is loaded when there is something to draw."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from hegelion_core.commands.text import printable
from hegelion_core.curves import Batch, Curves, EarlierRun, MetricsFile, add_baseline, earlier_runs, of_state
from hegelion_core.run_state import RunState
from hegelion_core.ticks import linear_ticks, log_ticks
from hegelion_core.workspace import Workspace
from hegelion_tui import metrics
from hegelion_tui.actions import CHART_ACTIONS
from hegelion_tui.axes import Axis, View
from hegelion_tui.messages import StepPointed, WheelTurned
from hegelion_tui.metrics import METRICS, SMOOTHING, Earlier, Metric, Role, Series
from hegelion_tui.screens.choice import Choice
from hegelion_tui.themes import rich_style
from hegelion_tui.widgets.bare import bare_lines
from hegelion_tui.widgets.pane import Pane

if TYPE_CHECKING:
    from hegelion_tui.widgets.plot import Plot

READ = 0.5
"""Seconds between looks at the metrics, and so between redraws for what is new."""
FASTEST = 0.1
"""Seconds between redraws while someone holds a key down."""
ZOOM, PAN = 2 / 3, 1 / 4
"""How much fewer steps a zoom shows; by how much of the window a pan goes."""
NOTHING_YET = (
    "No step yet. From the first training step on, the loss of every step is drawn here, with the validation loss; "
    "x turns to S with its target, λ, DataBPT and ParamBPT."
)
_NO_OVERLAY = "-none"
STYLES: dict[Role, str] = {  # in the order of the legend
    "main": "$accent",
    "raw": "dim $accent",
    "second": "$primary",
    "target": "$success",
    "earlier": "$secondary",
}


class ChartBody(Widget, can_focus=True):
    """Legend and plot, or what will come."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--cursor"}
    render_lines = bare_lines

    def compose(self) -> ComposeResult:
        yield Static(NOTHING_YET, classes="empty", markup=False)
        yield Static(classes="legend", markup=False)


class ChartPane(Pane):
    """One metric at a time, read from the run's metrics file while it can be seen."""

    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in CHART_ACTIONS]

    state: reactive[RunState] = reactive(RunState(), repaint=False)
    metric: reactive[Metric] = reactive(METRICS[0], repaint=False)
    view: reactive[View] = reactive(View(), repaint=False)
    smoothing: reactive[float] = reactive(SMOOTHING[1], repaint=False)
    logarithmic: reactive[bool] = reactive(False, repaint=False)
    cursor: reactive[float | None] = reactive(None, repaint=False)
    """The step whose values are told."""

    def __init__(self, place: Workspace, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__("chart", id)
        self._place = place
        self._read_from_file = Curves()
        self._told_by_state = Curves()
        self._earlier: Earlier | None = None
        self._plot: Plot | None = None
        self._wanted = False
        """Whether the plot was asked for; loading it takes a moment."""
        self._titles = ("", "")
        self._stale = True
        self._timer: Timer | None = None
        self._drawn_at = 0.0

    # What is drawn

    @property
    def curves(self) -> Curves:
        """Those of the metrics file, or without it those of the reported steps."""
        return self._read_from_file or self._told_by_state

    @property
    def steps(self) -> tuple[float, float]:
        """The first and the last step there is, of an earlier run where this one has none yet; 0 without any."""
        return metrics.bounds(self.curves or (self._earlier.curves if self._earlier else self.curves))

    def compose(self) -> ComposeResult:
        yield ChartBody()

    def on_mount(self) -> None:
        self._follow_file()
        self.app.theme_changed_signal.subscribe(self, lambda _: self._changed())

    def on_resize(self) -> None:
        self._changed()

    def on_show(self) -> None:
        self._changed()

    def watch_state(self, before: RunState, after: RunState) -> None:
        if before.run_id != after.run_id:
            self._read_from_file, self._earlier = Curves(), None
            self.view, self.cursor = View(), None
            self._follow_file()
        # Tuples of the fold are replaced, never changed: the same objects mean the same points.
        if before.steps is not after.steps or before.validations is not after.validations:
            self._told_by_state = of_state(after)
            self._stale = True

    @work(exclusive=True, group="metrics")
    async def _follow_file(self) -> None:
        """Read what is new twice a second, beside the event loop, while it can be seen; draw if there was any."""
        if not self.state.run_id:
            return
        file = MetricsFile(self._place.run(self.state.run_id).metrics)
        while True:
            if self.is_on_screen:
                await self.update_from(file)
            await asyncio.sleep(READ)

    async def update_from(self, file: MetricsFile) -> None:
        """Read what is new in a file, beside the event loop, and draw it."""
        batch: Batch | None = None
        with contextlib.suppress(OSError):  # the reported steps are drawn meanwhile; the next look may succeed
            batch = await asyncio.to_thread(file.read)
        if batch is not None:
            if batch.anew or not self._read_from_file:
                self._read_from_file = batch.curves
            else:
                self._read_from_file.extend(batch.curves)
            self._stale = True
        self.redraw()

    # What a person does

    def next_metric(self) -> None:
        """Go to the next page."""
        self.metric = METRICS[(METRICS.index(self.metric) + 1) % len(METRICS)]

    def action_zoom_in(self) -> None:
        self.view = self.view.zoomed(ZOOM, *self.steps, self.cursor)

    def action_zoom_out(self) -> None:
        self.view = self.view.zoomed(1 / ZOOM, *self.steps, self.cursor)

    def action_earlier_steps(self) -> None:
        self.view = self.view.panned(-PAN, *self.steps)

    def action_later_steps(self) -> None:
        self.view = self.view.panned(PAN, *self.steps)

    def action_next_mode(self) -> None:
        if any(self.steps):
            self.view = self.view.next_mode(*self.steps)

    def action_toggle_log(self) -> None:
        self.logarithmic = not self.logarithmic

    def action_next_smoothing(self) -> None:
        self.smoothing = SMOOTHING[(SMOOTHING.index(self.smoothing) + 1) % len(SMOOTHING)]

    def action_cursor_back(self) -> None:
        self._move_cursor(-1)

    def action_cursor_on(self) -> None:
        self._move_cursor(1)

    def _move_cursor(self, columns: int) -> None:
        if not self.curves:
            return
        first, last = self.view.window(*self.steps)
        a_column = max(1.0, (last - first) / (self._plot.columns if self._plot is not None else 1))
        at = self.cursor if self.cursor is not None else last
        self.cursor = min(max(at + columns * a_column, first), last)

    def action_clear_cursor(self) -> None:
        self.cursor = None

    @work(exclusive=True, group="overlay")
    async def action_choose_overlay(self) -> None:
        """Ask which earlier run to draw behind this one."""
        runs = await asyncio.to_thread(earlier_runs, self._place.runs, self.state.run_id)
        if not runs:
            self.notify("There is none with metrics in this workspace yet.", title="No earlier run to compare with.")
            return
        options = [(run.run_id, _option(run)) for run in runs]
        options.append((_NO_OVERLAY, Content("none")))
        chosen = await self.app.push_screen_wait(Choice("Compare with an earlier run", options))
        if chosen == _NO_OVERLAY:
            self._earlier = None
        elif (run := next((run for run in runs if run.run_id == chosen), None)) is not None:
            batch = await asyncio.to_thread(MetricsFile(run.metrics).read)
            self._earlier = Earlier(run.run_id, batch.curves) if batch else None
        self._changed()

    @on(WheelTurned)
    def _wheel(self, message: WheelTurned) -> None:
        factor = ZOOM if message.up else 1 / ZOOM
        self.view = self.view.zoomed(factor, *self.steps, message.step)

    @on(StepPointed)
    def _pointed(self, message: StepPointed) -> None:
        self.cursor = message.step

    def watch_metric(self) -> None:
        self._changed()

    def watch_view(self) -> None:
        self._changed()

    def watch_smoothing(self) -> None:
        self._changed()

    def watch_logarithmic(self) -> None:
        self._changed()

    def watch_cursor(self) -> None:
        self._changed()

    # Drawing

    def _changed(self) -> None:
        """Draw soon: at once, or a moment later if keys come faster than anyone sees."""
        self._stale = True
        if self._timer is None:
            self._timer = self.set_timer(max(0.001, self._drawn_at + FASTEST - time.monotonic()), self.redraw)

    def redraw(self) -> None:
        """Draw, if something changed and it can be seen."""
        self._timer = None
        if not self._stale or not self.is_on_screen:
            return
        self._show_titles()
        drawn = any(self.steps)
        self.query_one(ChartBody).set_class(not drawn, "-empty")
        if drawn and not self._wanted:
            self._wanted = True
            self._load()
        elif not drawn or (self._plot is not None and self._plot.size):
            self._stale = False
            self._drawn_at = time.monotonic()
            if drawn and self._plot is not None:
                self._draw(self._plot)

    def _draw(self, plot: Plot) -> None:
        add_baseline(self._read_from_file, self.state)
        first, last = self.view.window(*self.steps)
        plan = self.state.plan
        found = metrics.series(
            self.metric,
            self.curves,
            window=(first, last),
            columns=plot.columns,
            smoothing=self.smoothing,
            target=(plan.target_s or None) if plan is not None else None,  # the standard trainer holds none
            earlier=self._earlier,
        )
        self._show_legend(_legend(found, plot.size.width))
        drawn = metrics.logarithmic(found) if self.logarithmic else found
        y = metrics.limits(drawn, (first, last)) or (0.0, 1.0)
        x = (first, last) if last > first else (first - 0.5, last + 0.5)
        plot.draw(
            drawn,
            x=Axis(*x, partial(linear_ticks, *x, least_interval=1)),
            y=Axis(*y, partial(log_ticks if self.logarithmic else linear_ticks, *y)),
            styles={role: str(rich_style(style)) for role, style in STYLES.items()},
            cursor=(self.cursor, self._cursor_style) if self.cursor is not None else None,
        )

    def _show_legend(self, legend: Content) -> None:
        shown = self.query_one(".legend", Static)
        lines = legend.plain.count("\n") + 1
        # To lay the whole screen out anew costs more than the chart: only if it needs another number of lines.
        shown.update(legend, layout=lines != shown.size.height)

    @property
    def _cursor_style(self) -> str:
        return str(self.query_one(ChartBody).get_component_rich_style("chart--cursor"))

    def _show_titles(self) -> None:
        parts = [self.metric.name + (f" ({self.metric.unit})" if self.metric.unit else ""), self.view.words()]
        if self.smoothing and self.metric.noisy:
            parts.append(f"smoothed {self.smoothing}")
        if self.logarithmic:
            parts.append("log")
        told = ""
        if self.cursor is not None:
            told = metrics.reading(self.metric, self.curves, self.smoothing, self.cursor)
        titles = " · ".join(parts), told or self._keys()
        if titles != self._titles:  # setting them repaints the whole pane
            self._titles = titles
            self.border_title, self.border_subtitle = Content(titles[0]), Content(titles[1])

    def _keys(self) -> str:
        """As many of the chart's keys as there is room for, and where x leads."""
        hints = [f"{action.shown} {action.label.lower()}" for action in CHART_ACTIONS if action.rank]
        hints.append(f"x {METRICS[(METRICS.index(self.metric) + 1) % len(METRICS)].name}")
        while len(hints) > 1 and len(" · ".join(hints)) > self.size.width - 6:
            del hints[-2]
        return " · ".join(hints)

    @work(group="library")
    async def _load(self) -> None:
        # 0.3 s of imports, beside the event loop.
        room = await asyncio.to_thread(importlib.import_module, "hegelion_tui.widgets.plot")
        plot: Plot = room.Plot()
        await self.query_one(ChartBody).mount(plot)
        self._plot = plot
        self.call_after_refresh(self._changed)


def _legend(found: list[Series], width: int) -> Content:
    """What each line is, and its newest value; on further lines what does not fit into ``width`` cells."""
    lines: list[list[Content]] = [[]]
    room = width
    for one in sorted(found, key=lambda one: list(STYLES).index(one.role)):
        glyph, value = "◆ " if one.role == "second" else "━ ", "" if one.last is None else f" {one.last:.4g}"
        entry = Content.assemble((glyph, STYLES[one.role]), f"{printable(one.label)}{value}")
        if entry.cell_length > room and lines[-1]:
            lines.append([])
            room = width
        lines[-1].append(entry)
        room -= entry.cell_length + 3
    return Content("\n").join(Content("   ").join(line) for line in lines)


def _option(run: EarlierRun) -> Content:
    loss = f", loss {run.loss:.3f}" if run.loss is not None else ""
    return Content.assemble(printable(run.run_id), (f"  step {run.step:,}{loss}", "dim"))
