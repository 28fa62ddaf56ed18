"""Operations: what a face may ask for, and the events that it gets back.

``hegelion_core.core.Core`` answers in this process; ``hegelion_core.client.Client`` asks a core in another one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from hegelion_core.events import AnyEvent, Stage
from hegelion_core.run_state import RunState
from hegelion_core.workspace import Workspace

MAX_INSTANCES = 64


class Operations(Protocol):
    """A run that can be watched and steered."""

    @property
    def place(self) -> Workspace:
        """The workspace."""

    @property
    def state(self) -> RunState:
        """The run as it is now."""

    def events(self) -> AsyncGenerator[AnyEvent, None]:
        """Events from now on. ``state`` is never behind what this has yielded."""

    async def start(self, stages: Sequence[Stage]) -> None:
        """Begin work on ``stages``, in their order; what is done already is skipped.

        Raises:
            UserError: the run is at work.
        """

    async def stop(self) -> None:
        """Stop what runs, cleanly; returns when nothing runs."""

    async def stop_instance(self, number: int) -> None:
        """Stop one generator instance now: its call ends, and its prompt is asked anew by another.

        Raises:
            UserError: it is not at work, or the only one that is.
        """

    async def scale(self, instances: int) -> None:
        """Change the number of generator instances, 1 to 64.

        Raises:
            UserError: a number out of range.
        """

    async def scale_by(self, change: int) -> None:
        """So many generator instances more, or fewer. What others asked for a moment ago counts.

        Raises:
            UserError: that would be a number out of range.
        """

    async def recount(self) -> None:
        """Count the samples again: decisions were made by hand (``generation.by_hand``).

        Raises:
            UserError: the sample file cannot be read.
        """

    async def compare(self, question: str, temperature: float = 0.0) -> None:
        """Ask base and adapter; returns when the question is laid down. Their answers come in files of the run
        (``comparing.exchange``). A temperature of 0 takes the likeliest token.

        Raises:
            UserError: there is no question, no adapter, or a question is being answered.
        """

    async def stop_comparing(self) -> None:
        """End what base and adapter are answering; what has come so far stays."""

    async def close(self) -> None:
        """Let go: a core in this process stops and ends; a client hangs up and the core goes on."""
