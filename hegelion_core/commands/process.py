"""What a process that runs for hours sets for itself: one that holds a core, or the console."""

from __future__ import annotations

import gc

Thresholds = tuple[int, int, int]
"""Of ``gc.set_threshold``."""
CORE: Thresholds = (10_000, 20, 20)
"""A core makes little garbage in cycles, but has tens of thousands of objects that never go, which are looked through
for every few hundred new ones. Without any collection it took 3 and 11 % less processor time in two pairs of runs."""
SCREEN: Thresholds = (700, 10, 1000)
"""What paints makes much garbage in cycles, nearly all of it short-lived: the young are looked through often, all of it
seldom, since that held up the keys for 70 to 100 ms each time."""


def settle(thresholds: Thresholds = CORE) -> None:
    """Leave what was imported out of garbage collection from here on, and collect as often as it pays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
