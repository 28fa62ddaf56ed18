"""Which rows each optimizer step sees, in which micro-batches and widths. Pure; NumPy only.

Batches are a pure function of (token rows, batch size, seed, step), so that a resumed training needs only its step.
A micro-batch is laid out in one of two ways, both with few input shapes:

- *packed*: its rows stand one after another in one sequence. Each batch takes its rows from all over the range of
  lengths, so that batches are nearly equally long and little is padded.
- *padded*: a row is a line, padded to the batch's width. Rows of similar length come together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from hegelion_core.training.batching import TokenRow

Ints: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float32]
Chosen: TypeAlias = npt.NDArray[np.intp]
"""Indices of rows."""
Split: TypeAlias = Callable[[Chosen], list[Chosen]]
"""The rows of a step into micro-batches."""

MAX_SHAPES = 16
"""Input shapes of a whole training: each is one trace of a compiled step, and traces are never evicted."""
PACKED_UNIT, PADDED_UNIT = 8, 32
"""Widths are multiples of this, which suits matrix products."""
LOOK_AHEAD = 512
"""Steps whose lengths decide the widths of a packed plan."""
JITTER = 0.15
"""Relative; by so much lengths are blurred before they are evened out, so that rows meet others in each epoch."""


@dataclass(frozen=True)
class Span:
    """Where a row stands in a packed sequence."""

    start: int
    length: int
    context: int = 0
    """Positions at its beginning whose next token is not supervised."""

    @property
    def end(self) -> int:
        """Just behind it."""
        return self.start + self.length


@dataclass(frozen=True)
class Batch:
    """What one pass of the model sees: B lines of width W, with P supervised positions (some of them padding)."""

    rows: Ints
    """Which token rows."""
    inputs: Ints
    """(B, W) token ids."""
    positions: Ints
    """(P,) indices into the B · W positions, whose next token is supervised."""
    targets: Ints
    """(P,) that next token."""
    weights: Floats
    """(P,) 1 for a supervised token, 0 for padding."""
    spans: tuple[Span, ...] = ()
    """Where each row stands, if they are packed (B = 1); otherwise each row is a line."""

    @property
    def tokens(self) -> int:
        """Supervised tokens."""
        return int(self.weights.sum())


def tokens_of(batches: Iterable[Batch]) -> int:
    """Supervised tokens of several."""
    return sum(batch.tokens for batch in batches)


class Layout(Protocol):
    """How rows are brought into few shapes."""

    def order(self, epoch: int) -> list[Chosen]:
        """The rows of each step of an epoch."""

    def batch(self, chosen: Chosen) -> Batch:
        """A micro-batch of these rows."""


class BatchPlan:
    """Batches, micro-batch by micro-batch. An epoch takes every row once, in an order that seed and epoch decide.

    A step sees ``batch_size`` rows; where that does not divide the number of rows, steps see nearly equal numbers.
    """

    def __init__(
        self,
        rows: Sequence[TokenRow],
        batch_size: int,
        seed: int,
        micro_batch_size: int | None = None,
        *,
        packed: bool = False,
    ) -> None:
        """Plan over at least one row.

        Args:
            batch_size: rows that an optimizer step sees, at most.
            micro_batch_size: rows that pass the model at a time, at most; none: all of a step's.
            packed: in one sequence, rather than a row a line.
        """
        self.rows = rows
        self.packed = packed
        self._micro = micro_batch_size or batch_size
        self.batches_per_epoch = math.ceil(len(rows) / batch_size)
        kind = _Packed if packed else _Padded
        self._layout: Layout = kind(rows, self.batches_per_epoch, seed, self._split)
        self._epoch: tuple[int, list[Chosen]] = (-1, [])

    @property
    def tokens_per_epoch(self) -> int:
        """Supervised tokens in one epoch: N of the SCU formulas."""
        return sum(row.supervised for row in self.rows)

    def step(self, step: int) -> list[Batch]:
        """What an optimizer step sees, in micro-batches; steps count from 1."""
        epoch, index = divmod(step - 1, self.batches_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._layout.order(epoch))
        return [self._layout.batch(part) for part in self._split(self._epoch[1][index])]

    def every_row_once(self) -> Iterable[Batch]:
        """The batches of one epoch, for validation."""
        return chain.from_iterable(self.step(step) for step in range(1, self.batches_per_epoch + 1))

    def _split(self, chosen: Chosen) -> list[Chosen]:
        """Into micro-batches: every n-th row, since a packed step's rows come from the longest to the shortest."""
        parts = math.ceil(len(chosen) / self._micro)
        return [chosen[part::parts] for part in range(parts)] if self.packed else np.array_split(chosen, parts)


class _Packed:
    """Rows one after another."""

    def __init__(self, rows: Sequence[TokenRow], steps: int, seed: int, split: Split) -> None:
        self._rows, self._steps, self._seed = rows, steps, seed
        self._lengths = np.array([len(row.ids) - 1 for row in rows])
        bands = [band.max() for band in _bands(np.sort(self._lengths)[::-1], steps)]
        longest = max(sum(part) for part in split(np.array(bands)))
        seen = [self._units(self._lengths[part].sum()) for chosen in self._ahead() for part in split(chosen)]
        few = best_widths(np.array(seen), MAX_SHAPES - 1)
        self.widths = tuple(PACKED_UNIT * unit for unit in sorted({*few, self._units(longest)}))

    def order(self, epoch: int) -> list[Chosen]:
        return balanced(self._lengths, self._steps, np.random.default_rng([self._seed, epoch]))

    def batch(self, chosen: Chosen) -> Batch:
        rows = [self._rows[i] for i in chosen]
        ends = np.cumsum(self._lengths[chosen])
        spans = [
            Span(int(end) - len(row.ids) + 1, len(row.ids) - 1, row.start - 1)
            for row, end in zip(rows, ends, strict=True)
        ]
        width = self.widths[np.searchsorted(self.widths, ends[-1])]
        return Batch(
            rows=chosen.astype(np.int32),
            inputs=np.pad(np.concatenate([row.ids[:-1] for row in rows]), (0, width - ends[-1]))[None],
            positions=np.concatenate([np.arange(s.start + s.context, s.end, dtype=np.int32) for s in spans]),
            targets=np.concatenate([row.ids[row.start :] for row in rows]),
            weights=np.ones(sum(row.supervised for row in rows), np.float32),
            spans=tuple(spans),
        )

    def _ahead(self) -> Iterator[Chosen]:
        """The rows of the first steps, whole epochs of them."""
        for epoch in count():
            if epoch * self._steps >= LOOK_AHEAD:
                return
            yield from self.order(epoch)

    def _units(self, length: int) -> int:
        return math.ceil(length / PACKED_UNIT)


def balanced(lengths: npt.NDArray[np.int_], batches: int, generator: np.random.Generator) -> list[Chosen]:
    """Every row in one of the batches, which are nearly equal in size and in their total length.

    Each batch takes one row of each band of lengths, from the longest band to the shortest; within a band, which is
    in a random order but for a tendency, the longer rows go to the batches that are shorter so far.

    Returns:
        The batches in a random order, each from its longest row to its shortest but for the blur.
    """
    shuffled = generator.permutation(len(lengths))
    members: list[list[int]] = [[] for _ in range(batches)]
    totals = np.zeros(batches)
    for band in _bands(shuffled[np.argsort(-lengths[shuffled], kind="stable")], batches):
        blurred = lengths[band] * np.exp(generator.normal(0, JITTER, len(band)))
        shortest = np.argsort(totals, kind="stable")[: len(band)]
        for batch, row in zip(shortest, band[np.argsort(-blurred, kind="stable")], strict=True):
            members[batch].append(int(row))
            totals[batch] += lengths[row]
    return [np.array(members[batch], dtype=np.intp) for batch in generator.permutation(batches)]


def _bands(descending: npt.NDArray[np.int_], size: int) -> list[npt.NDArray[np.int_]]:
    return [descending[start : start + size] for start in range(0, len(descending), size)]


class _Padded:
    """A row a line."""

    def __init__(self, rows: Sequence[TokenRow], steps: int, seed: int, split: Split) -> None:
        self._rows, self._steps, self._seed = rows, steps, seed
        chunks = np.array_split(np.arange(len(rows)), steps)
        sizes = {len(part) for chunk in chunks for part in split(chunk)}
        units = np.array([math.ceil((len(row.ids) - 1) / PADDED_UNIT) for row in rows])
        self.widths = tuple(PADDED_UNIT * unit for unit in best_widths(units, MAX_SHAPES // len(sizes)))
        self._class = np.searchsorted(self.widths, PADDED_UNIT * units)
        # Which rows a step sees must not depend on how it is split, as the widths do.
        self._neighbours = np.searchsorted(best_widths(units, MAX_SHAPES), units)
        self._positions = {(size, width): self._most_supervised(size, width) for size in sizes for width in self.widths}

    def order(self, epoch: int) -> list[Chosen]:
        generator = np.random.default_rng([self._seed, epoch])
        shuffled = generator.permutation(len(self._rows))
        by_width = shuffled[np.argsort(self._neighbours[shuffled], kind="stable")]
        batches = np.array_split(by_width, self._steps)
        return [batches[i] for i in generator.permutation(len(batches))]

    def batch(self, chosen: Chosen) -> Batch:
        rows = [self._rows[i] for i in chosen]
        width = self.widths[max(self._class[i] for i in chosen)]
        inputs = np.zeros((len(rows), width), dtype=np.int32)
        for line, row in zip(inputs, rows, strict=True):
            line[: len(row.ids) - 1] = row.ids[:-1]
        positions = [np.arange(row.start - 1, len(row.ids) - 1) + n * width for n, row in enumerate(rows)]
        padding = (0, self._positions[len(rows), width] - sum(map(len, positions)))
        return Batch(
            rows=chosen.astype(np.int32),
            inputs=inputs,
            positions=np.pad(np.concatenate(positions), padding).astype(np.int32),
            targets=np.pad(np.concatenate([row.ids[row.start :] for row in rows]), padding).astype(np.int32),
            weights=np.pad(np.ones(sum(map(len, positions)), np.float32), padding),
        )

    def _most_supervised(self, size: int, width: int) -> int:
        """Supervised tokens that a batch of this shape can have at most, so that the shape decides P as well."""
        fitting = sorted(row.supervised for row in self._rows if len(row.ids) - 1 <= width)
        return math.ceil(sum(fitting[-size:]) / PADDED_UNIT) * PADDED_UNIT


def best_widths(lengths: npt.NDArray[np.int_], count: int) -> tuple[int, ...]:
    """At most ``count`` widths, ascending, that pad the given lengths least in all.

    Every length fits one of them. Exact, by dynamic programming over the distinct lengths: ``cost[i]`` is the least
    padded total of the i shortest distinct lengths with the widths allowed so far.
    """
    distinct, numbers = np.unique(lengths, return_counts=True)
    if len(distinct) <= count:
        return tuple(int(length) for length in distinct)
    rows_below = np.concatenate([[0], np.cumsum(numbers)])
    cost = np.full(len(distinct) + 1, np.inf)
    cost[0] = 0
    cuts: list[list[int]] = []
    for _ in range(count):
        # To end a class at distinct length i-1, begin it at the j that is cheapest.
        totals = [cost[:i] + distinct[i - 1] * (rows_below[i] - rows_below[:i]) for i in range(1, len(cost))]
        cuts.append([0, *(int(np.argmin(total)) for total in totals)])
        cost = np.concatenate([[0], [total.min() for total in totals]])
    widths: list[int] = []
    end = len(distinct)
    for choices in reversed(cuts):
        if end:
            widths.append(int(distinct[end - 1]))
            end = choices[end]
    return tuple(reversed(widths))
