"""The console: a face of a core that runs in another process."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on, work
from textual.app import SystemCommand
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.filter import LineFilter
from textual.message import Message
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.widget import Widget

from hegelion_core import gpu
from hegelion_core.commands.process import SCREEN, settle
from hegelion_core.commands.text import printable
from hegelion_core.errors import UserError, explain
from hegelion_core.events import STAGES, AnyEvent
from hegelion_core.operations import Operations
from hegelion_core.pressure import LevelWatch, Pressure, read_pressure
from hegelion_core.redaction import Redactor
from hegelion_core.setting_sources import KEYS
from hegelion_tui import alerts, hearing, keys, preferences
from hegelion_tui.actions import (
    ACTIONS,
    CHART_ACTIONS,
    CHECK_ACTIONS,
    COMPARE_ACTIONS,
    LOG_ACTIONS,
    SAMPLE_ACTIONS,
    SETTING_ACTIONS,
    Action,
)
from hegelion_tui.alerts import Silence, SilenceWatch
from hegelion_tui.disarming import Disarming
from hegelion_tui.keys import key_names, remapped
from hegelion_tui.logs.clipboard import copy_with_programs
from hegelion_tui.logs.pane import LogPane
from hegelion_tui.messages import (
    AnswersStopRequested,
    ChecklistRequested,
    CompareRequested,
    DetachRequested,
    QuestionAsked,
    QuitRequested,
    SamplesDecided,
    SamplesRequested,
    ScaleRequested,
    SettingSaved,
    SettingsRequested,
    StartRequested,
    StopOneRequested,
    StopRequested,
)
from hegelion_tui.screens.main import MainScreen
from hegelion_tui.screens.question import Answer, Question
from hegelion_tui.screens.room import Dialog, Room
from hegelion_tui.telling import TellingApp
from hegelion_tui.themes import DARK, LIGHT, TERMINAL
from hegelion_tui.widgets.chart import ChartPane
from hegelion_tui.widgets.deck import Deck
from hegelion_tui.widgets.key_bar import KeyBar
from hegelion_tui.wording import bereft, memory_advice

if TYPE_CHECKING:
    from hegelion_tui.screens.compare import CompareScreen
    from hegelion_tui.screens.samples import SamplesScreen
    from hegelion_tui.screens.settings import SettingsScreen

TICK = 1.0
"""Seconds between looks at the clock: ages and times left."""
PRESSURE_EVERY = 2.0
"""Seconds between readings of the machine."""
LISTEN_EVERY = 2.0
"""Seconds between looks whether the teachers still say something."""
ADVICE_SECONDS = 30.0
"""How long it is shown that memory is short or a teacher silent, and what to do."""
Resume = Callable[[str], Awaitable[Operations]]
"""Leads to a core for the run in this folder: the one that runs, or a new one."""


class StateChanged(Message):
    """Something happened in the run."""


class CoreGone(Message):
    """No event will come any more."""


class PressureRead(Message):
    """A reading of the machine."""

    def __init__(self, pressure: Pressure) -> None:
        super().__init__()
        self.pressure = pressure


class SilencesHeard(Message):
    """Generators whose teacher says nothing; a call is ended after ``limit`` seconds of silence."""

    def __init__(self, found: list[Silence], limit: float) -> None:
        super().__init__()
        self.found = found
        self.limit = limit


class Palette(CommandPalette, Dialog[None]):
    """Textual's, before our backdrop."""


class ConsoleApp(TellingApp):
    """Shows a run and steers it through ``Operations``; it owns no process and no state of the run."""

    TITLE = "hegelion"
    CSS_PATH = "hegelion.tcss"

    def get_line_filters(self) -> Sequence[LineFilter]:
        return (*super().get_line_filters(), self._disarming)

    def _fatal_error(self) -> None:
        """A bug ends the app. Textual would show the values of all variables, and credentials may be among them."""
        self.bell()
        self.panic(Text(printable(Redactor(os.environ)(traceback.format_exc()))))

    def __init__(
        self,
        operations: Operations,
        clock: Callable[[], float] = time.time,
        flags: Mapping[str, object] | None = None,
        resume: Resume | None = None,
    ) -> None:
        """``flags``: settings that the command line gave, name to value; ``resume``: what to do when the core died."""
        self._disarming = Disarming()
        super().__init__()
        self._operations = operations
        self.project = operations.place.root.name
        self._clock = clock
        self._announced = False
        self._resume = resume
        self._resuming = False
        self._levels = LevelWatch()
        self._silences = SilenceWatch()
        self._flags = flags or {}
        self._samples: SamplesScreen | None = None
        self._compare: CompareScreen | None = None
        self._tables: dict[Widget, tuple[Action, ...]] = {}
        """The screens over the main one that have a table of actions of their own."""
        self._main = MainScreen(operations.place, operations.state, clock())
        for theme in (DARK, LIGHT, TERMINAL):
            self.register_theme(theme)
        self._prefer(preferences.read(operations.place.root, self._flags))

    def get_default_screen(self) -> Screen[None]:
        return self._main

    def _prefer(self, wanted: preferences.Preferences) -> None:
        """Take theme and keys as the settings name them; what they name in vain is told once the screen is there."""
        problems = list(wanted.problems)
        self._overruled = wanted.overruled
        if wanted.theme in self.available_themes:
            self.theme = wanted.theme
        elif "TEXTUAL_THEME" not in os.environ:
            # A terminal of sixteen colours would turn the soft ones of the others into grey.
            few = self.console.color_system == "standard" and bool(os.environ.get("TERM"))
            self.theme = TERMINAL.name if few else DARK.name
        if wanted.theme and wanted.theme not in self.available_themes:
            problems.append(f"{preferences.THEME}: there is no theme {wanted.theme!r}.")
        self._saved_theme = self.theme
        self.ways = wanted.alerts
        keymap, wrong = keys.read(wanted.keys)
        self.use_keys(keymap)
        self._problems = problems + [f"{KEYS}.{name}: {words}." for name, words in wrong.items()]

    def on_mount(self) -> None:
        self.watch(self, "theme", self._theme_chosen, init=False)
        if self._problems:
            text = " ".join(printable(problem) for problem in self._problems)
            title = f"Settings that are left out; {key_names(self)('show_settings')} shows them."
            self.notify(text, title=title, severity="warning", markup=False)
        self._follow_run(self._operations.events())
        self._state_changed()  # what happened since the screen was made
        self._watch_machine()
        self._listen_to_teachers()
        self.set_interval(TICK, self._tick)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every action of the table, and the theme."""
        own = self._tables.get(screen, ())
        chart = self._main.query_one(ChartPane)
        offered: list[tuple[DOMNode, Action]] = [(screen, action) for action in own]
        if not own:
            offered += [(self._main, action) for action in ACTIONS]
            offered += [(chart, action) for action in CHART_ACTIONS]
            if isinstance(log := self._main.active_pane, LogPane):
                offered += [(log, action) for action in LOG_ACTIONS]
        for (node, _), action in zip(offered, remapped([action for _, action in offered], self), strict=True):
            run = partial(self.run_action, action.name, node)
            yield SystemCommand(f"{action.label} ({action.shown})", action.help, run)
        if own:
            yield SystemCommand("Theme", "Choose other colours.", self.action_change_theme)

    def copy_to_clipboard(self, text: str) -> None:
        """Through the terminal (OSC 52), and through the programs that there are for it."""
        super().copy_to_clipboard(text)
        self._copy_with_programs(text)

    @work(exclusive=True, group="clipboard", exit_on_error=False)
    async def _copy_with_programs(self, text: str) -> None:
        await copy_with_programs(text)

    # What happens comes in as messages

    @work
    async def _follow_run(self, events: AsyncGenerator[AnyEvent, None]) -> None:
        async for _ in events:
            if not self._announced:  # one message for a burst of events: the state holds them all
                self._announced = True
                self.post_message(StateChanged())
        self.post_message(CoreGone())

    @work
    async def _watch_machine(self) -> None:
        gpus = await asyncio.to_thread(gpu.open_reader)
        while True:
            with contextlib.suppress(OSError):  # nothing to show is no reason to trouble anyone; the next may succeed
                state = self._operations.state
                read = partial(read_pressure, gpus=gpus, core=state.core_pid, children=state.children)
                self.post_message(PressureRead(await asyncio.to_thread(read, self._operations.place.artifacts)))
            await asyncio.sleep(PRESSURE_EVERY)

    @work
    async def _listen_to_teachers(self) -> None:
        while True:
            state = self._main.state
            if state.in_flight and not self._main.gone:
                listen = partial(hearing.listen, self._operations.place, state, self._clock())
                self.post_message(SilencesHeard(*await asyncio.to_thread(listen)))
            await asyncio.sleep(LISTEN_EVERY)

    @on(SilencesHeard)
    def _silences_heard(self, message: SilencesHeard) -> None:
        if found := self._silences.new(self._main.state, message.found):
            alert = alerts.silent(found, message.limit)
            more = f" {key_names(self)('show_checklist')} tells more."
            self.notify(alert.text + more, title="A teacher is silent", severity="warning", timeout=ADVICE_SECONDS)
            self.tell(alert)

    @on(StateChanged)
    def _state_changed(self) -> None:
        self._announced = False
        before, after = self._main.state, self._operations.state
        self._main.now = self._clock()
        self._main.state = after
        for alert in alerts.happened(before, after):
            self.tell(alert)
        if self._samples is not None:
            self._samples.state = self._operations.state
        if self._compare is not None:
            self._compare.state = self._operations.state

    @on(CoreGone)
    def _core_gone(self) -> None:
        if self._operations.state.active:
            self.tell(alerts.CORE_GONE)
        self._main.gone = True
        if self._compare is not None:
            self._compare.gone = True
        self._main.state = bereft(self._operations.state)

    @on(PressureRead)
    def _pressure_read(self, message: PressureRead) -> None:
        self._main.pressure = message.pressure
        if self._levels.worsened(message.pressure.level):
            title, text = memory_advice(self._operations.state, message.pressure, key_names(self))
            severity: SeverityLevel = "error" if message.pressure.level == "critical" else "warning"
            self.notify(text, title=title, severity=severity, timeout=ADVICE_SECONDS, markup=False)

    def _tick(self) -> None:
        if not self._main.gone:
            self._main.now = self._clock()

    # What a person wants goes out through Operations

    @on(StartRequested)
    @work(group="start")
    async def _start_requested(self, message: StartRequested) -> None:
        stages = message.stages
        if self._main.gone:
            state = self._main.state
            if stages == STAGES and state.active:  # what was under way goes on, and no more than that
                stages = state.requested
            if not await self._resume_run():
                return
        await self._succeeds(self._operations.start(stages))

    async def _resume_run(self) -> bool:
        """Get to a core for this run, where the one that there was has ended; whether that went well."""
        if self._resume is None or self._resuming:
            return False
        self._resuming = True
        self.notify("It goes on with what is on disk.", title="Starting a new core")
        try:
            operations = await self._resume(self._operations.state.folder)
        except UserError as error:
            self.notify(error.hint, title=error.message, severity="error", markup=False)
            return False
        finally:
            self._resuming = False
        await self._operations.close()
        self._operations = operations
        self._main.gone = False
        self._follow_run(operations.events())
        self._state_changed()
        return True

    async def hang_up(self) -> None:
        """Let go of the core, which goes on."""
        await self._operations.close()

    def _refuse_without_core(self) -> bool:
        """Say what to do where there is no core to ask; whether that is so."""
        if self._main.gone:
            text = f"{key_names(self)('run_all')} starts a new one for this run."
            self.notify(text, title="The core has ended.", severity="warning")
        return self._main.gone

    @on(ScaleRequested)
    def _scale_requested(self, message: ScaleRequested) -> None:
        if self._refuse_without_core():
            return
        state = self._operations.state
        if state.stages["generate"].status == "running":
            self._ask(self._operations.scale_by(message.by))
        else:
            self.notify("The number of instances can be changed while it does.", title="Nothing is being generated.")

    @on(StopRequested)
    @work(exclusive=True, group="question")
    async def _stop_requested(self) -> None:
        if self._refuse_without_core():
            return
        key = key_names(self)
        if not self._operations.state.active:
            text = f"{key('run_all')} runs every stage, {key('generate')} generates."
            self.notify(text, title="Nothing is running.")
            return
        text = f"Everything made so far is kept; {key('run_all')} goes on from there."
        if await self.push_screen_wait(Question("Stop the run?", text, [Answer("stop", "s", "Stop")])) == "stop":
            await self._stop()

    @on(StopOneRequested)
    @work(exclusive=True, group="question")
    async def _stop_one_requested(self, message: StopOneRequested) -> None:
        if self._refuse_without_core():
            return
        key, state = key_names(self), self._operations.state
        kind, _, number = message.pane_id.rpartition("-")
        if state.stages["generate"].status != "running":
            title = "Nothing is being generated." if state.active else "Nothing is running."
            self.notify(f"{key('stop')} stops what runs." if state.active else "", title=title)
        elif kind != "generator":
            text = f"{key('next_pane')} goes from pane to pane; {key('stop')} stops the whole run."
            self.notify(text, title="This pane is not one generator's.")
        else:
            text = f"Its call ends, and another asks its prompt. {key('more_instances')} starts one again."
            question = Question(f"Stop generator {number}?", text, [Answer("stop", "s", "Stop")])
            if await self.push_screen_wait(question) == "stop":
                await self._succeeds(self._operations.stop_instance(int(number)))

    @on(DetachRequested)
    def _detach_requested(self) -> None:
        self.exit(0)

    @on(QuitRequested)
    @work(exclusive=True, group="question")
    async def _quit_requested(self) -> None:
        if not self._operations.state.active or self._main.gone:
            self.exit(0)
            return
        question = Question(
            "The run is at work",
            "It can go on without this screen. Open the console again to come back to it.",
            [Answer("keep", "k", "Keep running"), Answer("stop", "s", "Stop and quit")],
        )
        answer = await self.push_screen_wait(question)
        if answer == "stop" and not await self._stop():
            return
        if answer != "cancel":
            self.exit(0)

    @on(SamplesRequested)
    @work(exclusive=True, group="samples")
    async def _samples_requested(self) -> None:
        # What reads samples is imported when it is needed: nothing of it is on the way to the first paint.
        module = await asyncio.to_thread(importlib.import_module, "hegelion_tui.screens.samples")
        if not (self._operations.state.sample_path or self._main.gone):  # no core has looked at the file yet
            await self._succeeds(self._operations.recount())
        screen: SamplesScreen = module.SamplesScreen(self._operations.place, self._operations.state)
        self._samples = screen
        await self._show(screen, SAMPLE_ACTIONS)
        self._samples = None

    @on(CompareRequested)
    @work(exclusive=True, group="compare")
    async def _compare_requested(self) -> None:
        module = await asyncio.to_thread(importlib.import_module, "hegelion_tui.screens.compare")
        screen: CompareScreen = module.CompareScreen(self._operations.place, self._operations.state)
        screen.gone = self._main.gone
        self._compare = screen
        await self._show(screen, COMPARE_ACTIONS)
        self._compare = None

    @on(QuestionAsked)
    def _question_asked(self, message: QuestionAsked) -> None:
        self._ask(self._operations.compare(message.text, message.temperature))

    @on(AnswersStopRequested)
    def _answers_stop_requested(self) -> None:
        self._ask(self._operations.stop_comparing())

    @on(SettingsRequested)
    @work(exclusive=True, group="settings")
    async def _settings_requested(self) -> None:
        # Like the samples': what checks settings is imported when it is needed.
        module = await asyncio.to_thread(importlib.import_module, "hegelion_tui.screens.settings")
        screen: SettingsScreen = module.SettingsScreen(self._operations.place, self._flags, list(self.available_themes))
        await self._show(screen, SETTING_ACTIONS)

    @on(SettingSaved)
    async def _setting_saved(self, message: SettingSaved) -> None:
        """What can take effect at once does; the rest waits for a run that is opened anew."""
        if message.name == preferences.THEME and message.value in self.available_themes:
            self._saved_theme = self.theme = message.value
        elif message.name.startswith(f"{KEYS}."):
            wanted = await asyncio.to_thread(preferences.read, self._operations.place.root, self._flags)
            self.use_keys(keys.read(wanted.keys)[0])
            self._main.query_one(Deck).keys_changed()
            for screen in self.screen_stack:
                for bar in screen.query(KeyBar):
                    bar.refresh()
        elif message.name in map(preferences.alert_setting, alerts.KINDS):
            wanted = await asyncio.to_thread(preferences.read, self._operations.place.root, self._flags)
            self.ways = wanted.alerts
        elif message.name == "generation.instances" and not self._main.gone:
            self._ask(self._operations.scale(int(message.value)))

    def _theme_chosen(self, theme: str) -> None:
        if theme != self._saved_theme:
            self._saved_theme = theme
            self._save_theme(theme)

    @work(exclusive=True, group="theme")
    async def _save_theme(self, theme: str) -> None:
        """A theme that was chosen is there again the next time."""
        module = await asyncio.to_thread(importlib.import_module, "hegelion_core.settings_file")
        try:
            await asyncio.to_thread(module.save_theme, self._operations.place.root, theme)
        except (UserError, OSError) as error:
            known = error if isinstance(error, UserError) else explain(error)
            self.notify(known.hint, title=known.message, severity="warning", markup=False)
        else:
            if self._overruled:
                text = "The environment or a flag names another theme for the next time."
                self.notify(text, title="The theme is saved.")

    @on(ChecklistRequested)
    @work(exclusive=True, group="checklist")
    async def _checklist_requested(self) -> None:
        module = await asyncio.to_thread(importlib.import_module, "hegelion_tui.screens.checklist")
        await self._show(module.ChecklistScreen(self._operations.place, self._operations.state), CHECK_ACTIONS)

    async def _show(self, screen: Room, actions: tuple[Action, ...]) -> None:
        """Show a screen until it is left; the palette offers its actions meanwhile."""
        self._tables[screen] = actions
        for path in screen.css_path:  # Textual would apply them to what is there, which has no use for them
            if not self.stylesheet.has_source(str(path)):
                self.stylesheet.read(path)
                self.stylesheet.parse()
        screen.fit(self.size)
        try:
            await self.push_screen_wait(screen)
        finally:
            del self._tables[screen]

    @on(SamplesDecided)
    def _samples_decided(self) -> None:
        if not self._main.gone:
            self._ask(self._operations.recount())

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    async def action_quit(self) -> None:
        """Ctrl+Q and Ctrl+C: asks as ``q`` does; a second time leaves, and the run goes on."""
        if isinstance(self.screen, Question):
            self.exit(0)
        else:
            self.post_message(QuitRequested())

    def action_help_quit(self) -> None:
        self.call_later(self.action_quit)

    @work
    async def _ask(self, request: Awaitable[None]) -> None:
        await self._succeeds(request)

    async def _stop(self) -> bool:
        self.notify("Waiting until everything is saved.", title="Stopping")
        return await self._succeeds(self._operations.stop())

    async def _succeeds(self, request: Awaitable[None]) -> bool:
        """Whether a request was granted; why not is shown."""
        try:
            await request
        except UserError as error:
            self.notify(error.hint, title=error.message, severity="warning", markup=False)
            return False
        return True


async def run_console(client: Operations, flags: Mapping[str, object], resume: Resume) -> int:
    """Show the run that ``client`` leads to, until the person leaves; its exit code. The core goes on."""
    app = ConsoleApp(client, flags=flags, resume=resume)
    settle(SCREEN)
    try:
        code = await app.run_async()
        return code if code is not None else app.return_code or 0
    finally:
        await app.hang_up()
