"""The curves of a training, from its ``metrics.jsonl``: read as it grows, smoothed, thinned. Knows no screen.

A file is read by ``MetricsFile.read`` in any thread; what came is added to ``Curves``, which belong to one thread.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from hegelion_core.regular import open_regular
from hegelion_core.run_state import RunState
from hegelion_core.unreadable import UNREADABLE

Name = Literal["loss", "data_bpt", "param_bpt", "s", "lambda_after"]
NAMES: tuple[Name, ...] = ("loss", "data_bpt", "param_bpt", "s", "lambda_after")
Points = list[tuple[float, float]]

_CHUNK = 1 << 20
"""Bytes that are read at a time."""
_TAIL = 4096
"""Bytes at a file's end in which its last line is looked for."""


class StepRow(msgspec.Struct, gc=False):
    """What is drawn of a line of ``metrics.jsonl``; a value that is missing or no number is left out."""

    step: int
    loss: float | None = None
    data_bpt: float | None = None
    param_bpt: float | None = None
    s: float | None = None
    lambda_after: float | None = None
    validation: float | None = None


class Curve:
    """Values by step, in the order of the steps; it grows at its end."""

    def __init__(self, points: Iterable[tuple[float, float]] = ()) -> None:
        self.steps = array("d")
        self.values = array("d")
        self._size = 1
        self._extremes: dict[int, Points] = {}
        """Of every whole bucket of ``_size`` points that was looked at: it does not change any more."""
        for step, value in points:
            self.append(step, value)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return zip(self.steps, self.values, strict=True)

    def append(self, step: float, value: float) -> None:
        """Add a point behind the others."""
        self.steps.append(step)
        self.values.append(value)

    def extend(self, other: Curve) -> None:
        """Add the points of another curve behind these."""
        self.steps.extend(other.steps)
        self.values.extend(other.values)

    def span(self, first: float, last: float) -> tuple[int, int]:
        """Indices ``(start, stop)`` of the points from step ``first`` to ``last`` and of a neighbour on each side."""
        return max(0, bisect_left(self.steps, first) - 1), min(len(self), bisect_right(self.steps, last) + 1)

    def nearest(self, step: float) -> tuple[float, float] | None:
        """The point whose step is nearest."""
        if not self.steps:
            return None
        after = bisect_left(self.steps, step)
        around = range(max(0, after - 1), min(len(self), after + 1))
        index = min(around, key=lambda i: abs(self.steps[i] - step))
        return self.steps[index], self.values[index]

    def thinned(self, start: int, stop: int, buckets: int) -> Points:
        """The points from index ``start`` to ``stop``, or the lowest and the highest of each bucket of them.

        So no peak is lost, and a screen has two points a column. Buckets begin at multiples of their size and their
        size seldom changes: a picture that follows the end does not shimmer, and only what is new is looked at.

        Args:
            start: index of the first point.
            stop: index behind the last one.
            buckets: how many there may be, at least 1; the first and the last may be in parts.
        """
        size = bucket_size(stop - start, buckets)
        if size == 2:
            return list(zip(self.steps[start:stop], self.values[start:stop], strict=True))
        if size != self._size:
            self._size, self._extremes = size, {}
        kept: Points = []
        for begin in range(start - start % size, stop, size):
            if begin < start or begin + size > stop:
                kept.extend(self._lowest_and_highest(max(begin, start), min(begin + size, stop)))
            elif (known := self._extremes.get(begin)) is not None:
                kept.extend(known)
            else:
                self._extremes[begin] = found = self._lowest_and_highest(begin, begin + size)
                kept.extend(found)
        return kept

    def _lowest_and_highest(self, start: int, stop: int) -> Points:
        values = self.values[start:stop]
        indices = {start + values.index(min(values)), start + values.index(max(values))}
        return [(self.steps[index], self.values[index]) for index in sorted(indices)]


def bucket_size(points: int, buckets: int) -> int:
    """Points that a bucket must hold if so many buckets are to be enough: 2, 3, 4, 6, 8, 12, 16 and so on."""
    size, following = 2, 3
    while size * buckets < points:
        size, following = following, 2 * size
    return size


class Smoother:
    """The exponential moving average of a curve that grows, corrected for its start.

    As in Adam (Kingma and Ba 2015, section 3): ``m_t = f m_(t-1) + (1 - f) y_t``, divided by ``1 - f^t``, so that the
    first value is the first of the curve and not near 0.
    """

    def __init__(self, curve: Curve, factor: float) -> None:
        """``factor``: 0 (the curve itself) to below 1."""
        self.smoothed = Curve()
        self._curve, self._factor = curve, factor
        self._mean = self._weight = 0.0

    def update(self) -> Curve:
        """Take in what is new; the smoothed curve."""
        keep, mean, weight = self._factor, self._mean, self._weight
        begin = len(self.smoothed)
        append = self.smoothed.values.append
        for value in self._curve.values[begin:]:
            mean = keep * mean + (1.0 - keep) * value
            weight = keep * weight + (1.0 - keep)
            append(mean / weight)
        self.smoothed.steps.extend(self._curve.steps[begin:])
        self._mean, self._weight = mean, weight
        return self.smoothed


class Curves:
    """Every curve of a training."""

    def __init__(self) -> None:
        self.by_name: dict[Name, Curve] = {name: Curve() for name in NAMES}
        self.validation = Curve()
        self._smoothers: dict[tuple[Name, float], Smoother] = {}

    def __bool__(self) -> bool:
        return any(len(curve) for curve in self.by_name.values())

    def extend(self, other: Curves) -> None:
        """Add the points of the steps that came after these."""
        for name, curve in self.by_name.items():
            curve.extend(other.by_name[name])
        self.validation.extend(other.validation)

    def smoothed(self, name: Name, factor: float) -> Curve:
        """A curve's moving average; ``factor`` as in ``Smoother``. Only what is new is computed."""
        key = (name, factor)
        if key not in self._smoothers:
            self._smoothers[key] = Smoother(self.by_name[name], factor)
        return self._smoothers[key].update()


def of_rows(rows: Iterable[StepRow]) -> Curves:
    """The curves of these steps."""
    curves = Curves()
    appends = [(name, curves.by_name[name].append) for name in NAMES]
    for row in rows:
        for name, append in appends:
            if (value := getattr(row, name)) is not None:
                append(row.step, value)
        if row.validation is not None:
            curves.validation.append(row.step, row.validation)
    return curves


def of_state(state: RunState) -> Curves:
    """The curves of the steps that were reported: less than the metrics file has, and there without it."""
    curves = of_rows(
        StepRow(step.step, step.loss, step.data_bpt, step.param_bpt, step.s, step.lambda_after) for step in state.steps
    )
    for value in state.validations:
        curves.validation.append(value.step, value.loss)
    return curves


def add_baseline(curves: Curves, state: RunState) -> None:
    """Add the validation loss before the first step, which is no step's and so not in the metrics file."""
    before = [value.loss for value in state.validations if value.step == 0]
    if before and curves and 0.0 not in curves.validation.steps[:1]:
        curves.validation = Curve([(0.0, before[-1]), *curves.validation])


@dataclass(frozen=True)
class Batch:
    """What a look at a file found: curves that come after those before, or, with ``anew``, instead of them."""

    curves: Curves
    anew: bool


class MetricsFile:
    """A ``metrics.jsonl`` that grows. It is cut back and replaced when training resumes: then it is read anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(StepRow)
        self._offset = 0
        self._last = b""
        """The last line that was read: if it does not stand before the offset any more, the file is another."""
        self._step = 0
        self._had_any = False

    def read(self) -> Batch | None:
        """What is new; ``None`` if nothing is. Blocks: 50,000 lines take a tenth of a second.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            opened = open_regular(self.path, 0)
        except FileNotFoundError:
            return self._gone()
        with opened as file:
            anew = self._had_any and not self._is_the_same(file.fileno())
            if anew:
                self._start_over()
            rows = self._rows(file.fileno())
        self._had_any = self._offset > 0
        return Batch(of_rows(rows), anew) if rows or anew else None

    def _gone(self) -> Batch | None:
        if not self._had_any:
            return None
        self._start_over()
        return Batch(Curves(), anew=True)

    def _start_over(self) -> None:
        self._offset, self._last, self._step, self._had_any = 0, b"", 0, False

    def _is_the_same(self, fd: int) -> bool:
        return os.pread(fd, len(self._last), self._offset - len(self._last)) == self._last

    def _rows(self, fd: int) -> list[StepRow]:
        rows: list[StepRow] = []
        while data := os.pread(fd, _CHUNK, self._offset):
            whole = data[: data.rfind(b"\n") + 1]
            if not whole:
                break  # a line under way
            lines = whole.splitlines(keepends=True)
            self._offset, self._last = self._offset + len(whole), lines[-1]
            rows.extend(row for line in lines if (row := self._row(line)) is not None)
        return rows

    def _row(self, line: bytes) -> StepRow | None:
        """A line's row; ``None`` for one that is damaged, or not after those before."""
        try:
            row = self._decoder.decode(line)
        except UNREADABLE:
            return None
        if row.step <= self._step:
            return None
        self._step = row.step
        return row


@dataclass(frozen=True)
class EarlierRun:
    """A run that has trained: its id, its last step and the loss of that, nats per token."""

    run_id: str
    step: int
    loss: float | None
    metrics: Path


def earlier_runs(runs: Path, besides: str = "") -> list[EarlierRun]:
    """The runs below a folder that have metrics, the newest first, without the one of id ``besides``. Reads files."""
    found: list[EarlierRun] = []
    for path in sorted(runs.glob("*/metrics.jsonl"), key=lambda path: path.parent.name, reverse=True):
        row = None if path.parent.name == besides else _last_row(path)
        if row is not None:
            found.append(EarlierRun(path.parent.name, row.step, row.loss, path))
    return found


def _last_row(path: Path) -> StepRow | None:
    try:
        with open_regular(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return _last_of(file.read().splitlines())
    except OSError:
        return None


def _last_of(lines: Sequence[bytes]) -> StepRow | None:
    for line in reversed(lines):
        try:
            return msgspec.json.decode(line, type=StepRow)
        except UNREADABLE:
            continue
    return None
