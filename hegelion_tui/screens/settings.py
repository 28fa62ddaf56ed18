"""The settings screen: every setting with its meaning, value and source; what is changed is saved at once.

The file is read and written in threads; what was found comes back as a message. It is the truth: what the screen shows
is what stands there, whoever wrote it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from hegelion_core.errors import UserError, explain
from hegelion_core.setting_sources import KEYS, SETTINGS_FILE, parse
from hegelion_core.settings import check
from hegelion_core.settings_file import Edit, Sources, Standings, shown
from hegelion_core.workspace import Workspace
from hegelion_tui import keys, setting_rows
from hegelion_tui.actions import SETTING_ACTIONS, SETTING_KEYS
from hegelion_tui.messages import SettingSaved
from hegelion_tui.preferences import THEME
from hegelion_tui.screens.choice import Choice
from hegelion_tui.screens.help import HelpScreen
from hegelion_tui.screens.room import Room
from hegelion_tui.setting_rows import UNKNOWN, Row
from hegelion_tui.widgets.key_bar import KeyBar

T = TypeVar("T")

POLL = 1.0
"""Seconds between looks at the file, which others may change too."""


@dataclass
class Looked(Message):
    """The file was read: where everything stands, or why that cannot be told."""

    standings: Standings | None
    trouble: str = ""


class SettingsScreen(Room):
    """Sections on the left, settings on the right, all about one of them below."""

    AUTO_FOCUS = "#settings"
    CSS_PATH = "../settings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in SETTING_ACTIONS]

    def __init__(self, place: Workspace, flags: Mapping[str, object], themes: Sequence[str]) -> None:
        super().__init__()
        self._sources = Sources(place.root, flags, place.demo)
        self._themes = themes
        self._standings: Standings | None = None
        self._rows: list[Row] = []
        self._section = ""
        self._search = ""
        self._only_changed = False
        self._editing: Row | None = None
        """The row whose value is being typed."""
        self._searching = False
        self._changes: list[tuple[str, Edit]] = []
        """What was changed here, to be taken back."""
        self._seen: tuple[int, int] | None = None
        self._saving = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield Static(id="settings-head", markup=False)
        with Horizontal(id="settings-body"):
            yield OptionList(id="sections", markup=False)
            with Vertical(id="settings-right"):
                yield Static(id="settings-columns", markup=False)
                yield OptionList(id="settings", markup=False)
        with VerticalScroll(id="setting-detail", can_focus=False):
            yield Static(markup=False)
        with Horizontal(id="setting-line"):
            yield Static(markup=False)
            yield Input(compact=True, select_on_focus=True)
        yield KeyBar(SETTING_ACTIONS)
        yield Static("This needs 40 x 12 cells. The run goes on.", id="too-small", markup=False)

    def on_mount(self) -> None:
        self.query_one("#setting-line").display = False
        self._look()
        self.set_interval(POLL, self._poll)

    def show_resized(self) -> None:
        self._show_rows()

    @property
    def _list(self) -> OptionList:
        return self.query_one("#settings", OptionList)

    @property
    def _here(self) -> Row | None:
        """The row under the cursor."""
        option = self._list.highlighted_option
        return next((row for row in self._rows if option is not None and row.name == option.id), None)

    # The file

    def _poll(self) -> None:
        if self._stamp() != self._seen:
            self._look()

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._sources.path)  # noqa: PTH116 - one call, and it is cheap
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    @work(exclusive=True, group="look")
    async def _look(self) -> None:
        self._seen = self._stamp()
        try:
            self.post_message(Looked(await asyncio.to_thread(self._sources.standings)))
        except UserError as error:
            self.post_message(Looked(None, f"{error.message} {error.hint}"))

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        if message.standings is None:
            self.notify(message.trouble, title="The settings cannot be read.", severity="warning", markup=False)
            return
        self._standings = message.standings
        table = parse(message.standings.text).get(KEYS)
        self._rows = setting_rows.rows(message.standings, table if isinstance(table, dict) else {}, self._themes)
        self._section = self._section or self._rows[0].section
        self._show_sections()
        self._show_rows()

    # What is shown

    def _show_sections(self) -> None:
        sections = self.query_one("#sections", OptionList)
        names = list(dict.fromkeys(row.section for row in self._rows))
        if self._section not in names:
            self._section = names[0]
        with self.prevent(OptionList.OptionHighlighted):
            sections.set_options(Option(self._section_words(name), id=name) for name in names)
            sections.highlighted = names.index(self._section)

    def _section_words(self, name: str) -> Content:
        changed = sum(row.changed for row in self._rows if row.section == name)
        wrong = any(row.problem for row in self._rows if row.section == name)
        style = "bold $error" if wrong else "$accent"
        return Content.assemble(name, (f" {changed}" if changed else "", style))

    def _chosen(self) -> list[Row]:
        rows = self._rows
        if self._search:
            found = [row for row in rows if row.matches(self._search)]
            rows = sorted(found, key=lambda row: self._search.casefold() not in row.name)  # names before meanings
        elif not self._only_changed:
            rows = [row for row in rows if row.section == self._section]
        return [row for row in rows if row.changed] if self._only_changed else rows

    def _show_rows(self) -> None:
        everywhere = bool(self._search) or self._only_changed
        rows = self._chosen()
        options = self._list
        before = options.highlighted_option.id if options.highlighted_option is not None else None
        width = max(10, self.query_one("#settings-right").size.width - 3)
        longest = max((len(row.name if everywhere else row.label) for row in rows), default=10)
        columns = setting_rows.Columns.fitting(width, longest)
        self.query_one("#settings-columns", Static).update(setting_rows.head(columns))
        options.set_options(Option(setting_rows.row(row, columns, full_name=everywhere), id=row.name) for row in rows)
        ids = [row.name for row in rows]
        options.highlighted = ids.index(before) if before in ids else 0 if ids else None
        self._show_head(len(rows))
        self._show_detail()

    def _show_head(self, count: int) -> None:
        changed = sum(row.changed for row in self._rows)
        wrong = sum(bool(row.problem) for row in self._rows)
        parts = [f"{changed} changed"] + ([f"{wrong} with a problem"] if wrong else [])
        if self._search:
            parts.insert(0, f"/{self._search}/ {count} found")
        if self._only_changed:
            parts.insert(0, "only what is changed")
        undo = keys.key_names(self.app)("undo")
        head = Content.assemble(
            ("settings ", "bold $primary"), SETTINGS_FILE, "   ", (" · ".join(parts), "dim"),
            (f"   a change is saved at once; {undo} takes it back", "dim") if self.has_class("-wide") else "",
        )  # fmt: skip
        self.query_one("#settings-head", Static).update(head)

    def _show_detail(self, said: Content | None = None) -> None:
        row = self._here
        text = setting_rows.detail(row, wide=self.has_class("-wide")) if row is not None else Content("Nothing found.")
        pane = self.query_one("#setting-detail")
        pane.query_one(Static).update(Content("\n").join([said, text]) if said is not None else text)
        pane.scroll_home(animate=False)

    @on(OptionList.OptionHighlighted, "#settings")
    def _moved(self) -> None:
        self._show_detail()

    @on(OptionList.OptionHighlighted, "#sections")
    def _section_moved(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_id and event.option_id != self._section:
            self._section = event.option_id
            self._search, self._only_changed = "", False
            self._list.highlighted = None
            self._show_rows()

    @on(OptionList.OptionSelected, "#sections")
    def _section_taken(self) -> None:
        self._list.focus()

    @on(OptionList.OptionSelected, "#settings")
    def _taken(self) -> None:
        self.action_change()

    # Typing

    def _open_line(self, label: str, value: str, placeholder: str) -> None:
        self.query_one("#setting-line").display = True
        self.query_one("#setting-line Static", Static).update(label)
        line = self.query_one(Input)
        line.placeholder = placeholder
        with self.prevent(Input.Changed):
            line.value = value
        line.focus()

    def _close_line(self) -> None:
        self._editing, self._searching = None, False
        self.query_one("#setting-line").display = False
        self._list.focus()
        self._show_detail()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if self._searching:
            self._search = event.value.strip()
            self._show_rows()
        elif self._editing is not None:
            if trouble := self._refusal(self._editing, event.value):
                self._show_detail(Content.assemble(("✗ ", "bold $error"), trouble))
            else:
                self._show_detail(Content.assemble(("✓ ", "$success"), "Enter saves it."))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        row = self._editing
        if self._searching or row is None:
            self._close_line()
        elif trouble := self._refusal(row, event.value):
            self._show_detail(Content.assemble(("✗ ", "bold $error"), trouble))
        else:
            self._close_line()
            self._save(row, event.value.strip() or None)

    def _refusal(self, row: Row, text: str) -> str:
        """Why a text cannot be the value; empty if it can."""
        text = text.strip()
        try:
            if row.section == KEYS:
                return self._key_refusal(row, text)
            if row.standing is not None and (text or not row.standing.setting.wanted.optional):
                check(row.standing.setting, text)
        except UserError as error:
            return error.message
        return ""

    def _key_refusal(self, row: Row, text: str) -> str:
        if not text:
            return ""
        keymap = keys.read(
            {other.label: other.written for other in self._rows if other.section == KEYS and other.written}
        )[0]
        try:
            wanted = keys.normal(text)
        except ValueError as error:
            return f"{error}."
        taken = keys.taken_by(row.label, wanted, {**keymap, row.label: wanted})
        return f"{taken}." if taken else ""

    # Actions

    def action_back(self) -> None:
        if self._searching:
            self._search = ""
            self._close_line()
            self._show_rows()
        elif self._editing is not None:
            self._close_line()
        elif self._search or self._only_changed:
            self._search, self._only_changed = "", False
            self._show_rows()
        else:
            self.dismiss(None)

    def action_show_help(self) -> None:
        self.app.push_screen(HelpScreen(SETTING_ACTIONS, SETTING_KEYS))

    def action_next_pane(self) -> None:
        if self._editing is not None or self._searching:
            self._close_line()
            return
        sections = self.query_one("#sections", OptionList)
        (sections if self.focused is not sections else self._list).focus()

    def action_search(self) -> None:
        self._searching, self._editing = True, None
        self._open_line("/", self._search, "name, value or meaning; Enter keeps it, Escape leaves")

    def action_filter(self) -> None:
        self._only_changed = not self._only_changed
        self._show_rows()

    def action_change(self) -> None:
        if (row := self._here) is None:
            return
        if row.section == UNKNOWN:
            self.notify(
                f"{row.name} is kept in {SETTINGS_FILE} as it is.", title="That is not known here.", markup=False
            )
        elif row.standing is not None and row.standing.setting.wanted.kind == "yes or no":
            self._turn_over(row.name)
        elif choices := self._choices(row):
            self._choose(row, choices)
        else:
            self._editing, self._searching = row, False
            value = row.written or ("" if row.value == "none" and not row.problem else row.value)
            self._open_line(row.name, value, row.wanted)
            self._show_detail()

    def _choices(self, row: Row) -> Sequence[str]:
        if row.standing is None:
            return ()
        return self._themes if row.name == THEME else row.standing.setting.wanted.choices

    @work(exclusive=True, group="question")
    async def _choose(self, row: Row, choices: Sequence[str]) -> None:
        now = row.written or row.value
        options = [(name, Content(f"{'●' if name == now else ' '} {name}")) for name in choices]
        taken = await self.app.push_screen_wait(Choice(row.name, options))
        if taken is not None:
            self._save(row, taken)

    def action_reset(self) -> None:
        row = self._here
        if row is None or row.section == UNKNOWN or not row.in_file:
            self.notify(f"{SETTINGS_FILE} says nothing of it." if row and row.section != UNKNOWN else
                        f"What is not known here is kept in {SETTINGS_FILE}.", title="Nothing to reset.")  # fmt: skip
            return
        self._save(row, None)

    def action_undo(self) -> None:
        self._undo()

    # Saving: one change after the other, each on what the one before left

    @work(group="save")
    async def _save(self, row: Row, value: str | None) -> None:
        async with self._saving:
            await self._put(row, value)

    @work(group="save")
    async def _turn_over(self, name: str) -> None:
        """Make true of false, and back."""
        async with self._saving:
            row = next(row for row in self._rows if row.name == name)
            await self._put(row, "false" if (row.written or row.value) == "true" else "true")

    async def _put(self, row: Row, value: str | None) -> None:
        if row.standing is not None:
            setting = row.standing.setting
            edit = await self._written(lambda: self._sources.save(setting, value))
        else:
            edit = await self._written(lambda: self._sources.save_key(row.label, value))
        if edit is not None:
            self._changes.append((row.name, edit))
            await self._tell(row.name, "Saved" if value is not None else "Reset")

    @work(group="save")
    async def _undo(self) -> None:
        async with self._saving:
            if not self._changes:
                self.notify("Nothing was changed here yet.", title="Nothing to take back.")
                return
            name, edit = self._changes.pop()
            done = await self._written(lambda: self._sources.restore(edit))
            if done:
                await self._tell(name, "Taken back")
            elif done is not None:
                self._changes.clear()
                self.notify(f"{SETTINGS_FILE} was changed by something else since.", title="That cannot be taken back.")

    async def _written(self, write: Callable[[], T]) -> T | None:
        """What writing gave; ``None``, and why, if it did not go."""
        try:
            return await asyncio.to_thread(write)
        except (UserError, OSError) as error:
            known = error if isinstance(error, UserError) else explain(error)
            self.notify(known.hint, title=known.message, severity="warning", markup=False)
            return None

    async def _tell(self, name: str, done: str) -> None:
        """Show the file as it is now, and say what became of it."""
        self._seen = self._stamp()
        try:
            standings = await asyncio.to_thread(self._sources.standings)
        except UserError:
            self._look()
            return
        self._looked(Looked(standings))
        row = next((row for row in self._rows if row.name == name), None)
        if row is None:
            return
        if row.overruled:
            title = f"{done}, but {row.overruled} stands over the file."
            self.notify(f"{name} stays {row.value} while that is there.", title=title, severity="warning", markup=False)
        else:
            self.notify(setting_rows.takes_effect(row), title=f"{done}: {name} = {row.value}", timeout=3, markup=False)
            if not row.problem:  # what an undo brings back need not be valid
                self.post_message(SettingSaved(name, shown(row.standing.value) if row.standing else row.value))
