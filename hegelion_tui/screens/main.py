"""The main screen: all of a run at a glance. State comes down into it; what a person wants goes up as messages."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.reactive import reactive
from textual.widgets import Static

from hegelion_core.events import STAGES
from hegelion_core.pressure import Pressure
from hegelion_core.run_state import RunState
from hegelion_core.workspace import Workspace
from hegelion_tui.actions import ACTIONS
from hegelion_tui.messages import (
    ChecklistRequested,
    CompareRequested,
    DetachRequested,
    QuitRequested,
    SamplesRequested,
    ScaleRequested,
    SettingsRequested,
    StartRequested,
    StopOneRequested,
    StopRequested,
)
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.room import Room
from hegelion_tui.widgets.chart import ChartPane
from hegelion_tui.widgets.deck import Deck
from hegelion_tui.widgets.key_bar import KeyBar
from hegelion_tui.widgets.lines import (
    Banner,
    GenerationFacts,
    Notices,
    PressureLine,
    RunHeader,
    SampleProgress,
    Stages,
    TrainingProgress,
)
from hegelion_tui.widgets.pane import Pane


class MainScreen(Room):
    """Header, stages, progress, the deck of panes, notices, keys."""

    AUTO_FOCUS = ""  # the deck says which pane gets the keyboard
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in ACTIONS]

    state: reactive[RunState] = reactive(RunState(), repaint=False)
    now: reactive[float] = reactive(0.0, repaint=False)
    gone: reactive[bool] = reactive(False, repaint=False)
    """The core has ended; what is shown is the last that was known."""
    pressure: reactive[Pressure | None] = reactive(None, repaint=False)

    def __init__(self, place: Workspace, state: RunState, now: float) -> None:
        super().__init__()
        self._place = place
        self.set_reactive(MainScreen.state, state)
        self.set_reactive(MainScreen.now, now)

    def compose(self) -> ComposeResult:
        bound = (MainScreen.state, MainScreen.now)
        yield RunHeader(self._place.root.name).data_bind(*bound)
        yield Banner().data_bind(*bound, MainScreen.gone)
        with Vertical(id="status"):
            yield Stages().data_bind(*bound)
            yield SampleProgress().data_bind(*bound)
            yield GenerationFacts().data_bind(*bound)
            yield TrainingProgress().data_bind(*bound)
            yield PressureLine().data_bind(*bound, MainScreen.pressure)
        yield Deck(self._place).data_bind(*bound)
        yield Notices().data_bind(*bound)
        yield KeyBar()
        yield Static("This needs 40 x 12 cells. The run goes on.", id="too-small", markup=False)

    def action_run_all(self) -> None:
        self.post_message(StartRequested(STAGES))

    def action_generate(self) -> None:
        self.post_message(StartRequested(("generate",)))

    def action_convert(self) -> None:
        self.post_message(StartRequested(("convert",)))

    def action_train(self) -> None:
        self.post_message(StartRequested(("train",)))

    def action_evaluate(self) -> None:
        self.post_message(StartRequested(("evaluate",)))

    def action_more_instances(self) -> None:
        self.post_message(ScaleRequested(1))

    def action_fewer_instances(self) -> None:
        self.post_message(ScaleRequested(-1))

    def action_stop(self) -> None:
        self.post_message(StopRequested())

    def action_stop_one(self) -> None:
        self.post_message(StopOneRequested(self.active_pane.id or ""))

    def action_choose_theme(self) -> None:
        self.app.action_change_theme()

    def action_detach(self) -> None:
        self.post_message(DetachRequested())

    def action_ask_quit(self) -> None:
        self.post_message(QuitRequested())

    def action_maximise(self) -> None:
        self.update_classes({"-maximised": not self.has_class("-maximised"), "-beside": False})
        self.query_one(Deck).active.take_focus()

    @property
    def active_pane(self) -> Pane:
        """The pane that the keyboard belongs to."""
        return self.query_one(Deck).active

    def action_beside(self) -> None:
        beside = not self.has_class("-beside")
        self.update_classes({"-beside": beside, "-maximised": beside})
        deck = self.query_one(Deck)
        deck.active.take_focus()
        self.call_after_refresh(deck.lay_out)

    async def action_merge(self) -> None:
        await self.query_one(Deck).merge()

    def action_next_metric(self) -> None:
        self.query_one(ChartPane).next_metric()

    def action_next_pane(self) -> None:
        self.query_one(Deck).step(1)

    def action_previous_pane(self) -> None:
        self.query_one(Deck).step(-1)

    def action_show_samples(self) -> None:
        self.post_message(SamplesRequested())

    def action_show_compare(self) -> None:
        self.post_message(CompareRequested())

    def action_show_settings(self) -> None:
        self.post_message(SettingsRequested())

    def action_show_checklist(self) -> None:
        self.post_message(ChecklistRequested())

    def action_show_help(self) -> None:
        self.app.push_screen(HelpScreen())
