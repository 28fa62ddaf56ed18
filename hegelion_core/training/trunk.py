"""Batches for the device, and what the frozen layers made of each row, kept from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx

from hegelion_core.training.batching import Batch, BatchPlan
from hegelion_core.training.loss import Arrays, LossFunction, batch_arrays

CACHE_BYTES = 512 * 1024**2
"""Room for the kept rows of one plan; where they need more, nothing is kept."""


class Feeder:
    """Turns a plan's batches into arrays.

    A row goes through the trunk by itself, at a width that only its length decides: what comes out must not depend
    on the batch in which the row happens to be seen first, or a resumed training would not end in the same bits.
    """

    def __init__(self, plan: BatchPlan, loss: LossFunction) -> None:
        """Decide whether rows are kept."""
        self.plan, self._loss = plan, loss
        self._kept: dict[int, mx.array] = {}
        token_bytes = loss.trunk(mx.zeros((1, 1), mx.int32)).nbytes if loss.trunk_layers else 0
        self._keeps = loss.trunk_layers > 0 and plan.padded_tokens * token_bytes <= CACHE_BYTES

    def step(self, step: int) -> tuple[list[Batch], list[Arrays]]:
        """The micro-batches of an optimizer step, counted from 1, and their arrays on the device."""
        batches = self.plan.step(step)
        return batches, [self._arrays(batch) for batch in batches]

    def every_row_once(self) -> Iterator[tuple[Batch, Arrays]]:
        """The batches of one epoch."""
        return ((batch, self._arrays(batch)) for batch in self.plan.every_row_once())

    def _arrays(self, batch: Batch) -> Arrays:
        arrays = batch_arrays(batch)
        if not self._keeps:
            return arrays
        width = batch.inputs.shape[1]
        rows = [self._row(int(index)) for index in batch.rows]
        hidden = mx.concatenate([mx.pad(row, [(0, 0), (0, width - row.shape[1]), (0, 0)]) for row in rows])
        return Arrays(hidden, arrays.positions, arrays.targets, arrays.weights)

    def _row(self, index: int) -> mx.array:
        if index not in self._kept:
            self._kept[index] = self._loss.trunk(mx.array(self.plan.inputs_of(index))[None])
            mx.eval(self._kept[index])
        return self._kept[index]
