"""The processes that share a training's steps: what they add up, agree on and hand over.

Data-parallel: every process holds the whole student and the same adapter, and works on some of a step's rows. The
gradients, the loss and the number of supervised tokens are added up before anything is divided, so that a step is
that of one process with all the rows. Each process then takes the same optimizer step.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import mlx.core as mx
import numpy as np

from hegelion_core.errors import UserError
from hegelion_core.training.distributed.share import GROUP

Key = tuple[int, int]
"""MLX's random state, as two 32-bit numbers."""
PATIENCE = 1800.0
"""Seconds that a process waits for the others, each of which does no more than a part of a step meanwhile. A machine
that is cut off says nothing: without an end, the rest would wait for ever."""


class Group(Protocol):
    """The processes of a training. All of them make the same calls in the same order."""

    @property
    def rank(self) -> int:
        """Of this process, from 0."""

    @property
    def size(self) -> int:
        """How many they are."""

    def sum(self, arrays: Sequence[mx.array]) -> list[mx.array]:
        """Each array (float32) added up over all processes, in one message; the same bits everywhere."""

    def wait(self) -> None:
        """Until all processes are here, however long that takes."""

    def agree(self, ask: Callable[[], bool]) -> Callable[[], bool]:
        """A question that every process asks itself whenever something is summed.

        Returns:
            The answer that all processes have alike: whether any said yes at the last sum.
        """

    def share(self, arrays: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """Rank 0's arrays, of any types; those given by the others have the same names, shapes and types."""

    def share_bytes(self, data: bytes) -> bytes:
        """Rank 0's bytes."""

    def gather(self, key: Key) -> tuple[Key, ...]:
        """Every process's key, by rank."""


class Solo:
    """One process: nothing to add, nobody to ask."""

    rank = 0
    size = 1

    def sum(self, arrays: Sequence[mx.array]) -> list[mx.array]:
        return list(arrays)

    def wait(self) -> None:
        return

    def agree(self, ask: Callable[[], bool]) -> Callable[[], bool]:
        return ask

    def share(self, arrays: Mapping[str, mx.array]) -> dict[str, mx.array]:
        return dict(arrays)

    def share_bytes(self, data: bytes) -> bytes:
        return data

    def gather(self, key: Key) -> tuple[Key, ...]:
        return (key,)


class Together:
    """Several processes, over ``mx.distributed``.

    A process whose others are gone ends with exit code 1 and a line that says so: the state of a step that not all
    have taken is of no use, and the last checkpoint is whole.
    """

    def __init__(self, group: mx.distributed.Group, patience: float = PATIENCE) -> None:
        """``patience``: seconds to wait for the others in a sum."""
        self.rank, self.size = group.rank(), group.size()
        self._group, self._patience = group, patience
        self._questions: list[Callable[[], bool]] = []
        self._answers: list[bool] = []

    def sum(self, arrays: Sequence[mx.array]) -> list[mx.array]:
        votes = mx.array([float(ask()) for ask in self._questions], mx.float32)
        total = self._all_sum(mx.concatenate([votes, *(array.reshape(-1) for array in arrays)]), self._patience)
        counted, *parts = mx.split(total, _ends([votes.size, *(array.size for array in arrays)]))
        self._answers = [vote > 0 for vote in _floats(counted)]
        return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=False)]

    def wait(self) -> None:
        self._all_sum(mx.zeros(1))

    def agree(self, ask: Callable[[], bool]) -> Callable[[], bool]:
        index = len(self._questions)
        self._questions.append(ask)
        self._answers.append(False)
        return lambda: self._answers[index]

    def share(self, arrays: Mapping[str, mx.array]) -> dict[str, mx.array]:
        # As bytes, of which all but rank 0's are zeros: so the sum has the very bits.
        flat = [array.reshape(-1).view(mx.uint8) for array in arrays.values()]
        whole = self._all_sum(self._only_first(mx.concatenate(flat)))
        parts = mx.split(whole, _ends([part.size for part in flat]))
        return {
            name: part.view(array.dtype).reshape(array.shape)
            for part, (name, array) in zip(parts, arrays.items(), strict=False)
        }

    def share_bytes(self, data: bytes) -> bytes:
        length = self._all_sum(self._only_first(mx.array([len(data)], mx.int32)))
        mine = mx.array(list(data), mx.uint8) if self.rank == 0 else mx.zeros(int(_floats(length)[0]), mx.uint8)
        return np.asarray(self._all_sum(mine)).tobytes()

    def gather(self, key: Key) -> tuple[Key, ...]:
        rows = [key if rank == self.rank else (0, 0) for rank in range(self.size)]
        total = np.asarray(self._all_sum(mx.array(rows, mx.uint32)))
        return tuple((int(first), int(second)) for first, second in total)

    def _only_first(self, array: mx.array) -> mx.array:
        return array if self.rank == 0 else mx.zeros_like(array)

    def _all_sum(self, array: mx.array, patience: float | None = None) -> mx.array:
        """The sum over all processes; ends this one after ``patience`` seconds (none: waits), or if one is gone."""
        mx.eval(array)  # so that what fails below is the connection
        if patience is not None:
            faulthandler.dump_traceback_later(patience, exit=True)
        try:
            total = mx.distributed.all_sum(array, group=self._group)
            mx.eval(total)
        except RuntimeError as error:
            raise SystemExit(f"Process {self.rank} of the group ends, since another is gone: {error}") from None
        finally:
            faulthandler.cancel_dump_traceback_later()
        return total


def join(environ: Mapping[str, str] = os.environ) -> Group:
    """The group that this process was started for.

    Raises:
        UserError: the others cannot be reached.
    """
    if GROUP not in environ:
        return Solo()
    backend, _ = environ[GROUP].split(":")
    try:
        return Together(mx.distributed.init(strict=True, backend=backend))
    except RuntimeError as error:
        raise UserError(
            f"Training: the processes of the group do not find each other over {backend}: {error}",
            "Check the hosts' addresses, that the ports are free and open (--set training.port=N), and --backend.",
        ) from None


def key_of(rank: int, keys: Sequence[Key], size: int) -> Key:
    """The random state that a process begins with, so that no two drop the same units.

    Args:
        rank: of the process.
        keys: as a checkpoint has them, rank 0's first; if they are not one for each of ``size`` processes, those of
            the others are derived from the first.
        size: of the group.
    """
    if rank == 0 or len(keys) == size:
        return keys[rank]
    digest = hashlib.sha256(f"{keys[0]}:{rank}".encode()).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")


def _ends(sizes: Sequence[int]) -> list[int]:
    """Where each of the parts ends, for ``mx.split``."""
    return [sum(sizes[: index + 1]) for index in range(len(sizes))]


def _floats(array: mx.array) -> list[float]:
    return [float(value) for value in np.asarray(array)]
