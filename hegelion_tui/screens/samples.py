"""The samples screen: what was accepted, what was not and why; and what a person decides on it.

Files are read in threads, but for the rows on the screen; what was found comes back as messages.
"""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, Static

from hegelion_core.errors import UserError, explain
from hegelion_core.generation.catalogue import Catalogue, Entry, Page, View
from hegelion_core.generation.decisions import Action as Decided
from hegelion_core.generation.decisions import Text
from hegelion_core.run_state import RunState
from hegelion_core.workspace import Workspace
from hegelion_tui import sample_words
from hegelion_tui.actions import SAMPLE_ACTIONS, SAMPLE_KEYS
from hegelion_tui.keys import key_names
from hegelion_tui.messages import SamplesDecided
from hegelion_tui.screens.edit_sample import EditSample
from hegelion_tui.screens.export_samples import export_samples
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.line_question import LineQuestion
from hegelion_tui.screens.room import Room
from hegelion_tui.widgets.key_bar import KeyBar
from hegelion_tui.widgets.sample_table import RowMoved, RowOpened, SampleTable

POLL = 0.5
"""Seconds between looks at the files."""
PAUSE = 0.04
"""Seconds that the cursor rests on a row before its text is read."""
_VIEWS: tuple[tuple[View, str], ...] = (("samples", "samples"), ("attempts", "not accepted"))


@dataclass(frozen=True)
class Shown:
    """What can be read and decided on: a row, as it was read."""

    view: View
    page: Page
    line: bytes


@dataclass
class Opened(Message):
    """The catalogue can be used."""

    catalogue: Catalogue


@dataclass
class Refreshed(Message):
    """Something was appended, or decided, since."""


@dataclass
class Found(Message):
    """Part of a search: rows that were found up to row ``looked`` of ``total``."""

    number: int
    looked: int
    total: int
    rows: array[int]


class ViewTab(Static):
    """One of the two tables."""

    ALLOW_SELECT = False

    def __init__(self, view: View) -> None:
        super().__init__(id=f"view-{view}", markup=False)
        self.view = view

    async def on_click(self) -> None:
        await self.run_action(f"screen.choose_view('{self.view}')")


class SamplesScreen(Room):
    """Table and text side by side where there is room, else one at a time."""

    AUTO_FOCUS = "SampleTable"
    CSS_PATH = "../samples.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in SAMPLE_ACTIONS]

    state: reactive[RunState] = reactive(RunState(), repaint=False)

    def __init__(self, place: Workspace, state: RunState) -> None:
        super().__init__()
        self._place = place
        self.set_reactive(SamplesScreen.state, state)
        self._path: Path | None = None
        self._catalogue: Catalogue | None = None
        self._view: View = "samples"
        self._pattern: re.Pattern[str] | None = None
        self._state = ""
        """The state that is filtered for, if any."""
        self._selection = 0
        """Counts selections; what an earlier one found is not shown."""
        self._looked = 0
        """Rows of the shelf that the selection has looked at."""
        self._busy_selecting = False
        self._keep: int | None = None
        self._version = 0
        self._shown: Shown | None = None
        self._refreshing = False

    def compose(self) -> ComposeResult:
        yield Static(id="samples-head", markup=False)
        with Horizontal(id="views"):
            for view, _ in _VIEWS:
                yield ViewTab(view)
            yield Static(id="samples-filter", markup=False)
        with Horizontal(id="samples-body"):
            yield SampleTable(self._entry)
            with VerticalScroll(id="sample-text"):
                yield Static(markup=False)
        with Horizontal(id="samples-search"):
            yield Static("/", markup=False)
            yield Input(placeholder="text or regular expression; Enter searches, Escape leaves", compact=True)
        yield KeyBar(SAMPLE_ACTIONS)
        yield Static("This needs 40 x 12 cells. The run goes on.", id="too-small", markup=False)

    def on_mount(self) -> None:
        self.query_one("#samples-search").display = False
        self._table.empty = "Reading the sample file."
        self._find_file()
        self._show_heads()
        self.set_interval(POLL, self._poll)

    def watch_state(self) -> None:
        if self.is_mounted:
            self._find_file()
            self._show_heads()

    @property
    def _table(self) -> SampleTable:
        return self.query_one(SampleTable)

    @property
    def _filtered(self) -> bool:
        return self._pattern is not None or bool(self._state)

    # Opening and following the files

    def _find_file(self) -> None:
        if self._path is not None:
            return
        if not self.state.sample_path:
            self._table.empty = "No sample file is known yet; generate samples first."
            return
        self._path = Path(self.state.sample_path)
        self._table.empty = "Reading the sample file."
        self._open(self._path)

    @work
    async def _open(self, path: Path) -> None:
        try:
            self.post_message(Opened(await asyncio.to_thread(Catalogue, path)))
        except UserError as error:
            self._table.empty = f"{error.message} {error.hint}"

    @on(Opened)
    def _opened(self, message: Opened) -> None:
        self._catalogue = message.catalogue
        self._version = message.catalogue.version
        self._show_view()

    def _poll(self) -> None:
        if self._catalogue is not None and not self._refreshing:
            self._refreshing = True
            self._refresh_files(self._catalogue)

    @work
    async def _refresh_files(self, catalogue: Catalogue) -> None:
        try:
            if await asyncio.to_thread(catalogue.refresh) or catalogue.version != self._version:
                self.post_message(Refreshed())
        except OSError:
            pass  # the next look may succeed; what is shown is what was read
        finally:
            self._refreshing = False

    @on(Refreshed)
    def _refreshed(self) -> None:
        if (catalogue := self._catalogue) is None:
            return
        decided = catalogue.version != self._version
        self._version = catalogue.version
        if decided:
            self._table.forget()
            self._read_page()
        if not self._filtered:
            self._table.show_all(len(catalogue.shelves[self._view]))
        elif decided and self._state:
            self._select()
        elif not self._busy_selecting:
            self._look_on(self._selection, self._looked)
        self._show_heads()

    # Which rows are shown

    def _show_view(self) -> None:
        """Show a shelf from its beginning, as the filter wants it."""
        table = self._table
        self._shown = None
        table.marks.clear()
        table.forget()
        table.cursor = 0
        self._select()
        self._read_page()

    def _select(self) -> None:
        """Find the rows that are to be shown; the cursor stays on its row, if it is one of them."""
        if (catalogue := self._catalogue) is None:
            return
        self._selection += 1
        self._keep = self._table.index
        self._looked = 0
        if self._filtered:
            self._table.empty = "Nothing found yet."
            self._table.show_found(array("Q"), keep=None)
            self._look_on(self._selection, 0)
        else:
            self._busy_selecting = False
            shelf = catalogue.shelves[self._view]
            self._table.empty = "No sample yet." if self._view == "samples" else "Nothing was rejected, nothing failed."
            self._table.show_all(len(shelf))
        self._show_heads()

    @work
    async def _look_on(self, number: int, start: int) -> None:
        if self._catalogue is not None:
            self._busy_selecting = True
            await asyncio.to_thread(self._look, self._catalogue, number, start)

    def _look(self, catalogue: Catalogue, number: int, start: int) -> None:
        """In a thread: look through the shelf, and tell as it goes."""
        view, states = self._view, frozenset({self._state} if self._state else ())
        total = len(catalogue.shelves[view])
        told, rows = time.monotonic(), array("Q")
        looked = start
        try:
            for looked, found in catalogue.select(
                view, start, self._pattern, states, lambda: number != self._selection
            ):
                rows.extend(found)
                if time.monotonic() - told > 0.1:
                    self.post_message(Found(number, looked, total, rows))
                    told, rows = time.monotonic(), array("Q")
        except OSError:
            pass  # the file was moved away; what was found is shown
        self.post_message(Found(number, looked, looked, rows))

    @on(Found)
    def _found(self, message: Found) -> None:
        if message.number != self._selection:
            return
        self._looked = message.looked
        table = self._table
        before = table.count
        table.grow(message.rows)
        if self._keep is not None and not before and table.count:
            table.show_found(array("Q", table.rows), keep=self._keep)
        if message.looked >= message.total:
            self._busy_selecting = False
            self._keep = None
            table.empty = "Nothing found."
        self._show_heads()

    def _entry(self, index: int) -> Entry | None:
        return self._catalogue.entry(self._view, index) if self._catalogue is not None else None

    # What is read

    @on(RowMoved)
    def _row_moved(self) -> None:
        self._read_page(PAUSE)

    @work(exclusive=True, group="page")
    async def _read_page(self, pause: float = 0.0) -> None:
        if pause:  # whoever goes through the table fast wants to see rows, not texts
            await asyncio.sleep(pause)
        if not self.query(SampleTable):
            return  # the screen was left meanwhile
        before, self._shown = self._shown, await self._read(self._view, self._table.index)
        shown = self._shown
        pane = self.query_one("#sample-text")
        pane.query_one(Static).update(sample_words.page(shown.page) if shown is not None else "")
        pane.border_title = sample_words.title(shown.page.entry) if shown is not None else None
        if before is None or shown is None or before.line != shown.line:
            pane.scroll_home(animate=False)

    async def _read(self, view: View, index: int | None) -> Shown | None:
        if self._catalogue is None or index is None:
            return None
        found = await asyncio.to_thread(self._catalogue.page, view, index)
        return Shown(view, *found) if found is not None else None

    @on(RowOpened)
    def _row_opened(self) -> None:
        self._show_text(True)

    def _show_text(self, shown: bool) -> None:
        self.set_class(shown, "-text")
        target = self.query_one("#sample-text") if shown else self._table
        self.call_after_refresh(target.focus)

    def _show_heads(self) -> None:
        catalogue = self._catalogue
        path = self._path
        shown = ""
        if path is not None:
            below = path.is_relative_to(self._place.root)
            shown = sample_words.one_line(str(path.relative_to(self._place.root) if below else path))
        counts = ""
        if catalogue is not None:
            target = f" of {self.state.target:,}" if self.state.target else ""
            counts = f"{catalogue.store.accepted:,}{target} count"
        head = Content.assemble(("samples ", "bold $primary"), counts, "   " if counts else "", (shown, "dim"))
        self.query_one("#samples-head", Static).update(head)
        for view, name in _VIEWS:
            count = f" {len(catalogue.shelves[view]):,}" if catalogue is not None else ""
            tab = self.query_one(f"#view-{view}", Static)
            tab.update(f"{name}{count}")
            tab.set_class(view == self._view, "-active")
        self.query_one("#samples-filter", Static).update(self._filter_words())

    def _filter_words(self) -> Content:
        parts = [f"only {self._state}"] if self._state else []
        if self._pattern is not None:
            parts.append(f"/{sample_words.one_line(self._pattern.pattern)}/")
        if self._filtered and self._catalogue is not None:
            parts.append(f"{self._table.count:,} found")
            total = len(self._catalogue.shelves[self._view])
            if self._busy_selecting and total:
                parts.append(f"searching {self._looked / total:.0%}")
        if self._table.marks:
            parts.append(f"{len(self._table.marks):,} marked")
        return Content.assemble((" · ".join(parts), "$accent"))

    # Actions

    def action_back(self) -> None:
        if self.query_one("#samples-search").display:
            self._hide_search()
        elif self.has_class("-text") and not self.has_class("-wide"):
            self._show_text(False)
        elif self._filtered:
            self._pattern, self._state = None, ""
            self._select()
        else:
            self.dismiss(None)

    def action_show_help(self) -> None:
        self.app.push_screen(HelpScreen(SAMPLE_ACTIONS, SAMPLE_KEYS))

    def action_next_pane(self) -> None:
        self._show_text(self.focused is self._table)

    def action_maximise(self) -> None:
        self._show_text(self.focused is not self._table)
        self.toggle_class("-maximised")

    def action_switch_view(self) -> None:
        self.action_choose_view("attempts" if self._view == "samples" else "samples")

    def action_choose_view(self, view: str) -> None:
        if view != self._view:
            self._view = "attempts" if view == "attempts" else "samples"
            self._state = ""
            self._show_view()
            self._show_text(False)

    def action_filter(self) -> None:
        states = ("", *sample_words.STATES[self._view])
        self._state = states[(states.index(self._state) + 1) % len(states)]
        self._select()

    def action_search(self) -> None:
        self.query_one("#samples-search").display = True
        line = self.query_one(Input)
        line.value = self._pattern.pattern if self._pattern is not None else ""
        line.focus()

    @on(Input.Submitted)
    def _search_submitted(self, event: Input.Submitted) -> None:
        self._pattern = pattern(event.value) if event.value else None
        self._hide_search()
        self._show_text(False)
        self._select()

    def _hide_search(self) -> None:
        self.query_one("#samples-search").display = False
        self._table.focus()

    def action_mark(self) -> None:
        self._table.mark()
        self._show_heads()

    # What is decided on is the row under the cursor at the moment of the key, however fast it moves.

    def action_accept(self) -> None:
        self._decide_here("accept", "Accepted", self._view, self._table.index)

    def action_undo(self) -> None:
        self._decide_here("undo", "The last decision is taken back", self._view, self._table.index)

    def action_reject(self) -> None:
        self._reject(self._view, self._table.index)

    def action_edit(self) -> None:
        self._edit(self._view, self._table.index)

    @work
    async def _decide_here(self, action: Decided, done: str, view: View, index: int | None) -> None:
        if (shown := await self._read(view, index)) is not None:
            await self._decide(shown, action, done)

    @work(exclusive=True, group="question")
    async def _reject(self, view: View, index: int | None) -> None:
        """Asks why first; an answer is not needed."""
        if (shown := await self._read(view, index)) is None:
            return
        entry = shown.page.entry
        if entry.state in ("rejected", "failed"):
            self.notify("It counts for nothing.", title="It gave no sample.")
            return
        about = sample_words.one_line(entry.prompt)[:60]
        reason = await self.app.push_screen_wait(
            LineQuestion(f"Reject number {entry.number:,}", f"{about}\nWhy? It may be empty.", enter="rejects")
        )
        if reason is not None:  # a sample that was made of an attempt is no sample any more without its acceptance
            await self._decide(shown, "reject" if view == "samples" else "undo", "Rejected", reason=reason)

    @work(exclusive=True, group="question")
    async def _edit(self, view: View, index: int | None) -> None:
        if (shown := await self._read(view, index)) is None:
            return
        if not shown.page.prompt.strip():
            self.notify("There is no prompt to answer.", title="This cannot be edited.", severity="warning")
            return
        text = await self.app.push_screen_wait(EditSample(shown.page.prompt, shown.page.text))
        if text is not None:
            await self._decide(shown, "edit", "Kept as you wrote it", text=text)

    async def _decide(
        self, shown: Shown, action: Decided, done: str, *, text: Text | None = None, reason: str = ""
    ) -> None:
        """Write a decision, and tell how it went."""
        if self._catalogue is None:
            return
        decide = self._catalogue.decide
        try:
            await asyncio.to_thread(decide, shown.view, shown.line, action, text=text, reason=reason)
        except UserError as error:
            self.notify(error.hint, title=error.message, severity="warning", markup=False)
        except OSError as error:
            known = explain(error)
            self.notify(known.hint, title=known.message, severity="error", markup=False)
        else:
            self.notify(
                f"{key_names(self.app)('undo')} takes it back." if action != "undo" else "", title=f"{done}.", timeout=3
            )
            self.post_message(SamplesDecided())
        self.post_message(Refreshed())

    @work(exclusive=True, group="question")
    async def action_export(self) -> None:
        """Write the marked rows, or those that are shown, into a file that is chosen."""
        catalogue, table = self._catalogue, self._table
        if catalogue is None or not table.count:
            self.notify("Choose other rows first.", title="There is nothing to export.")
            return
        rows = sorted(table.marks) if table.marks else list(table.rows)
        what = f"{len(rows):,} {'marked' if table.marks else 'shown'} of {dict(_VIEWS)[self._view]}"
        await export_samples(self, self._place, catalogue, self._view, rows, what)


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression, or the text itself where it is none; capitals and small letters are the same."""
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error:
        return re.compile(re.escape(text), re.IGNORECASE)
