"""Troubles of a run: a generator that stopped, is silent or slow; training that failed; no adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hegelion_core.commands.words import duration, size
from hegelion_core.doctor.case import Case
from hegelion_core.doctor.finding import Finding
from hegelion_core.events import CheckFailed
from hegelion_core.run_state import InstanceState, samples_per_minute, seconds_left

_ADAPTER = ("adapter_config.json", "adapters.safetensors")
_SLOW = 1.0
"""Samples a minute below which it is explained why that is no fault."""


def core(case: Case) -> Finding:
    """Whether the run is at work, or ended without a word."""
    state = case.state
    if case.run is None:
        return Finding(
            "run",
            "note",
            f"no run in {case.shown(case.place.artifacts)} yet",
            f"Start one: {case.command('--run-all')}",
        )
    if case.core:
        return Finding("run", "ok", f"{case.run.id}: core {case.core} {'is at work' if state.active else 'is idle'}")
    if state.active:
        return Finding(
            "run", "warning", f"{case.run.id}: its core ended without warning.",
            f"Run the same command again; it goes on where it was. Last words: {case.shown(case.place.logs)}/core.log.",
        )  # fmt: skip
    return Finding("run", "ok", f"{case.run.id}: not running, it ended in order")


def failure(case: Case) -> Iterator[Finding]:
    """The stage that failed last, with its own advice."""
    for name, stage in case.state.stages.items():
        if stage.status != "failed":
            continue
        if name == "check":  # the checklist above is newer; but it fetches nothing, and the stage does
            yield from _failed_checks(case)
            continue
        advice = [case.state.hint or "Mend that and run the same command again."]
        if name == "generate":
            logs = ", ".join(case.shown(path) for path in sorted(case.place.logs.glob("generator_*.log")))
            advice += [f"What was said: {logs}."] if logs else []
        if name == "train":
            advice.append(f"Its last lines are in {case.shown(case.place.train_log)}.")
        if name == "train" and "memory" in stage.detail:
            advice.append(
                "Less memory is needed with --micro_batch_size 1, --grad_checkpoint, a smaller --max_seq_length, or a "
                "smaller student."
            )
        yield Finding(f"{name} failed", "failed", stage.detail, " ".join(advice))


def _failed_checks(case: Case) -> Iterator[Finding]:
    for check in case.state.checks:
        if isinstance(check, CheckFailed):
            again = f"{check.fix} Then run the same command again.".lstrip()
            yield Finding("check failed", "warning", f"{check.name}, last time: {check.detail}", again)


def memory(case: Case) -> Finding | None:
    """Whether the trainer ran out of memory before and goes on with less."""
    if (restart := case.state.restarted) is None:
        return None
    return Finding(
        "training restarted", "note",
        f"{restart.reason} It goes on with {restart.micro_batch_size} rows at a time, of at most "
        f"{restart.max_seq_length:,} tokens.",
        "The result is the same but for rounding. --micro_batch_size says it from the start.",
    )  # fmt: skip


def generators(case: Case) -> Iterator[Finding]:
    """Whether the generators that run say something, and how fast they are."""
    state = case.state
    if not case.core or state.stages["generate"].status != "running":
        return
    if state.paused:
        yield Finding("generation waits", "note", state.paused, state.paused_advice)
    limit = case.settings.generation.silence_timeout
    silent = {
        number: quiet for number, one in sorted(state.instances.items()) if (quiet := _quiet(case, number, one)) > limit
    }
    for number, quiet in silent.items():
        yield Finding(
            f"generator {number}", "warning", f"It has said nothing for {duration(quiet)}.",
            f"A call is ended by itself after {duration(limit)} of silence, and asked anew. If this lasts: stop the "
            f"run, see {case.shown(case.place.generator_log(number))}, and generate again; it goes on where it was.",
        )  # fmt: skip
    if not silent:
        yield Finding("generators", "ok", f"{state.wanted_instances} at work, {state.in_flight} calls under way")
    yield from _rate(case)


def _quiet(case: Case, number: int, instance: InstanceState) -> float:
    """Seconds since a generator that waits for an answer was last heard of; 0: it waits for none."""
    if not instance.in_flight:
        return 0.0
    log = case.place.generator_log(number)
    heard = log.stat().st_mtime if log.exists() else 0.0
    return max(0.0, case.now - max(heard, instance.last_at, *instance.in_flight.values()))


def _rate(case: Case) -> Iterator[Finding]:
    rate, left = samples_per_minute(case.state, case.now), seconds_left(case.state, case.now)
    if rate is None:
        return
    found = f"{rate:.1f} samples a minute" + (f", {duration(left)} left" if left else "")
    if rate >= _SLOW:
        yield Finding("speed", "ok", found)
        return
    yield Finding(
        "speed", "note", found,
        "A teacher that reasons takes one to two minutes a sample; that is no fault. More instances help as far as "
        "the account allows.",
    )  # fmt: skip


def adapter(case: Case) -> Finding:
    """Whether training left an adapter, whole."""
    path = case.place.resolve(case.settings.training.adapter_path)
    there = [name for name in _ADAPTER if (path / name).is_file()]
    if len(there) == len(_ADAPTER):
        return Finding("adapter", "ok", f"{case.shown(path)}, {size((path / _ADAPTER[1]).stat().st_size)}")
    if there:
        missing = next(name for name in _ADAPTER if name not in there)
        return Finding(
            "adapter", "warning", f"{case.shown(path)} lacks {missing}.", "Train again; it goes on where it was."
        )
    if (trained := case.state.trained) is not None and case.place.resolve(Path(trained.adapter_path)) == path:
        return Finding(
            "adapter",
            "failed",
            f"Training finished, but {case.shown(path)} is empty.",
            f"Train again: {case.command('train')}",
        )
    return Finding(
        "adapter",
        "note",
        f"none yet: {case.shown(path)}",
        f"It is written when training ends: {case.command('train')}",
    )
