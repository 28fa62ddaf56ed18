"""Batches for the device, and what the frozen layers made of each row, kept from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import mlx.core as mx

from hegelion_core.training.loss import Arrays, LossFunction, batch_arrays
from hegelion_core.training.plan import Batch, BatchPlan, Span

CACHE_BYTES = 512 * 1024**2
"""Room for the kept rows of one plan; those for which there is none are made again each time."""


class Feeder:
    """Turns a plan's batches into arrays.

    A row goes through the trunk by itself, at a width that only its length decides: what comes out must not depend
    on the batch in which the row happens to be seen first, or a resumed training would not end in the same bits.
    """

    def __init__(self, plan: BatchPlan, loss: LossFunction, rank: int = 0, size: int = 1) -> None:
        """Feed a loss function; the plan is packed if, and only if, the loss function is.

        Of the micro-batches every ``size``-th is fed, from the ``rank``-th on.
        """
        self.plan, self._loss, self._rank, self._size = plan, loss, rank, size
        self._kept: dict[int, mx.array] = {}
        self._room = CACHE_BYTES

    def step(self, step: int) -> tuple[list[Batch], list[Arrays]]:
        """All micro-batches of an optimizer step, counted from 1, and the arrays of this process's part."""
        batches = self.plan.step(step)
        return batches, [self._arrays(batch) for batch in self.mine(batches)]

    def mine(self, batches: list[Batch]) -> list[Batch]:
        """This process's part of a step's micro-batches."""
        return batches[self._rank :: self._size]

    def every_row_once(self) -> Iterator[tuple[Batch, Arrays]]:
        """This process's part of the batches of one epoch."""
        mine = islice(self.plan.every_row_once(), self._rank, None, self._size)
        return ((batch, self._arrays(batch)) for batch in mine)

    def alone(self, index: int) -> Arrays:
        """A row by itself, nothing of it kept."""
        row = self.plan.rows[index]
        length, context = len(row.ids) - 1, row.start - 1
        return Arrays(
            inputs=mx.array(row.ids[:-1])[None],
            positions=mx.arange(context, length),
            targets=mx.array(row.ids[row.start :]),
            weights=mx.ones(row.supervised),
            spans=(Span(0, length, context),) if self.plan.packed else (),
        )

    def _arrays(self, batch: Batch) -> Arrays:
        arrays = batch_arrays(batch)
        if not self._loss.trunk_layers:
            return arrays
        rows, width = [self._row(int(index)) for index in batch.rows], batch.inputs.shape[1]
        if batch.spans:
            hidden = _to_width(mx.concatenate(rows, axis=1), width)
        else:
            hidden = mx.concatenate([_to_width(row, width) for row in rows])
        return Arrays(hidden, arrays.positions, arrays.targets, arrays.weights, arrays.spans)

    def _row(self, index: int) -> mx.array:
        """(1, L, D) what the trunk makes of a row."""
        if (kept := self._kept.get(index)) is not None:
            return kept
        ids = mx.array(self.plan.rows[index].ids[:-1])[None]
        hidden = self._loss.trunk(ids, (Span(0, ids.shape[1]),) if self.plan.packed else ())
        mx.eval(hidden)
        if hidden.nbytes <= self._room:
            self._kept[index] = hidden
            self._room -= hidden.nbytes
        return hidden


def _to_width(hidden: mx.array, width: int) -> mx.array:
    return mx.pad(hidden, [(0, 0), (0, width - hidden.shape[1]), (0, 0)])
