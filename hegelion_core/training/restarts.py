"""What to do when the trainer dies: start it again, smaller if memory ran out. Pure; it runs in the core, without mlx.

A death is certainly of memory where the trainer said so, or aborted (as Metal does). One by SIGKILL, SIGSEGV or SIGBUS
may be: the kernel ends processes by SIGKILL for want of memory, but so does a person; and MLX's allocations on a
processor are not checked, so that a failed one is a SIGSEGV. Without a sign of shortage the first such death leaves the
sizes as they are, so that the run still ends in the same bits; a second one without a new checkpoint since does not.
So every way ends: each restart either got further, or is smaller than the one before.
"""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from typing import Literal

from hegelion_core.settings import TrainingSettings

MIN_LENGTH = 128
"""Tokens below which rows are not cut for the sake of memory."""
MAYBE_MEMORY = {-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS}

Cause = Literal["memory", "unclear", "other"]


def cause_of(code: int, *, said_so: bool, pressed: bool) -> Cause:
    """Why a trainer died.

    Args:
        code: as in ``subprocess``, negative for a signal.
        said_so: it reported that it got no memory.
        pressed: the kernel ended processes for want of memory meanwhile, or says that memory is short.
    """
    if said_so or code == -signal.SIGABRT:
        return "memory"
    if code in MAYBE_MEMORY:
        return "memory" if pressed else "unclear"
    return "other"


@dataclass(frozen=True)
class Sizes:
    """What decides how much memory a step needs."""

    micro_batch: int
    """Rows that pass the model at a time."""
    length: int
    """Tokens that a row may have."""

    @classmethod
    def of(cls, settings: TrainingSettings) -> Sizes:
        """Those that the settings ask for."""
        micro = min(settings.micro_batch_size or settings.batch_size, settings.batch_size)
        return cls(micro, settings.max_seq_length)

    def within(self, other: Sizes) -> Sizes:
        """The smaller of each."""
        return Sizes(min(self.micro_batch, other.micro_batch), min(self.length, other.length))

    def smaller(self, *, allow_shorter: bool) -> Sizes | None:
        """Half the rows at a time; from one row on half the length, where that is allowed; else there is no way."""
        if self.micro_batch > 1:
            return Sizes(self.micro_batch // 2, self.length)
        if allow_shorter and self.length > MIN_LENGTH:
            return Sizes(1, max(MIN_LENGTH, self.length // 2))
        return None

    def accumulation(self, batch_size: int) -> int:
        """Micro-batches of an optimizer step."""
        return math.ceil(batch_size / self.micro_batch)

    def applied_to(self, settings: TrainingSettings) -> TrainingSettings:
        """The settings with these sizes; as they are where nothing changes."""
        if self == Sizes.of(settings):
            return settings
        return settings.model_copy(update={"micro_batch_size": self.micro_batch, "max_seq_length": self.length})


class Restarts:
    """The deaths of one training, and with which sizes it goes on."""

    def __init__(self, sizes: Sizes, *, allow_shorter: bool) -> None:
        """Begin with ``sizes``."""
        self.sizes = sizes
        self._allow_shorter = allow_shorter
        self._died_at: int | None = None

    def after(self, cause: Cause, step: int) -> bool:
        """Take in a death, after a checkpoint of ``step``; whether to start again, with ``sizes``."""
        again, self._died_at = step == self._died_at, step
        if cause == "other":
            return False
        if cause == "unclear" and not again:
            return True
        smaller = self.sizes.smaller(allow_shorter=self._allow_shorter)
        if smaller is not None:
            self.sizes = smaller
        return smaller is not None
