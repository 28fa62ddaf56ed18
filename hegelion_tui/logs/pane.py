"""A pane with a log: its title and what it says at the foot, the prompt, searching, filtering, copying."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widgets import Input, Static

from hegelion_core.commands.text import printable
from hegelion_tui.actions import LOG_ACTIONS
from hegelion_tui.logs.search import BadPattern, Hunt, Pattern, Spot
from hegelion_tui.logs.turns import Turns
from hegelion_tui.logs.view import LogView
from hegelion_tui.logs.volume import Volume
from hegelion_tui.widgets.pane import Pane

POLL = 0.1
"""Seconds between looks at a log."""
ELSEWHERE = 3
"""Of so many looks one is made where nobody is."""
SLOWER = 3
"""How many times less often while keys are pressed in another pane, or nobody could read what comes."""
LANES = 8
"""Panes next to each other do not look at the same time: into so many parts the time between looks is divided."""
SLICE = 128
"""Blocks that a thread counts at a time."""
_SHOWN = 40  # characters of a pattern in the title

Purpose = Literal["search", "filter"]


class Entry(Input):
    """What is typed into the prompt. The screen is not laid out anew at each letter, since nothing depends on it."""

    virtual_size: reactive[Size] = reactive(Size(0, 0))


class Prompt(Horizontal):
    """Asks for a pattern at the foot of a pane."""

    purpose: Purpose = "search"

    def compose(self) -> ComposeResult:
        yield Static(markup=False)
        yield Entry(compact=True, select_on_focus=True, placeholder="a regular expression; empty: none")

    def ask(self, purpose: Purpose, text: str) -> None:
        """Open, with ``text`` to begin with."""
        self.purpose = purpose
        self.query_one(Static).update("/" if purpose == "search" else "&")
        entry = self.query_one(Input)
        with entry.prevent(Input.Changed):
            entry.value = text
        self.add_class("-open")
        self.screen.set_focus(entry, scroll_visible=False)  # at once: the next key belongs to it already

    def close(self) -> None:
        self.remove_class("-open")


class LogPane(Pane):
    """Log files, followed; several are merged by time. The keys of ``LOG_ACTIONS`` work in it."""

    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in LOG_ACTIONS]

    heading: reactive[Content] = reactive(Content(""), repaint=False)
    """The title, without what the pane adds to it."""
    empty: reactive[str] = reactive("", repaint=False)
    """What stands in an empty log."""

    def __init__(
        self,
        title: str,
        paths: Sequence[Path],
        id: str,  # noqa: A002 - Textual's name
        empty: str,
        turns: Turns | None = None,
    ) -> None:
        """``turns`` are shared by the panes of a screen."""
        super().__init__(title, id)
        self._turns = turns or Turns()
        self.set_reactive(LogPane.heading, Content(title))
        self.set_reactive(LogPane.empty, empty)
        self.paths = list(paths)
        self.volume = Volume(paths)
        self.trouble = ""
        self._filter: Pattern | None = None
        self._hunt: Hunt | None = None
        self._tick = 0
        self._note = ""
        self._foot = ""
        self._ordinal: int | None = None

    def compose(self) -> ComposeResult:
        yield LogView(self.volume, self._turns).data_bind(LogPane.empty)

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def on_mount(self) -> None:
        self.watch(self.view, "unseen", self._show_foot)
        self.watch(self.view, "following", self._show_foot)
        self.call_after_refresh(self.poll)
        self._tick = list(self.screen.query(LogPane)).index(self)
        self.set_timer(max(0.001, self._tick % LANES * POLL / LANES), self._follow)

    def _follow(self) -> None:
        self.set_interval(POLL, self._poll_if_shown)

    async def _poll_if_shown(self) -> None:
        """A pane that nobody is in is looked at less often, and any still less while its log rushes by."""
        self._tick += 1
        every = 1 if self.has_focus_within else ELSEWHERE
        if self.view.rushing or (self._turns.keys_come and not self.has_focus_within):
            every *= SLOWER
        if self.view.is_on_screen and self._tick % every == 0:
            async with self._turns.mine():
                self.poll()

    def poll(self) -> None:
        """Look for what is new in the files."""
        try:
            self.view.look()
            self.trouble = ""
        except OSError as error:
            name = Path(str(error.filename or self.volume.files[0].path)).name
            self.trouble = f"{printable(name)}: cannot be read ({error.strerror})."
        self.view.empty = self.trouble or self.empty
        if self._hunt is not None and not self._hunt.counting and self._hunt.behind:
            self._count()

    def on_unmount(self) -> None:
        if self._hunt is not None:
            self._hunt.cancelled = True  # a thread looks at nothing else

    def watch_heading(self) -> None:
        self._show_title()

    def _show_title(self) -> None:
        if self._filter is None:
            self.border_title = self.heading
        else:
            pattern = printable(self._filter.text)
            pattern = pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}…"
            self.border_title = Content.assemble((f"& {pattern}", "bold $accent"), " · ", self.heading)

    @on(LogView.Moved)
    def _show_foot(self) -> None:
        """Where one is, what is new, and where the search stands."""
        view = self.view
        parts = [self._note or self._search_words()]
        if not view.following:
            lines = f"{view.unseen:,} line{'s' if view.unseen != 1 else ''}"
            parts += [self._position(), f"+{lines}, End follows" if view.unseen else "End follows"]
        text = " · ".join(part for part in parts if part)
        if text != self._foot:
            self._foot = text
            self.border_subtitle = Content(text) if text else None

    def _position(self) -> str:
        """How far into the files one is, if not all of them is in memory."""
        window, size = self.view.window, self.volume.size
        partly = any(window.top) or window.bottom != self.volume.whole_end()
        if self.volume.merged or not partly:
            return ""
        first = self.view.first_shown
        return f"{first.entry.offset / size:.0%}" if first and size else ""

    def _search_words(self) -> str:
        if (hunt := self._hunt) is None:
            return "filtering" if self.view.reading else ""
        total = f"{hunt.total:,}"
        if hunt.behind and hunt.counting and hunt.share < 0.99:
            return f"/ {total} so far, {hunt.share:.0%} counted"
        return f"/ {self._ordinal:,} of {total}" if self._ordinal else f"/ {total} match{'es' if total != '1' else ''}"

    # What the keys do

    async def action_search(self) -> None:
        await self._ask("search", self._hunt.pattern.text if self._hunt else "")

    async def action_filter(self) -> None:
        await self._ask("filter", self._filter.text if self._filter else "")

    def action_next_match(self) -> None:
        self._seek(1)

    def action_previous_match(self) -> None:
        self._seek(-1)

    def action_wrap(self) -> None:
        self.view.wrapped = not self.view.wrapped

    def action_copy(self) -> None:
        text = self.screen.get_selected_text() or self.view.shown_text()
        if not text:
            self.notify("Nothing is shown that could be copied.")
            return
        self.app.copy_to_clipboard(text)
        count = text.count("\n") + 1
        self.notify(f"{count:,} line{'s' if count != 1 else ''}, {len(text):,} characters.", title="Copied")

    def action_select_up(self) -> None:
        self.view.select_lines(-1)

    def action_select_down(self) -> None:
        self.view.select_lines(1)

    def action_clear(self) -> None:
        """One thing at a time: the prompt, the selection, the search, the filter."""
        if self._asking:
            self._give_up()
            self.screen.set_focus(self.view, scroll_visible=False)
        elif self.screen.selections:
            self.screen.clear_selection()
        elif self._hunt is not None or self._note:
            self._search_for(None)
        elif self._filter is not None:
            self._filter_by(None)

    # The prompt

    async def _ask(self, purpose: Purpose, text: str) -> None:
        self._load()
        if not self.query(Prompt):  # a prompt that nobody asked for would be styled and laid out with all else
            await self.mount(Prompt())
        self.query_one(Prompt).ask(purpose, text)

    @property
    def _asking(self) -> bool:
        return any(prompt.has_class("-open") for prompt in self.query(Prompt))

    @work(thread=True)
    def _load(self) -> None:
        Pattern("")  # what patterns need is loaded when the first one is wanted, aside

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        """Show at once what would match."""
        event.stop()
        self._turns.key_pressed()
        prompt = self.query_one(Prompt)
        pattern = self._compile(event.value)
        if prompt.purpose == "search" and (pattern is not None or not event.value):
            self.view.pattern = pattern

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        pattern = self._compile(event.value)
        if event.value and pattern is None:
            return  # the foot says why, and the prompt stays
        prompt = self.query_one(Prompt)
        prompt.close()
        self.screen.set_focus(self.view, scroll_visible=False)
        if prompt.purpose == "filter":
            self._filter_by(pattern)
        else:
            self._search_for(pattern)
            self._seek(0)

    def on_descendant_blur(self) -> None:
        """Who goes elsewhere has given up the prompt."""
        if self._asking and not self.query_one(Input).has_focus:
            self._give_up()

    def _give_up(self) -> None:
        self.query_one(Prompt).close()
        self.view.pattern = self._hunt.pattern if self._hunt else None
        self._say("")

    def _compile(self, text: str) -> Pattern | None:
        try:
            pattern = Pattern(text) if text else None
        except BadPattern as error:
            self._say(f"bad pattern: {printable(str(error))}")
            return None
        self._say("")
        return pattern

    def _say(self, note: str) -> None:
        self._note = note
        self._show_foot()

    # Searching

    def _search_for(self, pattern: Pattern | None) -> None:
        if self._hunt is not None:
            self._hunt.cancelled = True
        keep = self._filter.holds if self._filter else None
        self._hunt = Hunt(self.volume, pattern, keep) if pattern else None
        self.view.pattern, self.view.spot, self._ordinal = pattern, None, None
        self._say("")
        if self._hunt is not None:
            self._count()

    def _filter_by(self, pattern: Pattern | None) -> None:
        self._filter = pattern
        self.view.filter(pattern.holds if pattern else None)
        self._show_title()
        self._search_for(self._hunt.pattern if self._hunt else None)

    @work(group="count")
    async def _count(self) -> None:
        hunt = self._hunt
        if hunt is None or hunt.counting:
            return
        hunt.counting = True  # one thread at a time; one that was given up ends by itself
        try:
            while not await asyncio.to_thread(hunt.advance, SLICE) and not hunt.cancelled:
                self._show_foot()
            spot = self.view.spot
            if spot is not None and hunt is self._hunt and self._ordinal is None:
                self._ordinal = await asyncio.to_thread(hunt.ordinal, spot)
        except BadPattern as error:
            if hunt is self._hunt:
                self._search_for(None)
                self._say(f"bad pattern: {error}")
        finally:
            hunt.counting = False
        self._show_foot()

    @work(exclusive=True, group="seek")
    async def _seek(self, step: int) -> None:
        """To the next match (1), to the one before (-1), or to the nearest one (0)."""
        hunt, view = self._hunt, self.view
        if hunt is None:
            self._say("no search yet: / begins one")
            return
        try:
            spot, again = await asyncio.to_thread(_found, hunt, step, view.spot, view.cursor_below())
        except BadPattern:
            return  # the count says so
        if hunt is not self._hunt:
            return
        if spot is None:
            self._say(f"no match for {printable(hunt.pattern.text)[:_SHOWN]}")
            return
        self._note, self._ordinal = "", None
        view.show(spot)
        if again:
            self.notify("Went on from the other end.", timeout=2)
        if not hunt.behind:
            self._ordinal = await asyncio.to_thread(hunt.ordinal, spot)
        self._show_foot()


def _found(hunt: Hunt, step: int, spot: Spot | None, below: tuple[int, ...]) -> tuple[Spot | None, bool]:
    """The match that a step leads to, and whether it is beyond an end."""
    start, end = hunt.volume.start, hunt.volume.whole_end()
    if step > 0:
        found = hunt.forward(below, spot)
        return (found, False) if found else (hunt.forward(start), True)
    found = hunt.backward(below, spot)
    if step == 0:
        return (found or hunt.forward(below)), False
    return (found, False) if found else (hunt.backward(end), True)
