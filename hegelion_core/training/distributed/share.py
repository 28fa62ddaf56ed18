"""What part of a machine and of a step a process of a group has. Pure; it is asked before mlx is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

GROUP = "HEGELION_GROUP"
"""The variable that makes a worker one of a group: ``backend:processes on each machine``."""


def processes_here(environ: Mapping[str, str] = os.environ) -> int:
    """How many processes of the group share this machine's cores."""
    return int(environ[GROUP].split(":")[1]) if GROUP in environ else 1


def rows_at_a_time(batch_size: int, micro_batch_size: int | None, size: int) -> int | None:
    """The micro-batch that gives each of ``size`` processes a part of a step's rows; none: all rows at once."""
    if size == 1:
        return micro_batch_size
    part = -(-batch_size // size)
    return min(part, micro_batch_size or part)
