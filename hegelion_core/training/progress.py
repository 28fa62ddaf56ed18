"""What changes from step to step, and what the validations so far amount to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec

from hegelion_core.training.lora import Weights
from hegelion_core.training.metrics import StepMetrics
from hegelion_core.training.scu.controller import ControllerState
from hegelion_core.training.scu.stopping import StoppingState


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The validations so far. Losses in nats per token."""

    start_loss: float | None = None
    """Before the first step: the student's own."""
    best_step: int = 0
    """0: none was best yet. The start is not counted: an adapter that does nothing is of no use."""
    best_loss: float | None = None
    unimproved: int = 0
    """Validations since the best one."""
    count: int = 0

    def after(self, step: int, loss: float) -> Standing:
        """With one more validation, measured after ``step`` steps."""
        if step == 0:
            return msgspec.structs.replace(self, start_loss=loss)
        better = math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss)
        if better:
            return msgspec.structs.replace(self, best_step=step, best_loss=loss, unimproved=0, count=self.count + 1)
        return msgspec.structs.replace(self, unimproved=self.unimproved + 1, count=self.count + 1)


@dataclass
class Progress:
    """All that changes from step to step, beside the weights."""

    step: int
    controller: ControllerState
    standing: Standing = field(default_factory=Standing)
    stopping: StoppingState = field(default_factory=StoppingState)
    best: Weights | None = None
    """The weights of the best validation."""
    tokens: int = 0
    """Supervised tokens seen so far."""
    seconds: float = 0.0
    pending: StepMetrics | None = None
    """The last step, until all that is due after it is done."""
    unreported: list[StepMetrics] = field(default_factory=list)
    saved_step: int = 0
    unsaved: bool = False
    """Whether something changed since the last checkpoint."""
