"""A model server that fails in every known way, from a seed, and remembers what it sent to whom and when.

What goes wrong follows from the seed and the number of the request alone. Each answer bears a mark of its own, so that
it can be found again wherever it was kept.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.teachers import canary
from tests.fakes import model_server
from tests.fakes.good_answers import good_text, question
from tests.fakes.model_server import Action, Cut, Failure, Hang, Json, ModelServer, Reply, Request, ToolCall

GOOD, CANARY, TOOL = "good", "canary", "tool"
SHARES = MappingProxyType(
    {
        "no_block": 0.02,
        "cut_text": 0.02,
        "refusal": 0.02,
        "wrong_order": 0.02,
        "length": 0.02,
        "rate": 0.015,
        "rate_told": 0.015,
        "unavailable": 0.015,
        "overloaded": 0.015,
        "internal": 0.015,
        "cut_stream": 0.02,
        "filtered": 0.015,
        "empty": 0.02,
        "hang": 0.01,
    }
)
"""Share of the requests that each fault meets; a tool is called ``TOOLS`` times in all."""
TOOLS = 2
"""The third in a run ends the generation."""
PASSING = frozenset({"rate", "rate_told", "unavailable", "overloaded", "internal", "cut_stream", "empty"})
"""After these the program may try again by itself."""
STUBBORN = 0.75
"""Share of them that meet every try of the same process."""
ANSWERS = frozenset({GOOD, "no_block", "cut_text", "refusal", "wrong_order", "length"})
"""Classes that are an answer, good or bad; the others are the service's failures."""
_CORRECTION = re.compile(r"\n\nAn earlier reply to this was not accepted\..*", re.DOTALL)
MARK = re.compile(r"\(case (r\d{5}z)\)")


@dataclass
class Asked:
    """A request: what it asked, what it got, and when. Times in seconds of the wall clock."""

    number: int
    prompt: str
    """The prompt's id."""
    kind: str
    """The class of what it got: ``good``, a fault of ``SHARES``, ``tool``, ``canary``, or a staged one."""
    mark: str
    beyond: int
    """Bytes of the body beyond system text, row, and the fault of an earlier reply."""
    tools: int
    continued: bool
    """Whether it goes on after a tool call or an answer that was cut."""
    began: float
    ended: float | None = None
    whole: bool = False
    """Whether everything was sent."""


class FaultServer(ModelServer):
    """Deals faults to the first requests and good answers to all later ones."""

    def __init__(
        self,
        *,
        requests: int,
        seed: int,
        seconds: tuple[float, float],
        kinds: Collection[str] = (*SHARES, TOOL),
        on_request: Callable[[], None] = lambda: None,
    ) -> None:
        """Deals faults of these ``kinds``.

        Args:
            requests: how many requests they spread over.
            seed: of their order and of the times.
            seconds: how long an answer takes, least and most.
            kinds: the classes that are met.
            on_request: called with each request, before anything is answered.
        """
        super().__init__(respond=self._deal)
        self.asked: list[Asked] = []
        self.changed = threading.Condition()
        """Notified when a request came or was served."""
        self._rng = random.Random(seed)
        self._deck = deque(deck(requests, kinds, self._rng))
        self._seconds = seconds
        self._staged: tuple[str, Action] | None = None
        self._lasting = False
        self._stubborn: dict[str, str] = {}
        self._by_request: dict[int, Asked] = {}
        self._on_request = on_request
        self._http.RequestHandlerClass = _Handler

    @property
    def in_flight(self) -> list[Asked]:
        """Requests that are not served yet."""
        return [asked for asked in self.asked if asked.ended is None]

    def stage(self, kind: str, action: Action, *, lasting: bool) -> None:
        """Have the next request get this before the faults go on, or all until ``unstage``."""
        self._staged, self._lasting = (kind, action), lasting

    def unstage(self) -> None:
        """The faults go on."""
        self._staged = None

    def served(self, request: Request, *, whole: bool) -> None:
        """All that a request got was sent, or its client went away."""
        with self.changed:
            asked = self._by_request[id(request)]
            asked.ended, asked.whole = time.time(), whole
            self.changed.notify_all()

    def _deal(self, request: Request) -> Action:
        self._on_request()
        query = question(request.user_text)
        with self.changed:  # requests come at once, and each has a number of its own
            number = len(self.asked)
            mark = f"r{number:05d}z"
            kind, action = self._choose(query, mark, str(request.body.get("prompt_cache_key", "")))
            correction = _CORRECTION.search(request.user_text)
            known = (request.system_text, query, correction[0] if correction else "")
            asked = Asked(
                number=number,
                prompt=prompt_id(query),
                kind=kind,
                mark=mark,
                beyond=request.size - sum(len(text.encode()) for text in known),
                tools=len(request.tools),
                continued=any(message.get("role") in ("assistant", "tool") for message in request.messages),
                began=time.time(),
            )
            self._by_request[id(request)] = asked
            self.asked.append(asked)
            self.changed.notify_all()
        return action

    def _choose(self, query: str, mark: str, session: str) -> tuple[str, Action]:
        seconds = self._rng.uniform(*self._seconds)
        if query == canary.QUERY:
            return CANARY, Reply("I have no tools and will not try to use any.", seconds=seconds)
        if (staged := self._staged) is not None:
            self._staged = staged if self._lasting else None
            return staged
        kind = self._stubborn.get(session) or (self._deck.popleft() if self._deck else GOOD)
        if session and kind in PASSING and self._rng.random() < STUBBORN:
            self._stubborn[session] = kind
        return kind, make_action(kind, query, mark, seconds)


class _Handler(model_server._Handler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # the client was killed
            super().handle()

    def _act(self, action: Action, request: Request) -> None:
        whole = False
        try:
            super()._act(action, request)
            whole = True
        finally:
            cast(FaultServer, self.server.model).served(request, whole=whole)


def deck(requests: int, kinds: Collection[str], rng: random.Random) -> list[str]:
    """The classes of the first requests, each fault spread evenly over all of them and met at least once."""
    counts = {kind: TOOLS if kind == TOOL else max(1, round(SHARES[kind] * requests)) for kind in kinds}
    counts[GOOD] = max(0, requests - sum(counts.values()))
    placed = [((n + rng.random()) / count, kind) for kind, count in counts.items() for n in range(count)]
    return [kind for _, kind in sorted(placed)]


def make_action(kind: str, query: str, mark: str, seconds: float) -> Action:
    """What a request of this class gets."""
    text = re.sub(r"\(case \w+\)", f"(case {mark})", good_text(query))
    texts = {
        GOOD: text,
        "length": text,  # cut at the end of a sentence: nothing but the finish reason tells
        "filtered": text[: len(text) // 3],
        "empty": "",
        "no_block": f"Cars are loud (case {mark}). That is all there is to say.",
        "cut_text": text[: text.index("once the people")],
        "refusal": f"I'm sorry, but I can't help with that request (case {mark}).",
        "wrong_order": text.replace("**THESIS**", "**-**")
        .replace("**ANTITHESIS**", "**THESIS**")
        .replace("**-**", "**ANTITHESIS**"),
    }
    if kind in texts:
        finish = {"length": "length", "filtered": "content_filter"}.get(kind, "stop")
        return Reply(texts[kind], finish=finish, seconds=seconds)
    failures: dict[str, Callable[[], Action]] = {
        "rate": lambda: Failure(429, _error("rate_limit_reached_error", "Too many requests, slow down.")),
        "rate_told": lambda: Failure(429, _told(1), {"Retry-After": "1"}),
        "unavailable": lambda: Failure(503, _error("server_error", "Service unavailable.")),
        "overloaded": lambda: Failure(529, model_server.OVERLOADED),
        "internal": lambda: Failure(500, _error("server_error", "Internal server error.")),
        "cut_stream": lambda: Cut(text[: len(text) // 2]),
        "hang": Hang,
        TOOL: lambda: ToolCall("Bash", {"command": "id"}),
    }
    return failures[kind]()


def quota(words: str) -> Failure:
    """A plan's quota is used up; ``words`` say when it refills."""
    return Failure(403, _error("permission_error", f"You've reached your usage limit for this billing cycle. {words}"))


def _told(seconds: int) -> Json:
    return _error(
        "rate_limit_reached_error", f"Your account reached max RPM: 3, please try again after {seconds} seconds"
    )


def _error(type_: str, message: str) -> Json:
    return {"error": {"type": type_, "message": message}}
