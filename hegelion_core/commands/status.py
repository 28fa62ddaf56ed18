"""``hegelion-console --status``: where the newest run stands, from its files alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from hegelion_core.commands.streams import write_result
from hegelion_core.commands.text import printable
from hegelion_core.commands.words import duration, generation_facts, instance_words
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import replay
from hegelion_core.run_state import RunState, samples_per_minute, seconds_left
from hegelion_core.training.metrics import step_line
from hegelion_core.workspace import RunFolder, Workspace


def status(workspace: Path, *, demo: bool, as_json: bool) -> ExitCode:
    """Print the state of the run that was at work last.

    Raises:
        UserError: there is no run yet.
    """
    place = Workspace(workspace.resolve(), demo)
    newest = place.newest_run()
    if newest is None:
        raise UserError(f"No run in {place.artifacts} yet.", "Start one with 'hegelion-console --run-all'.")
    state = replay(newest.events)
    if as_json:
        write_result(msgspec.json.encode(_numbered(state, time.time())).decode() + "\n")
    else:
        for line in report(state, newest, time.time(), core_alive=_alive(state.core_pid)):
            write_result(printable(line) + "\n")
    return ExitCode.DONE


def report(state: RunState, folder: RunFolder, now: float, *, core_alive: bool) -> list[str]:
    """The state in lines for people."""
    at_work = state.active and core_alive
    lines = [f"Run {state.run_id}: {'at work, core ' + str(state.core_pid) if at_work else 'not running'}"]
    lines += [
        f"  {name:<9} {stage.status}" + (f"  {stage.detail}" if stage.detail else "")
        for name, stage in state.stages.items()
    ]
    lines.append(f"Samples: {state.accepted}/{state.target}   {state.sample_path}")
    if at_work and (rate := samples_per_minute(state, now)) is not None:
        left = seconds_left(state, now)
        lines[-1] += f"   {rate:.1f}/min" + (f", ETA {duration(left)}" if left else "")
    if (share := state.acceptance) is not None:
        lines[-1] += f"   {share:.0%} of answers accepted"
    if state.requests:
        lines.append(f"Teacher: {' · '.join(generation_facts(state))}")
    if at_work and state.paused:
        rest = f", {duration(max(0.0, state.paused_until - now))} left" if state.paused_until is not None else ""
        lines.append(f"Waiting: {state.paused}{rest}. {state.paused_advice}".rstrip())
    if at_work and state.stages["generate"].status == "running":
        lines += [
            f"  generator {number}: {instance_words(instance, now) or 'waits for its turn'}"
            for number, instance in sorted(state.instances.items())
            if number <= state.wanted_instances or instance.in_flight
        ]
    if state.steps:
        lines.append(step_line(state.steps[-1]))
    if state.active and not core_alive:
        lines.append("The core ended without warning. Run the same command again to go on where it was.")
    if state.error:
        lines += [f"error: {state.error}", state.hint]
    lines.append(f"Folder: {folder.path}")
    return lines


def _numbered(state: RunState, now: float) -> dict[str, object]:
    """The state with what follows from it and the time; rates in samples a minute, times in seconds."""
    numbers = {
        "samples_per_minute": samples_per_minute(state, now),
        "seconds_left": seconds_left(state, now),
        "acceptance": state.acceptance,
        "in_flight": state.in_flight,
    }
    return {**msgspec.to_builtins(state, str_keys=True), "numbers": numbers}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
