"""The deck: all panes side by side where there is room, else one at a time under tabs."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Grid, HorizontalScroll, VerticalScroll
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from hegelion_core.run_state import InstanceState, RunState
from hegelion_core.workspace import Workspace
from hegelion_tui import ending, wording
from hegelion_tui.keys import key_names
from hegelion_tui.logs.pane import LogPane
from hegelion_tui.logs.turns import Turns
from hegelion_tui.widgets.bare import BareColumn, BareGrid, BareRow
from hegelion_tui.widgets.chart import ChartPane
from hegelion_tui.widgets.pane import Pane, PaneChosen

MIN_WIDTH, MIN_HEIGHT = 39, 8
"""Cells that a generator's pane has at the least; beyond, the grid scrolls."""


class Tab(Static):
    """A pane's name in the row of tabs."""

    ALLOW_SELECT = False

    def __init__(self, pane: Pane) -> None:
        super().__init__(pane.title, markup=False)
        self.pane_id = pane.id or ""

    def on_click(self) -> None:
        self.post_message(PaneChosen(self.pane_id))


class SummaryPane(Pane):
    """What a run made, when it has ended."""

    state: reactive[RunState] = reactive(RunState(), repaint=False)

    def __init__(self, place: Workspace, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__("summary", id)
        self._place = place

    def compose(self) -> ComposeResult:
        with SummaryScroll():
            yield Static(markup=False)

    def watch_state(self) -> None:
        self.show()

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Tell it as wide as there is room, with the keys of now."""
        if ending.has_ended(self.state):
            static = self.query_one(Static)
            text = ending.summary(self.state, self._place.root, key_names(self.app), static.content_size.width)
            static.update(text)


class SummaryScroll(VerticalScroll):
    """Room for a summary that is longer than its pane."""


class Deck(BareColumn):
    """Generators above; training, chart and summary below. One pane is active; the keyboard goes with it."""

    state: reactive[RunState] = reactive(RunState(), repaint=False)
    now: reactive[float] = reactive(0.0, repaint=False)

    def __init__(self, place: Workspace) -> None:
        super().__init__()
        self._place = place
        self._chosen = False
        self._turns = Turns()
        self.active_id = "generator-1"
        self.second_id = "train"
        """The pane that was active before: the one that stands beside the active one."""

    def compose(self) -> ComposeResult:
        yield HorizontalScroll(id="tabs", can_focus=False)
        with BareGrid(id="generators"):
            yield self._generator(1)
        yield BareColumn(id="merged-row")
        with BareRow(id="below"):
            empty = "The log of training will stand here."
            yield LogPane("training", [self._place.train_log], "train", empty, self._turns)
            yield ChartPane(self._place, id="chart").data_bind(Deck.state)
            yield SummaryPane(self._place, id="summary").data_bind(Deck.state)

    async def on_mount(self) -> None:
        await self._match_generators(self.state)
        await self._refresh_tabs()
        self._show_summary()
        self._share_height()
        self._activate(self.active_id)
        self._follow_work(RunState(), self.state)
        self._title_generators()

    @property
    def panes(self) -> list[Pane]:
        """The panes that there are now, in the order of their tabs."""
        return [pane for pane in self.query(Pane) if self._is_there(pane)]

    def _is_there(self, pane: Pane) -> bool:
        if pane.id == "summary":
            return ending.has_ended(self.state)
        return not (self.has_class("-merged") and (pane.id or "").startswith("generator-"))

    @property
    def active(self) -> Pane:
        """The pane that has, or would have, the keyboard."""
        return next((pane for pane in self.panes if pane.id == self.active_id), self.panes[0])

    def choose(self, pane_id: str) -> None:
        """A person wants this pane."""
        self._chosen = True
        self._activate(pane_id)

    def step(self, by: int) -> None:
        """Go ``by`` panes on, round the end."""
        panes = self.panes
        self.choose(panes[(panes.index(self.active) + by) % len(panes)].id or "")

    async def merge(self) -> None:
        """Show the generators' logs as one, ordered by time, or each by itself again."""
        self.toggle_class("-merged")
        await self._match_merged()
        await self._refresh_tabs()
        self.choose("merged" if self.has_class("-merged") else "generator-1")

    async def _match_merged(self) -> None:
        """The merged pane, if it is wanted, has a log for each of the generators' panes."""
        row = self.query_one("#merged-row")
        paths = [path for pane in self._generators for path in pane.paths]
        there = [pane for pane in row.query(LogPane) if pane.paths == paths and self.has_class("-merged")]
        if there:
            return
        await row.remove_children()
        if self.has_class("-merged"):
            title = f"generators 1 to {len(paths)}, by time" if len(paths) > 1 else "generator 1"
            empty = wording.empty_generator(self.state, key_names(self.app))
            await row.mount(LogPane(title, paths, "merged", empty, self._turns))

    @property
    def _generators(self) -> list[LogPane]:
        return list(self.query_one("#generators").query(LogPane))

    async def watch_state(self, before: RunState, after: RunState) -> None:
        if not self.is_mounted:
            return
        await self._match_generators(after)
        self._show_summary()
        self._share_height()
        if ending.has_ended(after) != ending.has_ended(before):
            await self._refresh_tabs()
        self._follow_work(before, after)
        self._title_generators()

    def watch_now(self) -> None:
        if self.is_mounted:
            self._title_generators()

    @on(PaneChosen)
    def _pane_chosen(self, message: PaneChosen) -> None:
        self.choose(message.pane_id)

    def on_resize(self) -> None:
        self.lay_out()

    def lay_out(self) -> None:
        """Lay the generators' panes out for the room that there is."""
        grid = self.query_one("#generators", Grid)
        shown = sum(pane.display for pane in grid.query(LogPane))
        columns = max(1, min(shown, self.size.width // MIN_WIDTH))
        rows = -(-shown // columns) if shown else 1
        fits = rows * MIN_HEIGHT <= max(grid.size.height, MIN_HEIGHT)
        grid.styles.grid_size_columns = columns
        grid.styles.grid_rows = "1fr" if fits else str(MIN_HEIGHT)

    def _show_summary(self) -> None:
        over = ending.has_ended(self.state)
        self.query_one(SummaryPane).set_class(not over, "-absent")
        self.set_class(over, "-ended")  # what it made is worth more room than the logs of those that made it

    def _share_height(self) -> None:
        """Most of the room is for what has something to show: the generators, and from training on what it tells."""
        trained = self.state.plan is not None
        self.set_class(trained, "-trained")
        self.set_class(not trained and bool(self.state.instances), "-generated")

    def _follow_work(self, before: RunState, after: RunState) -> None:
        """Show the pane where things happen, until a person has chosen one."""
        if after.active and not before.active:
            self._chosen = False
        if self._chosen:
            return
        if ending.has_ended(after) and not ending.has_ended(before):
            self._activate("summary")
        elif after.stages["train"].status == "running" != before.stages["train"].status:
            self._activate("train")

    def _activate(self, pane_id: str) -> None:
        if pane_id != self.active_id:
            self.active_id, self.second_id = pane_id, self.active_id
        self._mark_active()
        self.call_after_refresh(self._focus_active)  # a hidden pane can take the keyboard only when it is shown

    def _focus_active(self) -> None:
        self.active.take_focus()

    def _mark_active(self) -> None:
        active = self.active
        others = [pane for pane in self.panes if pane is not active]
        second = next((pane for pane in others if pane.id == self.second_id), others[0] if others else active)
        marks: list[tuple[Widget, bool, bool]] = [(pane, pane is active, pane is second) for pane in self.query(Pane)]
        marks += [(tab, tab.pane_id == active.id, False) for tab in self.query(Tab)]
        for row in self.query("#generators, #merged-row, #below").results(Widget):
            marks.append((row, active.parent is row, second.parent is row))
        before = {widget: widget.classes for widget, _, _ in marks}
        for widget, first, other in marks:
            widget.update_classes({"-active": first, "-second": other}, update=False)
        # These classes mean nothing to what is in a pane, which therefore is not styled anew.
        changed = [widget for widget, classes in before.items() if widget.classes != classes]
        self.app.stylesheet.update_nodes(changed, animate=True)
        self.call_after_refresh(self.lay_out)

    async def _match_generators(self, state: RunState) -> None:
        """As many panes as instances are wanted, and those that still wait for an answer."""
        waiting = [number for number, instance in state.instances.items() if instance.in_flight]
        count = max(1, state.wanted_instances, *state.working, *waiting)
        grid = self.query_one("#generators", Grid)
        there = list(grid.query(LogPane))
        if len(there) == count:
            return
        for pane in there[count:]:
            await pane.remove()
        await grid.mount_all([self._generator(number) for number in range(len(there) + 1, count + 1)])
        await self._match_merged()
        await self._refresh_tabs()
        self._mark_active()

    def _generator(self, number: int) -> LogPane:
        path = self._place.generator_log(number)
        empty = wording.empty_generator(self.state, key_names(self.app))
        return LogPane(f"generator {number}", [path], f"generator-{number}", empty, self._turns)

    def keys_changed(self) -> None:
        """Tell with the new keys what tells of keys."""
        self.query_one(SummaryPane).show()
        self._title_generators()

    def _title_generators(self) -> None:
        for number, pane in enumerate(self.query_one("#generators").query(LogPane), start=1):
            state = self.state.instances.get(number, InstanceState())
            stopped = number not in (self.state.working or (number,)) and not state.in_flight
            pane.heading = wording.instance(number, state, self.now, stopped=stopped)
            pane.empty = wording.empty_generator(self.state, key_names(self.app))

    async def _refresh_tabs(self) -> None:
        row = self.query_one("#tabs")
        await row.remove_children()
        await row.mount_all([Tab(pane) for pane in self.panes])
        self._mark_active()
