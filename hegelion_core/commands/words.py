"""Events and states in words: what a person reads on a terminal. Pure."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import singledispatch
from pathlib import Path

import msgspec

from hegelion_core import events as e
from hegelion_core.again import kind_of
from hegelion_core.commands.text import printable
from hegelion_core.evaluation import summary as evaluation
from hegelion_core.run_state import InstanceState, RunState, samples_per_minute, seconds_left
from hegelion_core.training.metrics import step_line

STAGE_VERBS: dict[e.Stage, str] = {
    "check": "checking what every stage needs",
    "generate": "generating samples",
    "convert": "converting samples to training rows",
    "train": "training the student",
    "evaluate": "evaluating base against adapter",
}


def duration(seconds: float) -> str:
    """``75`` as ``1m 15s``; the two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"


def size(count: float) -> str:
    """Bytes in binary units: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def amount(count: float) -> str:
    """A count in at most four characters: ``950``, ``12k``, ``3.4M``."""
    for unit in ("", "k", "M", "G"):
        if count < 1000 or unit == "G":
            return f"{count:.1f}{unit}" if unit and count < 10 else f"{count:.0f}{unit}"
        count /= 1000
    raise AssertionError


def counts(by_name: Mapping[str, int], most: int = 4) -> str:
    """``12 too_long, 3 empty``: the largest first; what is beyond ``most`` names is summed up."""
    ordered = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count:,} {printable(name).replace('_', ' ')}" for name, count in ordered[:most]]
    if rest := sum(count for _, count in ordered[most:]):
        parts.append(f"{rest:,} other")
    return ", ".join(parts)


def still(state: RunState) -> str:
    """What is at work while nothing happens that would be told; nothing during a wait, of which one was told."""
    stage = next((name for name, stage in state.stages.items() if stage.status == "running"), None)
    if stage is None or state.paused:
        return ""
    how = ""
    if stage == "generate" and state.target:
        how = f": {state.accepted} of {state.target} samples, {generation_facts(state)[0]}"
    elif stage == "train" and state.plan is not None:
        how = f": step {state.steps[-1].step if state.steps else state.plan.start_step} of {state.plan.iters}"
    return f"  still at work, {stage}{how}"


def generation_facts(state: RunState) -> list[str]:
    """What generation costs and how it goes, beside the samples themselves; the most useful first."""
    facts = []
    if state.in_flight or state.stages["generate"].status == "running":
        allowed = f" of {state.pace} allowed" if state.pace is not None else ""
        facts.append(f"{state.in_flight} in flight{allowed}")
    if state.rejected_by_reason:
        facts.append(f"rejected {counts(state.rejected_by_reason, 3)}")
    if state.failed_by_kind:
        facts.append(f"failed {counts(state.failed_by_kind, 3)}")
    if state.requests:
        facts.append(f"{state.requests:,} request{'s' if state.requests != 1 else ''}")
    if state.tokens or state.prompt_tokens:
        facts.append(f"{amount(state.prompt_tokens)} tokens read, {amount(state.tokens)} written")
    if state.set_aside:
        facts.append(f"{len(state.set_aside)} set aside")
    return facts


def instance_words(instance: InstanceState, now: float) -> str:
    """What a generator instance does and did: its calls in flight with the age of the oldest, its counts."""
    parts = []
    if instance.in_flight:
        oldest = duration(max(0.0, now - min(instance.in_flight.values())))
        asked = f"{len(instance.in_flight)} asked, " if len(instance.in_flight) > 1 else "asked "
        parts.append(f"{asked}{oldest} ago")
    elif instance.last:
        parts.append(f"{instance.last} {duration(max(0.0, now - instance.last_at))} ago")
    parts += [
        f"{count} {name}"
        for name, count in (
            ("accepted", instance.accepted),
            ("rejected", instance.rejected),
            ("failed", instance.failed),
        )
        if count
    ]
    return " · ".join(parts)


def nearby(path: str) -> str:
    """A path below the current folder without that folder's name; anything else as it is."""
    here = f"{Path.cwd()}{os.sep}"
    return path.removeprefix(here)


def purpose(state: RunState) -> str:
    """What a run is for: who teaches whom, or what is done with the student."""
    match kind_of(state.run_id):
        case "convert":
            return f"samples become rows for {state.student}"
        case "train":
            return f"{state.student} is trained"
        case "evaluate":
            return f"{state.student}, base against adapter"
    teacher = f"{state.teacher_program or state.teacher} {state.teacher_version}".rstrip()
    return f"{teacher} teaches {state.student}, prompts from {nearby(state.source)}"


@singledispatch
def describe(event: e.Event, state: RunState) -> str:
    """A line for ``event``, given the state after it; empty if it is not worth one."""
    return ""


@describe.register
def _(event: e.RunOpened, state: RunState) -> str:
    verb = "resumed" if event.resumed else "new"
    return f"Run {event.run_id} ({verb}): {purpose(state)}"


@describe.register
def _(event: e.CheckPassed, state: RunState) -> str:
    return f"  ok    {event.name}: {nearby(event.detail)}" if event.detail else f"  ok    {event.name}"


@describe.register
def _(event: e.CheckFailed, state: RunState) -> str:
    return f"  FAIL  {event.name}: {event.detail} {event.fix}".rstrip()


@describe.register
def _(event: e.DownloadProgressed, state: RunState) -> str:
    total = f" of {size(event.total)}" if event.total else ""
    return f"  {event.what}: {size(event.done)}{total}"


@describe.register
def _(event: e.NoticePosted, state: RunState) -> str:
    return event.text


@describe.register
def _(event: e.StageStarted, state: RunState) -> str:
    return f"{event.stage}: {STAGE_VERBS[event.stage]}"


@describe.register
def _(event: e.StageSkipped, state: RunState) -> str:
    return f"{event.stage}: skipped, {event.reason}"


@describe.register
def _(event: e.StageFinished, state: RunState) -> str:
    stage = state.stages[event.stage]
    took = duration(event.at - stage.started) if stage.started is not None else "?"
    return f"{event.stage}: done in {took}" + (f", {event.summary}" if event.summary else "")


@describe.register
def _(event: e.StageStopped, state: RunState) -> str:
    return f"{event.stage}: stopped; run the same command again to go on"


@describe.register
def _(event: e.PromptsPrepared, state: RunState) -> str:
    parts = [f"  {event.count:,} prompts from {nearby(event.source)}"]
    if event.arguable is not None:
        parts.append(f"{event.arguable:,} of them can be argued and come first")
    if event.left_out:
        parts.append(f"left out: {counts(event.left_out)}")
    return "; ".join(parts)


@describe.register
def _(event: e.TeacherReady, state: RunState) -> str:
    return f"  teacher: {event.teacher} {event.version} {event.detail}".rstrip()


@describe.register
def _(event: e.SamplesCounted, state: RunState) -> str:
    if kind_of(state.run_id) in ("train", "evaluate"):
        return ""
    notes = [f"{event.foreign} by another program"] * bool(event.foreign)
    notes += [f"{event.unusable} lines are no samples"] * bool(event.unusable)
    notes += [f"{event.rejected} rejected answers kept"] * bool(event.rejected)
    return f"  {event.accepted} of {state.target} samples in {nearby(event.path)}" + (
        f" ({', '.join(notes)})" if notes else ""
    )


@describe.register
def _(event: e.SampleAccepted, state: RunState) -> str:
    parts = [f"  sample {event.accepted}/{state.target} accepted"]
    if event.salvaged:
        parts.append("found whole after the last core's end")
    if (rate := samples_per_minute(state, event.at)) is not None:
        parts.append(f"{rate:.1f}/min")
    if left := seconds_left(state, event.at):
        parts.append(f"ETA {duration(left)}")
    if (share := state.acceptance) is not None:
        parts.append(f"{share:.0%} of answers accepted")
    return " · ".join(parts)


@describe.register
def _(event: e.PaceChanged, state: RunState) -> str:
    calls = f"{event.allowed} call{'s' if event.allowed != 1 else ''}"
    return f"  pace: at most {calls} at once, of {event.maximum}"


@describe.register
def _(event: e.GenerationPaused, state: RunState) -> str:
    if event.until is None:
        return f"  waiting: {printable(event.reason)}"
    clock = time.strftime("%H:%M:%S", time.localtime(event.until))
    return f"  waiting until {clock} (for {duration(event.until - event.at)}): {printable(event.reason)}"


@describe.register
def _(event: e.GenerationResumed, state: RunState) -> str:
    return "  going on"


@describe.register
def _(event: e.SampleRejected, state: RunState) -> str:
    return f"  answer rejected ({printable(event.reason)}): {printable(event.detail)}"


@describe.register
def _(event: e.RequestFailed, state: RunState) -> str:
    retry = f"; the provider says again in {duration(event.retry_in)}" if event.retry_in else ""
    return f"  request failed ({event.kind}): {printable(event.message)}{retry}"


@describe.register
def _(event: e.PromptSetAside, state: RunState) -> str:
    return f"  prompt {event.prompt_id} set aside: {', '.join(event.reasons)}"


@describe.register
def _(event: e.InstancesScaled, state: RunState) -> str:
    return f"  {event.count} generator instance{'s' if event.count != 1 else ''}"


@describe.register
def _(event: e.RowsConverted, state: RunState) -> str:
    skipped = ", ".join(f"{count} {reason}" for reason, count in event.skipped.items())
    return f"  {event.rows} training rows ({event.template})" + (f"; skipped: {skipped}" if skipped else "")


@describe.register
def _(event: e.TrainingPlanned, state: RunState) -> str:
    start = f", going on after step {event.start_step}" if event.start_step else ""
    within = f" (without a pull about {event.expected_s:.2%})" if event.expected_s is not None else ""
    target = f"S* = {event.target_s:.2%}{within}" if event.target_s else "mlx-lm's own trainer"
    return (
        f"  {event.iters} steps on {event.rows} rows ({event.validation_rows} held out), {event.trainable:,} LoRA "
        f"parameters, {event.tokens_per_epoch:,} supervised tokens an epoch, {target}, {event.device}{start}"
    )


@describe.register
def _(event: e.StepReported, state: RunState) -> str:
    return step_line(event)


@describe.register
def _(event: e.ValidationReported, state: RunState) -> str:
    return f"  validation loss at step {event.step}: {event.loss:.3f} nats per token"


@describe.register
def _(event: e.CheckpointSaved, state: RunState) -> str:
    return f"  checkpoint at step {event.step}"


@describe.register
def _(event: e.TrainingSampleWritten, state: RunState) -> str:
    return f"  sample answer at step {event.step}: {printable(event.answer[:100])}"


@describe.register
def _(event: e.TrainingRestarted, state: RunState) -> str:
    begin = f"at the checkpoint of step {event.step}" if event.step else "from the beginning"
    return (
        f"  {event.reason}; training starts again {begin}: {event.micro_batch_size} rows at a time, "
        f"{event.accumulation} times a step, rows of at most {event.max_seq_length} tokens"
    )


@describe.register
def _(event: e.TrainingFinished, state: RunState) -> str:
    kept = f" The adapter is that of step {event.kept_step} of {event.steps}." if event.kept_step else ""
    return f"Training complete.{kept}"


@describe.register
def _(event: e.EvaluationProgressed, state: RunState) -> str:
    # A third at a time: a terminal scrolls, and a log is read later.
    if event.done < event.total and event.done % max(1, event.total // 3):
        return ""
    of_each = " of each" if event.unit == "tokens" else ""
    return f"  {event.what}: {event.done} of {event.total} {event.unit}{of_each}".rstrip()


def summary(state: RunState, *, rows: Path, adapter: Path, base: Path) -> list[str]:
    """What a run made, with paths relative to ``base``."""

    def shown(path: Path | str) -> str:
        return os.path.relpath(path, base)

    lines = ["", "Summary"]
    if state.accepted or "generate" in state.requested:
        lines.append(f"  samples      {state.accepted} of {state.target}   {shown(state.sample_path)}")
    if state.requests:
        lines.append(f"  teacher      {' · '.join(generation_facts(state)[1:])}")
    if state.rows is not None:
        lines.append(f"  rows         {state.rows}   {shown(rows)}")
    if state.trained is not None and state.steps:
        last = state.steps[-1]
        best = f" (kept: step {kept})" if 0 < (kept := state.trained.kept_step) < state.trained.steps else ""
        figures = f"{state.trained.steps} steps{best}, loss {last.loss:.3f}, S {last.s:.2%}"
        lines.append(f"  adapter      {figures}   {shown(adapter)}")
    if (result := state.evaluation) is not None:
        compared = evaluation.lines(msgspec.structs.replace(result, path=shown(result.path)))
        lines += [f"  {label:<12} {text}" for label, text in zip(("evaluation", "", ""), compared, strict=False)]
    if state.report:
        lines.append(f"  report       {shown(state.report)}")
    lines.append(f"  run          {shown(state.folder)}")
    return lines
