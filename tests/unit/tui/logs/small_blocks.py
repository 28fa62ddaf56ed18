"""Small blocks, so that small files have many of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from hegelion_tui.logs import file, search, times, volume


@contextlib.contextmanager
def blocks_of(size: int) -> Iterator[None]:
    """Blocks have ``size`` bytes meanwhile."""
    with contextlib.ExitStack() as stack:
        for module in (file, search, times, volume):
            stack.enter_context(mock.patch.object(module, "BLOCK", size))
        yield
