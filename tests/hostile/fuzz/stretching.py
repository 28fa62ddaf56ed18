"""Is the time linear? Now and then an input is stretched to the longest that there is, and must be done in time."""

from __future__ import annotations

import random
import time
import zlib

from tests.hostile.fuzz.target import MAX_INPUT, Target

ONE_IN = 40
"""Which share of the inputs is stretched too; an input alone decides whether it is, so that a finding comes again."""
BUDGET = 5.0
"""Seconds of processor time for an input of any length; instrumented code takes some five times what it takes else."""
_PIECES = (b"\n ", *(bytes([byte]) for byte in b' \n\t\r*_`<[("\\.:-='))


class TooSlowError(AssertionError):
    """An input took more than ``BUDGET``."""


def feed(target: Target, data: bytes, *, always: bool = False) -> None:
    """Feed an input, and what it becomes when a part of it is repeated; each must be done in time.

    Raises:
        TooSlowError: it took too long, twice.
    """
    _feed_in_time(target, data[:MAX_INPUT])
    if data and (always or zlib.crc32(data) % ONE_IN == 0):
        _feed_in_time(target, stretched(data))


def stretched(data: bytes) -> bytes:
    """``data`` with a piece in it as often as ``MAX_INPUT`` allows: a part of its own, or what patterns stumble over.

    Its own content chooses piece and place.
    """
    rng = random.Random(zlib.crc32(data))
    begin = rng.randrange(len(data))
    piece = data[begin : begin + rng.choice((1, 2, 4, 16, 256))] if rng.random() < 0.5 else rng.choice(_PIECES)
    times = max(0, (MAX_INPUT - len(data)) // len(piece))
    return data[:begin] + piece * times + data[begin:]


def _feed_in_time(target: Target, data: bytes) -> None:
    if (took := _seconds(target, data)) > BUDGET and (again := _seconds(target, data)) > BUDGET:
        raise TooSlowError(f"{len(data)} bytes took {min(took, again):.1f} s: {data[:300]!r}")


def _seconds(target: Target, data: bytes) -> float:
    begun = time.process_time()
    target.feed(data)
    return time.process_time() - begun
