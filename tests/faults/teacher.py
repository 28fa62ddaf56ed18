"""The teacher of a case: what each request gets was decided before, and the network can go away."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.fakes import fault_server
from tests.fakes.fault_server import FaultServer
from tests.fakes.model_server import Action, Reply, Request

_RESET = struct.pack("ii", 1, 0)


class Teacher(FaultServer):
    """Gives the answers of a list, then good ones."""

    def __init__(self, answers: Sequence[str], seed: int, *, slow: bool = False) -> None:
        """``answers`` are classes of answers, as in ``fault_server``; a ``slow`` one can be broken off in its midst."""
        super().__init__(requests=0, seed=seed, seconds=(0.0, 0.004), kinds=())
        self._deck = deque(answers)
        self._http.RequestHandlerClass = _Handler
        self.away = threading.Event()
        """Set while nothing can be reached."""
        self.on_request: Callable[[int], None] = lambda number: None
        self.on_answer: Callable[[int], None] = lambda number: None
        self._on_request = self._came
        self._answers = 0
        self._slow = slow
        self.open: set[socket.socket] = set()

    def served(self, request: Request, *, whole: bool) -> None:
        super().served(request, whole=whole)
        self._answers += 1
        self.on_answer(self._answers)

    def drop(self) -> None:
        """Break every connection, and take no other, until ``away`` is cleared."""
        self.away.set()
        for connection in list(self.open):
            reset(connection)

    def _choose(self, query: str, mark: str, session: str) -> tuple[str, Action]:
        kind, action = super()._choose(query, mark, session)
        return kind, replace(action, pause=0.004) if self._slow and isinstance(action, Reply) else action

    def _came(self) -> None:
        self.on_request(len(self.asked) + 1)


class _Handler(fault_server._Handler):
    def handle(self) -> None:
        teacher = self.server.model
        assert isinstance(teacher, Teacher)
        if teacher.away.is_set():
            reset(self.connection)
            return
        teacher.open.add(self.connection)
        try:
            with contextlib.suppress(OSError, ValueError):
                super().handle()
        finally:
            teacher.open.discard(self.connection)

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the connection was broken by us
            super().finish()


def reset(connection: socket.socket) -> None:
    """End a connection the hard way."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.shutdown(socket.SHUT_RDWR)
