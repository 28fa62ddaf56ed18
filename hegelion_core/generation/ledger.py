"""Who does what: the prompts that are still to do, which of them are in flight, and what became of earlier attempts."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping

from hegelion_core.generation.claims import Claims
from hegelion_core.generation.prompts import Prompt
from hegelion_core.generation.store import SampleStore


class Ledger:
    """The prompts of one generation. Others on the same output, here or in another process, are never in its way."""

    def __init__(
        self,
        prompts: Iterable[Prompt],
        store: SampleStore,
        claims: Claims,
        *,
        attempts: Mapping[str, int],
        set_aside: Collection[str],
        max_attempts: int,
    ) -> None:
        """``attempts`` and ``set_aside`` are what earlier openings of the run left, by prompt id."""
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self._store = store
        self._claims = claims
        self._attempts = dict(attempts)
        self._max_attempts = max_attempts
        self._corrections: dict[str, str] = {}
        self._reasons: dict[str, list[str]] = {}
        self._set_aside = set(set_aside)
        self._pending = deque(prompt for prompt in self._prompts.values() if prompt.id not in self._set_aside)
        self.in_flight = 0
        """Prompts that are claimed here."""
        self.elsewhere = 0
        """Prompts that other processes held when ``take`` last looked."""

    @property
    def set_aside(self) -> int:
        """Prompts that were given up."""
        return len(self._set_aside)

    def prompt(self, prompt_id: str) -> Prompt | None:
        """A prompt of this generation."""
        return self._prompts.get(prompt_id)

    def take(self, target: int) -> Prompt | None:
        """Claim the next prompt, if fewer are in flight anywhere than are missing to ``target``; else ``None``."""
        # Under the store's lock nobody appends and nobody claims: what is counted here holds until the claim is made.
        with self._store.locked():
            self._store.refresh()
            missing = target - self._store.accepted
            if self.in_flight >= missing:
                return None
            self.elsewhere = self._claims.held_elsewhere()
            if self.in_flight + self.elsewhere >= missing:
                return None
            prompt = self._next()
        self.in_flight += prompt is not None
        return prompt

    def give_back(self, prompt: Prompt) -> None:
        """A call for this prompt has ended; unless it is done or set aside it is asked again."""
        self._claims.release(prompt.id)
        self.in_flight -= 1
        if prompt.id in self._store.done or prompt.id in self._set_aside:
            return
        # A re-ask that names the fault comes at once; what failed waits for its turn.
        (self._pending.appendleft if prompt.id in self._corrections else self._pending.append)(prompt)

    def attempt(self, prompt_id: str) -> int:
        """The number of the next attempt, from 1."""
        return self._attempts.get(prompt_id, 0) + 1

    def correction(self, prompt_id: str) -> str | None:
        """The fault of the answer before, to be named once."""
        return self._corrections.pop(prompt_id, None)

    def correct(self, prompt_id: str, fault: str) -> None:
        """The next attempt names this fault."""
        self._corrections[prompt_id] = fault

    def count_attempt(self, prompt_id: str, reason: str, *, last: bool = False) -> tuple[str, ...]:
        """An attempt failed for a reason of the prompt's.

        Returns:
            All reasons, if the prompt is set aside now; else nothing.
        """
        self._attempts[prompt_id] = self.attempt(prompt_id)
        reasons = self._reasons.setdefault(prompt_id, [])
        reasons.append(reason)
        if not last and self._attempts[prompt_id] < self._max_attempts:
            return ()
        self._set_aside.add(prompt_id)
        self._corrections.pop(prompt_id, None)
        return tuple(reasons)

    def forget_done(self) -> None:
        """Drop what was done by others or set aside since."""
        self._pending = deque(p for p in self._pending if p.id not in self._store.done and p.id not in self._set_aside)

    def _next(self) -> Prompt | None:
        for _ in range(len(self._pending)):
            prompt = self._pending.popleft()
            if prompt.id in self._store.done or self._store.is_withdrawn(prompt.id):
                continue
            if self._claims.take(prompt.id):
                return prompt
            self._pending.append(prompt)
        # Prompts whose samples a person rejected come last: what was never asked is worth more than a second try.
        for prompt_id in self._store.withdrawn():
            again = self._prompts.get(prompt_id)
            if again is not None and prompt_id not in self._set_aside and self._claims.take(prompt_id):
                return again
        return None
