"""What may be told to someone who is not looking: a stage has ended, the quota is out, a teacher has gone silent. Pure.

Nothing of what a model or a teacher said is in these texts: they go to the terminal and the desktop.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from hegelion_core.commands.words import duration
from hegelion_core.errors import ExitCode
from hegelion_core.run_state import InstanceState, RunState
from hegelion_tui.ending import has_ended

Kind = Literal["stage_ended", "quota_out", "teacher_silent"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Each is a setting, ``console.<kind>``."""
Way = Literal["off", "bell", "desktop", "both"]
WAYS: tuple[Way, ...] = get_args(Way)


@dataclass(frozen=True)
class Alert:
    """One thing to tell, in a sentence or two."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Silence:
    """A generator that waits for its teacher and has heard nothing for ``seconds``."""

    number: int
    seconds: float


def happened(before: RunState, after: RunState) -> list[Alert]:
    """What there is to tell of a state that follows another. What a person did himself is not told to him."""
    found: list[Alert] = []
    if after.paused_kind == "quota" and before.paused_kind != "quota":
        found.append(Alert("quota_out", f"The teacher's quota is used up.{_goes_on(after)}"))
    if has_ended(after) and (before.active or before.exit_code != after.exit_code):
        return [*found, *_run_end(after)]
    asked = [(name, before.stages[name].status, after.stages[name].status) for name in after.requested]
    done = [name for name, was, now in asked if now == "done" != was]
    if done and after.active and any(now not in ("done", "skipped") for _, _, now in asked):
        found.append(Alert("stage_ended", f"{' and '.join(done)} done. The run goes on."))
    return found


def _goes_on(state: RunState) -> str:
    if state.paused_until is None:
        return ""
    return f" The run goes on at {time.strftime('%H:%M', time.localtime(state.paused_until))}."


def _run_end(state: RunState) -> Iterable[Alert]:
    match state.exit_code:
        case ExitCode.INTERRUPTED:
            return
        case ExitCode.DONE:
            yield Alert("stage_ended", "The run is done.")
        case ExitCode.COME_BACK_LATER:
            yield Alert("quota_out", "The teacher's quota is used up, and the run has ended. It can go on later.")
        case _:
            failed = next((name for name, stage in state.stages.items() if stage.status == "failed"), "the run")
            yield Alert("stage_ended", f"{failed} ended in an error. The console says why.")


CORE_GONE = Alert("stage_ended", "The core has ended, while work was under way. The console can resume it.")


def silences(state: RunState, heard: Mapping[int, float], now: float, patience: float) -> list[Silence]:
    """Generators that have heard nothing for ``patience`` seconds.

    Args:
        state: the run.
        heard: when a generator's log was last written, by number, in seconds since the epoch.
        now: seconds since the epoch.
        patience: seconds.
    """
    found: list[Silence] = []
    for number, instance in sorted(state.instances.items()):
        if instance.in_flight:
            last = max(heard.get(number, 0.0), *instance.in_flight.values())
            if now - last > patience:
                found.append(Silence(number, now - last))
    return found


class SilenceWatch:
    """Tells each silence once: until the teacher has answered, a generator that is asked anew is the same silence."""

    def __init__(self) -> None:
        self._told: dict[int, int] = {}
        """Answers that a generator had when it was told."""

    def new(self, state: RunState, found: Iterable[Silence]) -> list[Silence]:
        """Those of ``found`` that were not told yet."""
        fresh: list[Silence] = []
        for silence in found:
            answers = _answers(state.instances[silence.number])
            if self._told.get(silence.number) != answers:
                self._told[silence.number] = answers
                fresh.append(silence)
        return fresh


def _answers(instance: InstanceState) -> int:
    return instance.accepted + instance.rejected


def silent(found: list[Silence], limit: float) -> Alert:
    """``found``, one at least, as one alert; a call is ended after ``limit`` seconds of silence."""
    numbers = [str(one.number) for one in found]
    who = f"Generator {numbers[0]} has" if len(numbers) == 1 else f"Generators {', '.join(numbers)} have"
    longest = duration(max(one.seconds for one in found))
    return Alert(
        "teacher_silent",
        f"{who} heard nothing from the teacher for {longest}. "
        f"A call is ended by itself after {duration(limit)} of silence, and asked anew.",
    )
