"""What a person wants, on its way up to the app."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from hegelion_core.events import Stage


@dataclass
class StartRequested(Message):
    """Work on these stages is wanted."""

    stages: tuple[Stage, ...]


@dataclass
class ScaleRequested(Message):
    """More (1) or fewer (-1) generator instances are wanted."""

    by: int


class StopRequested(Message):
    """What runs should stop."""


@dataclass
class StopOneRequested(Message):
    """The generator of this pane should stop; ``pane_id`` may be that of another pane."""

    pane_id: str


class SamplesRequested(Message):
    """The samples should be shown."""


class ChecklistRequested(Message):
    """What is ready and what is wrong should be shown."""


class SamplesDecided(Message):
    """Decisions were made by hand: the samples count otherwise now."""


class CompareRequested(Message):
    """Base and adapter should be shown side by side."""


@dataclass
class QuestionAsked(Message):
    """Base and adapter should answer; a temperature of 0 is greedy."""

    text: str
    temperature: float


class AnswersStopRequested(Message):
    """Base and adapter should stop answering."""


class SettingsRequested(Message):
    """The settings should be shown."""


@dataclass
class SettingSaved(Message):
    """``hegelion.toml`` says something else of ``name``; ``value`` is what counts now, as people write it."""

    name: str
    value: str


class QuitRequested(Message):
    """The screen should close."""


class DetachRequested(Message):
    """The screen should close at once, whatever is at work."""


@dataclass
class WheelTurned(Message):
    """The wheel was turned over a chart: ``up`` or down, and the step under the pointer."""

    up: bool
    step: float


@dataclass
class StepPointed(Message):
    """A step of a chart was clicked."""

    step: float
