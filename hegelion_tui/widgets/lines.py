"""The lines above and below the deck: each shows a part of the state, and nothing else."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from hegelion_core.pressure import Pressure
from hegelion_core.run_state import RunState
from hegelion_tui import wording
from hegelion_tui.keys import key_names


class StateLine(Widget):
    """Part of a run in a few lines of text, as of ``now``."""

    ALLOW_SELECT = False
    state: reactive[RunState] = reactive(RunState())
    now: reactive[float] = reactive(0.0)


class RunHeader(StateLine):
    """Project, teacher and student, run, core."""

    def __init__(self, project: str) -> None:
        super().__init__()
        self._project = project

    def render(self) -> Content:
        return wording.header(self.state, self._project, self.size.width)


class Banner(StateLine):
    """What must not be overlooked; takes no room otherwise."""

    gone: reactive[bool] = reactive(False)

    def __init__(self) -> None:
        super().__init__()
        self._shown = ""

    def watch_state(self) -> None:
        self._show()

    def watch_gone(self) -> None:
        self._show()

    def watch_now(self) -> None:
        self._show()

    def render(self) -> Content:
        found = wording.banner(self.state, self.now, key_names(self.app), gone=self.gone)
        return found[1] if found else Content("")

    def _show(self) -> None:
        found = wording.banner(self.state, self.now, key_names(self.app), gone=self.gone)
        self.set_class(found is None, "-absent")
        self.set_class(found is not None and found[0] == "error", "-error")
        text = found[1].plain if found else ""
        if text != self._shown:
            self._shown = text
            self.refresh(layout=True)  # it may need another number of lines


class Stages(StateLine):
    """The five stages and how far each is."""

    def render(self) -> Content:
        return wording.stages(self.state, self.now, self.size.width, lines=self.size.height)


class SampleProgress(StateLine):
    """Accepted samples of the target."""

    def render(self) -> Content:
        return wording.sample_progress(self.state, self.now, self.size.width)


class GenerationFacts(StateLine):
    """What generation costs and how it goes; takes no room before the first request."""

    def watch_state(self, state: RunState) -> None:
        self.set_class(not state.requests, "-absent")
        self.set_class(state.stages["generate"].status == "running", "-running")

    def render(self) -> Content:
        return wording.generation_facts(self.state, self.size.width) or Content("")


class TrainingProgress(StateLine):
    """Steps done; takes no room before training."""

    def watch_state(self, state: RunState) -> None:
        self.set_class(state.plan is None, "-absent")

    def render(self) -> Content:
        return wording.training_progress(self.state, self.now, self.size.width) or Content("")


class PressureLine(StateLine):
    """Memory, processors, disk, what the children hold."""

    pressure: reactive[Pressure | None] = reactive(None)

    def render(self) -> Content:
        return wording.pressure(self.pressure, self.size.width)


class Notices(StateLine):
    """The last notices."""

    def watch_state(self, before: RunState, after: RunState) -> None:
        self.set_class(not after.notices, "-absent")
        if before.notices is not after.notices:
            self.refresh(layout=True)

    def render(self) -> Content:
        count = 1 if self.screen.has_class("-short") else 3
        return wording.notices(self.state.notices, count, self.size.width)
