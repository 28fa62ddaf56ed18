"""How far something long is, on standard error if that is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

WORTH = 4 << 20
"""Bytes of an input from which on reading it takes long enough to show how far it is."""


@contextlib.contextmanager
def bar(size: int, what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function that is told what is done and what there is in all; nothing is shown for what is short."""
    if size < WORTH or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=1.0)
        yield lambda done, total: shown.update(task, completed=done / max(total, 1))
