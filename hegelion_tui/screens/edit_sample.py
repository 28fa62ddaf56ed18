"""The four parts of a sample, to be written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Label, Static, TextArea

from hegelion_core.dialectic.parsing import clean
from hegelion_core.errors import UserError
from hegelion_core.generation.by_hand import check_text
from hegelion_core.generation.decisions import Text
from hegelion_tui import sample_words
from hegelion_tui.screens.question import Answer, Question
from hegelion_tui.screens.room import Dialog

PARTS: Sequence[str] = ("thesis", "antithesis", "synthesis", "answer")


class EditSample(Dialog[Text | None]):
    """Its result is the text to keep; ``None``: nothing is changed."""

    AUTO_FOCUS = "#thesis"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", priority=True),
        Binding("escape", "leave", "Cancel"),
    ]

    def __init__(self, query: str, text: Text) -> None:
        super().__init__()
        self._query = query
        self._before = text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="edit") as dialog:
            dialog.border_title = Content("Edit by hand")
            dialog.border_subtitle = Content("ctrl+s saves, Tab goes on, Escape cancels")
            yield Static(Content.assemble(sample_words.one_line(self._query)), id="edit-prompt", markup=False)
            with VerticalScroll(can_focus=False):
                for name in PARTS:
                    yield Label(name.capitalize(), markup=False)
                    yield TextArea(clean(getattr(self._before, name)), id=name, compact=True)
            with Horizontal(classes="answers"):
                yield Button(Content.assemble(("^s", "bold"), " Save"), id="save", compact=True)
                yield Button(Content.assemble(("esc", "bold"), " Cancel"), id="cancel", compact=True)

    @property
    def text(self) -> Text:
        """What is written now."""
        thesis, antithesis, synthesis, answer = (self.query_one(f"#{name}", TextArea).text for name in PARTS)
        return Text(
            thesis=thesis.strip(), antithesis=antithesis.strip(), synthesis=synthesis.strip(), answer=answer.strip()
        )

    @on(Button.Pressed, "#save")
    def _save_pressed(self) -> None:
        self.action_save()

    @on(Button.Pressed, "#cancel")
    def _cancel_pressed(self) -> None:
        self.action_leave()

    @work(exclusive=True)
    async def action_save(self) -> None:
        """Keep the text; what the contract says against it may be overruled."""
        text = self.text
        try:
            fault = check_text(self._query, text)
        except UserError as error:
            self.notify(error.hint, title=error.message, severity="warning", markup=False)
            return
        if fault is not None:
            question = Question(
                "The sample contract objects",
                f"{fault.reason}: {fault.detail}",
                [Answer("anyway", "a", "Save anyway"), Answer("back", "b", "Go on editing")],
            )
            if await self.app.push_screen_wait(question) != "anyway":
                return
        self.dismiss(text)

    @work(exclusive=True)
    async def action_leave(self) -> None:
        """Leave without a change; asks if something was written."""
        before = Text(**{name: clean(getattr(self._before, name)).strip() for name in PARTS})
        if self.text != before:
            question = Question(
                "Throw the changes away?", "What you wrote here is not kept yet.", [Answer("throw", "t", "Throw away")]
            )
            if await self.app.push_screen_wait(question) != "throw":
                return
        self.dismiss(None)
