"""The checklist screen: what is ready, what is wrong, how to mend it; what is safe is mended from here.

Checks and fixes run in threads, and what is heavy in processes of its own; what they find comes back as messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from hegelion_core.doctor.case import Case, settings_of
from hegelion_core.doctor.examine import examine
from hegelion_core.doctor.finding import Finding, Remedy, Section
from hegelion_core.errors import UserError, explain
from hegelion_core.run_state import RunState
from hegelion_core.workspace import Workspace
from hegelion_tui import check_words
from hegelion_tui.actions import CHECK_ACTIONS, CHECK_KEYS
from hegelion_tui.keys import key_names
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.question import Answer, Question
from hegelion_tui.screens.room import Room
from hegelion_tui.widgets.key_bar import KeyBar

PATIENCE = 20.0
"""Seconds for the teacher's program, the student, the hub and the BLAS; what is known before is shown before."""
SAID_LINES = 6
"""Last lines of a fix that are shown."""


@dataclass
class Looked(Message):
    """What was found; ``final``: nothing more is awaited."""

    sections: list[Section]
    final: bool


@dataclass
class Said(Message):
    """A line of a fix that is at work."""

    line: str


class ChecklistScreen(Room):
    """Checks above, all about the chosen one below."""

    AUTO_FOCUS = "#checks"
    CSS_PATH = "../checklist.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in CHECK_ACTIONS]

    def __init__(self, place: Workspace, state: RunState) -> None:
        super().__init__()
        self._place = place
        self._state = state
        self._sections: list[Section] = []
        self._rows: list[Finding | None] = []
        """The finding of each line of the list; ``None``: a section's title."""
        self._looking = False
        self._again = False
        """Something has changed since looking began."""
        self._fixing = ""
        """The finding that is being mended."""
        self._said: deque[str] = deque(maxlen=SAID_LINES)
        self._left = False

    def compose(self) -> ComposeResult:
        yield Static(id="checks-head", markup=False)
        yield OptionList(id="checks", markup=False)
        with VerticalScroll(id="check-detail"):
            yield Static(markup=False)
        yield KeyBar(CHECK_ACTIONS)
        yield Static("This needs 40 x 12 cells. The run goes on.", id="too-small", markup=False)

    def on_mount(self) -> None:
        self.action_look_again()

    def on_unmount(self) -> None:
        self._left = True

    def show_resized(self) -> None:
        self._list.scroll_to_highlight()

    @property
    def _list(self) -> OptionList:
        return self.query_one("#checks", OptionList)

    @property
    def _chosen(self) -> Finding | None:
        index = self._list.highlighted
        return self._rows[index] if index is not None and index < len(self._rows) else None

    # Looking

    def action_look_again(self) -> None:
        if self._looking:
            self._again = True
            return
        self._looking = True
        self._show_head()
        self._look()

    @work
    async def _look(self) -> None:
        try:
            sections = await asyncio.to_thread(self._examine)
        except (UserError, OSError) as raised:
            error = explain(raised) if isinstance(raised, OSError) else raised
            sections = [Section("Before anything else", (Finding("settings", "failed", error.message, error.hint),))]
        self.post_message(Looked(sections, final=True))

    def _examine(self) -> list[Section]:
        case = Case.open(self._place, settings_of(self._place, self._state))
        return examine(case, PATIENCE, self._tell)

    def _tell(self, sections: list[Section]) -> None:
        self.post_message(Looked(sections, final=False))

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        self._looking = not message.final
        chosen = self._chosen
        self._sections = message.sections
        self._rows = []
        options: list[Option] = []
        for section in message.sections:
            if options and self.has_class("-tall"):
                options.append(Option("", disabled=True))
                self._rows.append(None)
            options.append(Option(Content(section.title), disabled=True))
            self._rows.append(None)
            options += [Option(check_words.row(one, key_names(self.app)("fix"))) for one in section.findings]
            self._rows += section.findings
        self._list.set_options(options)
        names = [one.name if one is not None else "" for one in self._rows]
        self._list.highlighted = names.index(chosen.name) if chosen is not None and chosen.name in names else 1
        self._show_head()
        self._show_detail()
        if message.final and self._again:
            self._again = False
            self.action_look_again()

    def _show_head(self) -> None:
        self.query_one("#checks-head", Static).update(check_words.head(self._sections, looking=self._looking))

    @on(OptionList.OptionHighlighted)
    def _show_detail(self) -> None:
        chosen = self._chosen
        said = list(self._said) if chosen is not None and chosen.name == self._fixing else []
        text = check_words.detail(chosen, said, key_names(self.app)("fix")) if chosen is not None else ""
        self.query_one("#check-detail Static", Static).update(text)

    # Mending

    @on(OptionList.OptionSelected)
    def action_fix(self) -> None:
        finding = self._chosen
        if finding is None:
            return
        if self._fixing:
            self.notify("Wait until it is done.", title=f"{self._fixing} is being mended.", markup=False)
        elif finding.remedy is None:
            nothing = finding.mend if finding.level != "ok" else "All is well."
            self.notify(nothing, title="Nothing can be done from here.", markup=False)
        else:
            self._fix(finding, finding.remedy)

    @work(group="fix")
    async def _fix(self, finding: Finding, remedy: Remedy) -> None:
        if remedy.asks:
            question = Question(f"Mend: {finding.name}?", remedy.what, [Answer("mend", "m", "Do it")])
            if await self.app.push_screen_wait(question) != "mend":
                return
        self._fixing = finding.name
        self._said.clear()
        try:
            done = await asyncio.to_thread(remedy.apply, self._say)
        except UserError as error:
            self.notify(error.hint, title=error.message, severity="error", markup=False)
        else:
            self.notify(done, title=f"{finding.name}: done.", markup=False)
        self._fixing = ""
        self.action_look_again()

    def _say(self, line: str) -> None:
        """In a thread: show a line of a fix. Whoever left the console wants no more of it."""
        if self._left:
            raise UserError("The console was left.")
        self.post_message(Said(line))

    @on(Said)
    def _line_said(self, message: Said) -> None:
        self._said.append(message.line)
        self._show_detail()

    # Getting about

    def action_next_trouble(self) -> None:
        """The next finding that is worth a look, from the chosen one on and then from the top."""
        here = self._list.highlighted or 0
        troubles = [i for i, one in enumerate(self._rows) if one is not None and one.level in ("warning", "failed")]
        if troubles:
            self._list.highlighted = next((index for index in troubles if index > here), troubles[0])
        elif not self._looking:
            self.notify("Nothing has to be mended.")

    def action_next_pane(self) -> None:
        target = self.query_one("#check-detail") if self.focused is self._list else self._list
        target.focus()

    def action_show_help(self) -> None:
        self.app.push_screen(HelpScreen(CHECK_ACTIONS, CHECK_KEYS))

    def action_back(self) -> None:
        if self._fixing:
            self.notify("Wait until it is done.", title=f"{self._fixing} is being mended.", markup=False)
        else:
            self.dismiss(None)
