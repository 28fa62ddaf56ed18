"""A glance in words: one screen that tells how far a run is, what runs, what was said last, and what is wrong. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from hegelion_core import again
from hegelion_core.commands.run_words import table, when
from hegelion_core.commands.words import duration, generation_facts, instance_words, nearby, purpose, size
from hegelion_core.events import CheckFailed
from hegelion_core.glance import Glance
from hegelion_core.run_state import RunState, StageState, samples_per_minute, seconds_left, training_seconds_left
from hegelion_core.runs import Standing, standing
from hegelion_core.training.metrics import step_line

GLYPHS = {"pending": "○", "running": "●", "done": "✓", "skipped": "✓", "failed": "✗", "stopped": "■"}
_LEAST_DISK = 2 << 30
"""Bytes that adapters and logs may take."""
_SILENT = 600.0
"""Seconds without a word after which a running stage is worth a look."""
_AGE_SHOWN = 60.0
_STANDING: dict[Standing, str] = {
    "at work": "at work",
    "idle": "not at work; a core has it open",
    "not started": "not running; nothing was begun",
    "died": "not running; its core ended without warning",
    "done": "not running; done",
    "stopped": "not running; stopped",
    "failed": "not running; it ended in an error",
    "bad input": "not running; it ended in an error",
    "not ready": "not running; something was not ready",
    "waits for quota": "not running; the teacher's quota was used up",
}


class Trouble(NamedTuple):
    """What is wrong, and what to do."""

    what: str
    do: str


def lines(glance: Glance) -> list[str]:
    """The whole screen."""
    state, now = glance.state, glance.now
    told = _STANDING[standing(state, glance.core)]
    core = f", core {glance.core}" if glance.core else f" (last at work {when(state.updated_at)})"
    said = [f"Run {state.run_id or glance.run.id}: {told}{core}"]
    if state.student:
        said.append(f"  {purpose(state)}")
    said += ["", *_stages(state, now, at_work=bool(glance.core))]
    said += ["", *_samples(glance)]
    said += _training(glance)
    said += _adapter(glance)
    said += ["", *_processes(glance), *_machine(glance)]
    said += _logs(glance)
    said += _troubles(glance)
    return said


def _stages(state: RunState, now: float, *, at_work: bool) -> list[str]:
    rows = []
    for name, stage in state.stages.items():
        status = "ended" if stage.status == "running" and not at_work else stage.status
        glyph = "■" if status == "ended" else GLYPHS[stage.status]
        rows.append((f"{glyph} {name}", status, _took(stage, now if at_work else state.updated_at), _far(state, name)))
    return [f"  {line}" for line in table(rows)]


def _took(stage: StageState, now: float) -> str:
    if stage.started is None or stage.status in ("pending", "skipped"):
        return ""
    return duration(max(0.0, (stage.ended if stage.ended is not None else now) - stage.started))


def _far(state: RunState, name: str) -> str:
    stage = state.stages[name]  # type: ignore[index]
    if stage.status != "running":
        return stage.detail
    match name:
        case "check" if (download := state.download) is not None:
            return f"{download.what}: {size(download.done)}" + (f" of {size(download.total)}" if download.total else "")
        case "generate":
            return f"{state.accepted} of {state.target} samples"
        case "train" if state.plan is not None:
            return f"step {state.steps[-1].step if state.steps else state.plan.start_step} of {state.plan.iters}"
        case "evaluate" if (part := state.evaluation_progress) is not None:
            return f"{part.what}: {part.done} of {part.total} {part.unit}".rstrip()
    return ""


def _samples(glance: Glance) -> list[str]:
    state, now = glance.state, glance.now
    if again.kind_of(state.run_id) in ("train", "evaluate"):  # it wants none
        return [f"Samples:   {state.accepted} in {nearby(state.sample_path)}"] if state.accepted else []
    generating = bool(glance.core) and state.stages["generate"].status == "running"
    facts = [f"{state.accepted}/{state.target}"]
    if generating and (rate := samples_per_minute(state, now)) is not None:
        facts.append(f"{rate:.1f}/min")
        if left := seconds_left(state, now):
            facts.append(f"ETA {duration(left)}")
    if (share := state.acceptance) is not None:
        facts.append(f"{share:.0%} of answers accepted")
    said = [f"Samples:   {' · '.join(facts)}   {nearby(state.sample_path)}".rstrip()]
    if state.requests:
        said.append(f"Teacher:   {' · '.join(generation_facts(state))}")
    if generating and state.paused:
        rest = f", {duration(max(0.0, state.paused_until - now))} left" if state.paused_until is not None else ""
        said.append(f"Waiting:   {state.paused}{rest}. {state.paused_advice}".rstrip())
    if generating:
        said += [
            f"  generator {number}{_pids(glance, number)}: {instance_words(instance, now) or 'waits for its turn'}"
            for number, instance in sorted(state.instances.items())
            if number <= state.wanted_instances or instance.in_flight
        ]
    return said


def _pids(glance: Glance, number: int) -> str:
    pids = glance.instances.get(number, ())
    return f" ({'process' if len(pids) == 1 else 'processes'} {', '.join(map(str, pids))})" if pids else ""


def _training(glance: Glance) -> list[str]:
    state = glance.state
    if state.plan is None:
        return []
    last = state.steps[-1] if state.steps else None
    facts = [f"step {last.step if last else state.plan.start_step} of {state.plan.iters}"]
    if last is not None:
        facts.append(f"loss {last.loss:.3f}")
    if state.validations:
        validation = state.validations[-1]
        facts.append(f"validation {validation.loss:.3f} at step {validation.step}")
    if state.checkpoint is not None:
        facts.append(f"checkpoint at step {state.checkpoint.step}")
    if glance.core and (left := training_seconds_left(state, glance.now)) is not None:
        facts.append(f"ETA {duration(left)}")
    if state.trained is not None:
        facts.append("complete")
    return [f"Training:  {' · '.join(facts)}", *([f"  {step_line(last)}"] if last is not None else [])]


def _adapter(glance: Glance) -> list[str]:
    path = nearby(str(glance.adapter))
    if not glance.adapter_files:
        return [f"Adapter:   none yet in {path}"]
    said = [f"Adapter:   {path}"]
    rows = [
        (
            file.name,
            f"-> {file.link}" if file.link else size(file.size),
            f"{duration(max(0.0, glance.now - file.written_at))} ago",
        )
        for file in glance.adapter_files
    ]
    return said + [f"  {line}" for line in table(rows)]


def _processes(glance: Glance) -> list[str]:
    if not glance.core:
        return ["Processes: none"]
    rows = [("core", str(glance.core), size(glance.core_memory), "")]
    rows += [
        (child.name, str(child.pid), size(child.memory), f"for {duration(max(0.0, glance.now - child.since))}")
        for child in glance.children
    ]
    first, *rest = table(rows, right=(1, 2))
    return [f"Processes: {first}", *(f"           {line}" for line in rest)]


def _machine(glance: Glance) -> list[str]:
    machine = glance.machine
    stalled = f", stalled {machine.stalled:.0f} % of the time" if machine.stalled else ""
    said = [
        f"Machine:   memory pressure {machine.level}{stalled}, {size(machine.available)} of {size(machine.total)} free"
        f" · load {glance.load:.1f} on {os.cpu_count() or 1} processors · disk {size(machine.disk_free)} free"
    ]
    for gpu in machine.gpus:
        facts = [f"{gpu.busy:.0f} % busy"] if gpu.busy is not None else []
        if gpu.used is not None:
            facts.append(size(gpu.used) + (f" of {size(gpu.total)}" if gpu.total else "") + " used")
        said.append(f"GPU:       {gpu.name}: {', '.join(facts) or 'tells nothing'}")
    return said


def _logs(glance: Glance) -> list[str]:
    said: list[str] = []
    for log in glance.logs:
        ago = duration(max(0.0, glance.now - log.written_at))
        said += ["", f"{nearby(log.path)}, {ago} ago", *(f"  | {line[:300]}" for line in log.lines)]
    return said


def _troubles(glance: Glance) -> list[str]:
    found = list(troubles(glance))
    if not found:
        return ["", "Nothing is wrong."]
    said = [""]
    for trouble in found:
        said += [f"! {trouble.what}", *([f"  {trouble.do}"] if trouble.do else [])]
    return said


def troubles(glance: Glance) -> Iterator[Trouble]:
    """What is wrong, the worst first, each with what to do."""
    state, machine = glance.state, glance.machine
    yield from _end(glance)
    for check in state.checks:
        if isinstance(check, CheckFailed) and not glance.core:
            yield Trouble(f"Not ready: {check.name}: {check.detail}", check.fix)
    if glance.left:
        pids = ", ".join(map(str, glance.left))
        yield Trouble(
            f"Processes of the core that died still run: {pids}.",
            "They are ended within seconds; if they stay: hegelion-console doctor --fix.",
        )
    if (quiet := _quiet(glance)) > _SILENT:
        yield Trouble(
            f"Nothing was heard for {duration(quiet)}.",
            f"See the logs in {nearby(str(glance.place.logs))}; hegelion-console stop, then: "
            f"{again.command(state, glance.place)}",
        )
    if machine.level != "normal":
        yield Trouble(
            f"Memory pressure is {machine.level}.",
            "Close other programs; in training, less is needed with --micro-batch-size 1 or a shorter "
            "--max-seq-length.",
        )
    if machine.disk_free < _LEAST_DISK:
        yield Trouble(
            f"Only {size(machine.disk_free)} of disk are free.", "Make room: adapters and logs may take 2 GB."
        )
    if glance.damaged:
        yield Trouble(f"{glance.damaged} lines of the event log could not be read.", "They are passed over.")


def _end(glance: Glance) -> Iterator[Trouble]:
    """How the run ended, where it did not end well."""
    state = glance.state
    resume = f"Go on: {again.command(state, glance.place)}"
    match standing(state, glance.core):
        case "died":
            running = [name for name, stage in state.stages.items() if stage.status == "running"]
            what = f" in {', '.join(running)}" if running else ""
            yield Trouble(
                f"The core ended without warning{what} (process {state.core_pid}, killed or the machine went down).",
                f"What was done is kept. {resume}",
            )
        case "failed" | "bad input" | "not ready":
            failed = next((name for name, stage in state.stages.items() if stage.status == "failed"), "")
            where = f"{failed}: " if failed else ""
            if state.error:
                yield Trouble(f"{where}{state.error}", f"{state.hint} {resume}".strip())
        case "waits for quota":
            yield Trouble(
                "The teacher's quota was used up.", f"When it has refilled: {again.command(state, glance.place)}"
            )
        case "stopped":
            yield Trouble("It was stopped before it was done.", resume)
        case "at work" | "idle" if state.error:
            yield Trouble(state.error, state.hint)
        case _:
            pass


def _quiet(glance: Glance) -> float:
    """Seconds since anything was heard of a run that is at work and waits for nothing."""
    state = glance.state
    if not (glance.core and state.active) or state.paused:
        return 0.0
    heard = max([state.updated_at, *(log.written_at for log in glance.logs)])
    return max(0.0, glance.now - heard)


def plain(glance: Glance) -> dict[str, object]:
    """The glance for programs: the whole state, what follows from it and the time, and the surroundings.

    Rates in samples a minute, durations in seconds, sizes in bytes, times in seconds since the epoch.
    """
    state, now = glance.state, glance.now
    at_work = bool(glance.core)
    return {
        **msgspec.to_builtins(state, str_keys=True),
        "standing": standing(state, glance.core),
        "numbers": {
            "samples_per_minute": samples_per_minute(state, now),
            "seconds_left": seconds_left(state, now),
            "training_seconds_left": training_seconds_left(state, now) if at_work else None,
            "acceptance": state.acceptance,
            "in_flight": state.in_flight,
        },
        "core": {"pid": glance.core, "memory": glance.core_memory},
        "processes": [msgspec.to_builtins(child) for child in glance.children],
        "instance_processes": {str(number): pids for number, pids in glance.instances.items()},
        "logs": msgspec.to_builtins(glance.logs),
        "adapter": {"path": str(glance.adapter), "files": msgspec.to_builtins(glance.adapter_files)},
        "machine": {**msgspec.to_builtins(glance.machine), "load": glance.load},
        "troubles": [trouble._asdict() for trouble in troubles(glance)],
        "command": again.command(state, glance.place),
        "folder": str(Path(glance.run.path)),
    }
