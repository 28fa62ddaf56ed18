"""The compare screen: a question, what base and adapter say to it as it comes, and what the evaluation found.

Files are read in a thread; what was found comes back as a message. The question goes up as one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from hegelion_core.comparing.exchange import MAX_QUESTION, checked
from hegelion_core.comparing.rows import Row, Rows
from hegelion_core.doctor.case import settings_of
from hegelion_core.errors import UserError
from hegelion_core.evaluation.summary import Evaluation
from hegelion_core.run_state import RunState
from hegelion_core.workspace import RunFolder, Workspace
from hegelion_tui import compare_words, sample_words
from hegelion_tui.actions import COMPARE_ACTIONS, COMPARE_KEYS
from hegelion_tui.logs.pane import Entry
from hegelion_tui.messages import AnswersStopRequested, QuestionAsked
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.room import Room
from hegelion_tui.widgets.key_bar import KeyBar

POLL = 0.1
"""Seconds between looks at the files."""
TEMPERATURES = (0.0, 0.3, 0.7, 1.0)
Who = Literal["base", "adapter"]


@dataclass
class Read(Message):
    """What the files hold now."""

    rows: list[Row]
    evaluation: Evaluation | None
    adapter_there: bool


class QuestionLine(Entry):
    """Takes a text of several lines as one."""

    def on_paste(self, event: events.Paste) -> None:
        event.prevent_default()  # Input would take the first line alone
        event.stop()
        self.insert_text_at_cursor(" ".join(event.text.split()))


class AnswerPane(VerticalScroll):
    """One model's answer."""

    def __init__(self, who: Who) -> None:
        super().__init__(id=f"answer-{who}", classes="answer")
        self.who = who
        self._shown: tuple[Row, bool] | None = None

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, row: Row, *, raw: bool) -> None:
        """Show this side of a row, if it is not shown already; a growing answer is followed until one scrolls up."""
        before, self._shown = self._shown, (row, raw)
        if before == self._shown:
            return
        side = row.base if self.who == "base" else row.adapter
        other = before is None or before[0].key != row.key
        follows = row.progress != "ended" if other else self.scroll_offset.y >= self.max_scroll_y
        text = compare_words.page(row, side, raw=raw) or Content(compare_words.waiting(row))
        self.query_one(Static).update(text)
        if follows:  # not Textual's anchor, which pushes a text that is shorter than the pane to its foot
            self.call_after_refresh(self.scroll_end, animate=False)
        elif other:
            self.scroll_home(animate=False)
        self._show_facts()
        self.border_title = Content.assemble(self.who, (f"  {compare_words.asked_with(row)}", "dim"))

    def on_resize(self) -> None:
        self._show_facts()

    def _show_facts(self) -> None:
        if self._shown is not None:
            row, _ = self._shown
            side = row.base if self.who == "base" else row.adapter
            self.border_subtitle = compare_words.facts(row, side, self.outer_size.width - 6)

    def show_nothing(self, words: Content) -> None:
        """There is no row."""
        self._shown = None
        self.query_one(Static).update(words)
        self.border_title, self.border_subtitle = Content(self.who), ""


class CompareScreen(Room):
    """Questions and figures above, both answers in the middle, the question line below."""

    AUTO_FOCUS = "QuestionLine"
    CSS_PATH = "../compare.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (40, "-narrow"), (76, "-middle"), (110, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        *(action.binding for action in COMPARE_ACTIONS),
        Binding("up", "choose(-1)", show=False),
        Binding("down", "choose(1)", show=False),
        Binding("pageup", "scroll_both(-1)", show=False),
        Binding("pagedown", "scroll_both(1)", show=False),
    ]

    state: reactive[RunState] = reactive(RunState(), repaint=False)
    gone: reactive[bool] = reactive(False, repaint=False)
    """The core has ended."""

    def __init__(self, place: Workspace, state: RunState) -> None:
        super().__init__()
        self._place = place
        self.set_reactive(CompareScreen.state, state)
        self._files: Rows | None = None
        self._adapter = Path()
        self._reading = False
        self._rows: list[Row] = []
        self._key: tuple[str, int] | None = None
        """The row that is shown."""
        self._evaluation: Evaluation | None = None
        self._adapter_there: bool | None = None
        self._asked = ""
        """The question that was sent, until it is seen in the files."""
        self._stopping = False
        """Whoever wants to leave need not wait for the end."""
        self._raw = False
        self._temperature = TEMPERATURES[0]
        self._side: Who = "adapter"
        """The answer that is shown where there is room for one."""

    def compose(self) -> ComposeResult:
        yield Static(id="compare-head", markup=False)
        with Horizontal(id="compare-top"):
            with Vertical(id="compare-questions"):
                yield Static(id="compare-columns", markup=False)
                yield OptionList(id="compare-list", markup=False, compact=True)
            yield Static(id="compare-figures", markup=False)
        yield Static(id="compare-question", markup=False)
        with Horizontal(id="compare-answers"):
            yield AnswerPane("base")
            yield AnswerPane("adapter")
        with Horizontal(id="compare-ask"):
            yield Static(id="compare-how", markup=False)
            yield QuestionLine(placeholder="a question for both; Enter asks", compact=True, max_length=MAX_QUESTION)
        yield KeyBar(COMPARE_ACTIONS)
        yield Static("This needs 40 x 12 cells. The run goes on.", id="too-small", markup=False)

    def on_mount(self) -> None:
        self.query_one("#compare-questions").border_title = Content("questions")
        self.query_one("#compare-figures").border_title = Content("evaluation")
        self._show_side()
        self._show_how()
        self._open()

    def show_resized(self) -> None:
        self._fit()

    def watch_state(self) -> None:
        self._show_head()

    def watch_gone(self) -> None:
        self._show_head()

    # Reading

    @work
    async def _open(self) -> None:
        try:
            settings = await asyncio.to_thread(settings_of, self._place, self.state)
        except (UserError, OSError) as error:
            self.notify(str(error), title="The settings cannot be read.", severity="error", markup=False)
            return
        self._adapter = self._place.resolve(settings.training.adapter_path)
        self._files = Rows(RunFolder(Path(self.state.folder)), self._adapter)
        self._poll()
        self.set_interval(POLL, self._poll)

    def _poll(self) -> None:
        if self._files is not None and not self._reading:
            self._reading = True
            self._read(self._files)

    @work
    async def _read(self, files: Rows) -> None:
        try:
            if await asyncio.to_thread(files.refresh) or self._adapter_there is None:
                self.post_message(Read(files.all(), files.evaluation, files.adapter_there))
        except OSError:
            pass  # the next look may succeed; what is shown is what was read
        finally:
            self._reading = False

    @on(Read)
    def _was_read(self, message: Read) -> None:
        before, self._rows = self._rows, message.rows
        self._evaluation, self._adapter_there = message.evaluation, message.adapter_there
        newest = self._newest
        self._stopping = self._stopping and self._answering
        known = {row.key for row in before}
        if newest is not None and newest.key not in known and (before or newest.progress != "ended"):
            self._key = newest.key
        if newest is not None and newest.prompt == self._asked and newest.key not in known:
            self._asked = self._line.value = ""
        self._show_list(before)
        self._show_all()

    # Showing

    @property
    def _list(self) -> OptionList:
        return self.query_one("#compare-list", OptionList)

    @property
    def _line(self) -> QuestionLine:
        return self.query_one(QuestionLine)

    @property
    def _newest(self) -> Row | None:
        """The question that was asked last."""
        return self._rows[0] if self._rows and self._rows[0].origin == "asked" else None

    @property
    def _chosen(self) -> Row | None:
        return next((row for row in self._rows if row.key == self._key), None)

    @property
    def _answering(self) -> bool:
        return self._newest is not None and self._newest.progress != "ended"

    def _show_list(self, before: list[Row]) -> None:
        """The list anew, or only those of its rows that have changed."""
        width = self._list.size.width
        if [row.key for row in before] != [row.key for row in self._rows]:
            self._list.set_options([Option(compare_words.row(row, width)) for row in self._rows])
        else:
            for index, (old, new) in enumerate(zip(before, self._rows, strict=True)):
                prompt = compare_words.row(new, width) if old != new else None
                if prompt is not None and prompt != compare_words.row(old, width):  # its text grows, not its line
                    self._list.replace_option_prompt_at_index(index, prompt)
        if self._chosen is None:
            self._key = self._rows[0].key if self._rows else None
        keys = [row.key for row in self._rows]
        self._list.highlighted = keys.index(self._key) if self._key in keys else None

    def _fit(self) -> None:
        """Everything in words that fit."""
        self._show_list([])
        self._show_all()

    def _show_all(self) -> None:
        """Everything but the list's rows."""
        self._show_head()
        self._show_answers()
        figures = self.query_one("#compare-figures", Static)
        size = figures.content_size
        figures.update(compare_words.figures(self._evaluation, size.width, lines=size.height))
        self.query_one("#compare-columns", Static).update(compare_words.columns(self._list.size.width))

    def _show_head(self) -> None:
        if not self.is_mounted:
            return
        training = self.state.stages["train"].status == "running"
        told = compare_words.told(self._newest, training=training, gone=self.gone)
        head = self.query_one("#compare-head", Static)
        head.update(compare_words.head(self.state.student, self._adapter.name, told, head.content_size.width))

    def _show_answers(self) -> None:
        chosen = self._chosen
        question = sample_words.one_line(chosen.prompt) if chosen is not None else ""
        self.query_one("#compare-question", Static).update(question)
        for pane in self.query(AnswerPane):
            if chosen is not None:
                pane.show(chosen, raw=self._raw)
            else:
                pane.show_nothing(compare_words.empty(adapter=self._adapter_there))

    def _show_how(self) -> None:
        shown = Content.assemble(("ask ", "bold $primary"), (compare_words.decoding(self._temperature), "dim"), " › ")
        self.query_one("#compare-how", Static).update(shown)

    def _show_side(self) -> None:
        for pane in self.query(AnswerPane):
            pane.set_class(pane.who == self._side, "-side")

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self._rows):
            self._key = self._rows[event.option_index].key
            self._show_answers()

    @on(events.DescendantFocus)
    def _pane_focused(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, AnswerPane):
            self._side = event.widget.who
            self._show_side()

    # Asking

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        try:
            self._asked = checked(event.value, self._temperature)
        except UserError as error:
            self.notify(error.hint, title=error.message, severity="warning", markup=False)
            return
        self.post_message(QuestionAsked(self._asked, self._temperature))

    @on(OptionList.OptionSelected)
    def _take(self) -> None:
        """Take a question into the line, to ask it or another like it."""
        if (chosen := self._chosen) is not None:
            self._line.value = " ".join(chosen.prompt.split())
            self._line.cursor_position = len(self._line.value)
            self._line.focus()

    def action_ask(self) -> None:
        self._line.focus()

    def action_stop(self) -> None:
        if self._answering:
            self._stopping = True
            self.post_message(AnswersStopRequested())
        else:
            self.notify("Type a question and press Enter.", title="Nothing is being answered.")

    def action_next_temperature(self) -> None:
        self._temperature = TEMPERATURES[(TEMPERATURES.index(self._temperature) + 1) % len(TEMPERATURES)]
        self._show_how()

    # Getting about

    def action_choose(self, by: int) -> None:
        if self._rows:
            here = self._list.highlighted or 0
            self._list.highlighted = max(0, min(here + by, len(self._rows) - 1))

    def action_scroll_both(self, by: int) -> None:
        for pane in self.query(AnswerPane):
            if by < 0:
                pane.scroll_page_up(animate=False)
            else:
                pane.scroll_page_down(animate=False)

    def action_next_pane(self) -> None:
        self._step(1)

    def action_previous_pane(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        order = [self._line, self._list, *self.query(AnswerPane)]
        here = next((index for index, widget in enumerate(order) if widget is self.focused), 0)
        target = order[(here + by) % len(order)]
        if isinstance(target, AnswerPane):
            self._side = target.who
            self._show_side()
            self.call_after_refresh(target.focus)  # it may have been hidden until now
        else:
            target.focus()

    def action_switch_side(self) -> None:
        self._side = "base" if self._side == "adapter" else "adapter"
        self._show_side()
        if isinstance(self.focused, AnswerPane):
            self.call_after_refresh(self.query_one(f"#answer-{self._side}").focus)

    def action_maximise(self) -> None:
        self.toggle_class("-maximised")

    def action_raw(self) -> None:
        self._raw = not self._raw
        self._show_answers()

    def action_show_help(self) -> None:
        self.app.push_screen(HelpScreen(COMPARE_ACTIONS, COMPARE_KEYS))

    def action_back(self) -> None:
        if self._answering and not self.gone and not self._stopping:
            self.action_stop()
        elif self.has_class("-maximised"):
            self.remove_class("-maximised")
        else:
            self.dismiss(None)
