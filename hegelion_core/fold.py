"""The fold: from events to the state of a run. Pure.

``apply(state, event)`` gives the next state; a handler a class of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.events import Stage
from hegelion_core.run_state import (
    MAX_NOTICES,
    MAX_POINTS,
    MAX_SAMPLES,
    RATE_LEAST,
    RATE_MOST,
    RATE_SECONDS,
    Download,
    InstanceState,
    RunState,
    StageStatus,
    generation_seconds,
)

Handler = Callable[[RunState, e.Event], RunState]
_handlers: dict[type[e.Event], Handler] = {}
E = TypeVar("E", bound=e.Event)
_GOING: dict[str, str | None] = {"paused": "", "paused_until": None, "paused_kind": "", "paused_advice": ""}
"""What a state says of a pause when there is none."""


def apply(state: RunState, event: e.Event) -> RunState:
    """The state after ``event``. Events without a handler change nothing but the time."""
    handler = _handlers.get(type(event))
    after = handler(state, event) if handler else state
    return replace(after, updated_at=max(after.updated_at, event.at))


def fold(events: Iterable[e.Event], state: RunState | None = None) -> RunState:
    """The state after all ``events``."""
    state = state or RunState()
    for event in events:
        state = apply(state, event)
    return state


def _on(kind: type[E]) -> Callable[[Callable[[RunState, E], RunState]], Callable[[RunState, E], RunState]]:
    def register(handler: Callable[[RunState, E], RunState]) -> Callable[[RunState, E], RunState]:
        _handlers[kind] = handler  # type: ignore[assignment]
        return handler

    return register


# The run and its stages


@_on(e.RunOpened)
def _run_opened(state: RunState, event: e.RunOpened) -> RunState:
    # A core that was killed could not say that its work ended: its last event is when it was last known to work.
    state = _pause_generation_clock(state, state.updated_at)
    stages = {
        name: replace(stage, status="stopped", ended=state.updated_at) if stage.status == "running" else stage
        for name, stage in state.stages.items()
    }
    return replace(
        state,
        run_id=event.run_id,
        folder=event.folder,
        target=event.target or state.target,
        teacher=event.teacher,
        student=event.student,
        source=event.source,
        demo=event.demo,
        arguments=event.arguments,
        core_pid=event.core_pid,
        openings=state.openings + 1,
        opened_at=event.at,
        stages=stages,
        active=False,
        children={},
        instances={number: replace(instance, in_flight={}) for number, instance in state.instances.items()},
        download=None,
        pace=None,
        **_GOING,
    )


@_on(e.WorkRequested)
def _work_requested(state: RunState, event: e.WorkRequested) -> RunState:
    stages = {
        name: replace(stage, status="pending", detail="") if name in event.stages else stage
        for name, stage in state.stages.items()
    }
    return replace(
        state,
        requested=event.stages,
        active=True,
        exit_code=None,
        error="",
        hint="",
        stages=stages,
        checks=(),
        report="",
    )


@_on(e.RunEnded)
def _run_ended(state: RunState, event: e.RunEnded) -> RunState:
    return replace(state, active=False, exit_code=event.exit_code, children={}, download=None)


@_on(e.StageStarted)
def _stage_started(state: RunState, event: e.StageStarted) -> RunState:
    if event.stage == "generate":
        state = replace(state, generating_since=event.at)
    if event.stage == "evaluate":
        state = replace(state, evaluation_progress=None)
    return _stage(state, event.stage, status="running", detail="", started=event.at, ended=None)


@_on(e.StageSkipped)
def _stage_skipped(state: RunState, event: e.StageSkipped) -> RunState:
    return _stage(state, event.stage, status="skipped", detail=event.reason)


@_on(e.StageFinished)
def _stage_finished(state: RunState, event: e.StageFinished) -> RunState:
    state = _generation_over(state, event.stage, event.at)
    return _stage(
        state,
        event.stage,
        status="done",
        detail=event.summary,
        ended=event.at,
        key=event.key,
        outputs=event.outputs,
    )


@_on(e.StageFailed)
def _stage_failed(state: RunState, event: e.StageFailed) -> RunState:
    state = _generation_over(state, event.stage, event.at)
    state = replace(state, error=event.message, hint=event.hint)
    return _stage(state, event.stage, status="failed", detail=event.message, ended=event.at)


@_on(e.StageStopped)
def _stage_stopped(state: RunState, event: e.StageStopped) -> RunState:
    state = _generation_over(state, event.stage, event.at)
    return _stage(state, event.stage, status="stopped", detail="", ended=event.at)


@_on(e.CheckPassed)
def _check_passed(state: RunState, event: e.CheckPassed) -> RunState:
    return replace(state, checks=(*state.checks, event), download=None)


@_on(e.CheckFailed)
def _check_failed(state: RunState, event: e.CheckFailed) -> RunState:
    return replace(state, checks=(*state.checks, event), download=None)


@_on(e.DownloadProgressed)
def _download_progressed(state: RunState, event: e.DownloadProgressed) -> RunState:
    return replace(state, download=Download(event.what, event.done, event.total))


@_on(e.NoticePosted)
def _notice_posted(state: RunState, event: e.NoticePosted) -> RunState:
    return replace(state, notices=(*state.notices, event)[-MAX_NOTICES:])


@_on(e.ChildStarted)
def _child_started(state: RunState, event: e.ChildStarted) -> RunState:
    return replace(state, children={**state.children, event.name: event.pid})


@_on(e.ChildExited)
def _child_exited(state: RunState, event: e.ChildExited) -> RunState:
    return replace(state, children={name: pid for name, pid in state.children.items() if name != event.name})


# Generation


@_on(e.SamplesCounted)
def _samples_counted(state: RunState, event: e.SamplesCounted) -> RunState:
    return replace(
        state, sample_path=event.path, accepted=event.accepted, foreign=event.foreign, rejected=event.rejected
    )


@_on(e.PromptsPrepared)
def _prompts_prepared(state: RunState, event: e.PromptsPrepared) -> RunState:
    target = state.target if event.target is None else event.target
    return replace(
        state,
        prompts=event.count,
        source=event.source,
        target=target,
        arguable=event.arguable,
        prompts_left_out=event.left_out,
    )


@_on(e.TeacherReady)
def _teacher_ready(state: RunState, event: e.TeacherReady) -> RunState:
    return replace(state, teacher_program=event.teacher, teacher_version=event.version)


@_on(e.InstancesScaled)
def _instances_scaled(state: RunState, event: e.InstancesScaled) -> RunState:
    numbers = event.numbers or tuple(range(1, event.count + 1))
    instances = {number: state.instances.get(number, InstanceState()) for number in numbers}
    return replace(state, wanted_instances=event.count, working=numbers, instances={**state.instances, **instances})


@_on(e.PaceChanged)
def _pace_changed(state: RunState, event: e.PaceChanged) -> RunState:
    return replace(state, pace=event.allowed)


@_on(e.SampleRequested)
def _sample_requested(state: RunState, event: e.SampleRequested) -> RunState:
    instance = state.instances.get(event.instance, InstanceState())
    in_flight = {**instance.in_flight, event.prompt_id: event.at}
    state = replace(state, requests=state.requests + 1)
    return _with_instance(state, event.instance, replace(instance, in_flight=in_flight, last_at=event.at))


@_on(e.SampleAccepted)
def _sample_accepted(state: RunState, event: e.SampleAccepted) -> RunState:
    after = _recent((*state.accepted_after, generation_seconds(state, event.at)))
    state = replace(
        state,
        accepted=event.accepted,
        tokens=state.tokens + (event.tokens or 0),
        prompt_tokens=state.prompt_tokens + (event.prompt_tokens or 0),
        accepted_after=state.accepted_after if event.salvaged else after,
        attempts=_without(state.attempts, event.prompt_id),
    )
    instance = _answered(state, event.instance, event.prompt_id, event.at, "accepted")
    return _with_instance(state, event.instance, replace(instance, accepted=instance.accepted + 1))


@_on(e.SampleRejected)
def _sample_rejected(state: RunState, event: e.SampleRejected) -> RunState:
    state = replace(
        state,
        rejected=state.rejected + 1,
        tokens=state.tokens + (event.tokens or 0),
        prompt_tokens=state.prompt_tokens + (event.prompt_tokens or 0),
        rejected_by_reason=_counted(state.rejected_by_reason, event.reason),
        attempts=_counted(state.attempts, event.prompt_id),
    )
    instance = _answered(state, event.instance, event.prompt_id, event.at, f"rejected: {event.reason}")
    return _with_instance(state, event.instance, replace(instance, rejected=instance.rejected + 1))


@_on(e.RequestFailed)
def _request_failed(state: RunState, event: e.RequestFailed) -> RunState:
    state = replace(
        state,
        failed_by_kind=_counted(state.failed_by_kind, event.kind),
        attempts=_counted(state.attempts, event.prompt_id) if event.counted else state.attempts,
    )
    instance = _answered(state, event.instance, event.prompt_id, event.at, f"failed: {event.kind}")
    return _with_instance(state, event.instance, replace(instance, failed=instance.failed + 1))


@_on(e.PromptSetAside)
def _prompt_set_aside(state: RunState, event: e.PromptSetAside) -> RunState:
    return replace(
        state,
        set_aside={**state.set_aside, event.prompt_id: event.reasons},
        attempts=_without(state.attempts, event.prompt_id),
    )


@_on(e.GenerationPaused)
def _generation_paused(state: RunState, event: e.GenerationPaused) -> RunState:
    if event.kind == "quota":  # hours may pass, which say nothing about the rate
        state = _pause_generation_clock(state, event.at)
    return replace(
        state, paused=event.reason, paused_until=event.until, paused_kind=event.kind, paused_advice=event.advice
    )


@_on(e.GenerationResumed)
def _generation_resumed(state: RunState, event: e.GenerationResumed) -> RunState:
    if state.generating_since is None and state.stages["generate"].status == "running":
        state = replace(state, generating_since=event.at)
    return replace(state, **_GOING)


# Conversion, training, evaluation


@_on(e.RowsConverted)
def _rows_converted(state: RunState, event: e.RowsConverted) -> RunState:
    return replace(state, rows=event.rows, rows_skipped=event.skipped)


@_on(e.TrainingPlanned)
def _training_planned(state: RunState, event: e.TrainingPlanned) -> RunState:
    # What was reported after the checkpoint from which training goes on is done again.
    return replace(
        state,
        plan=event,
        steps=tuple(step for step in state.steps if step.step <= event.start_step),
        validations=tuple(value for value in state.validations if value.step <= event.start_step),
        trained=None,
    )


@_on(e.StepReported)
def _step_reported(state: RunState, event: e.StepReported) -> RunState:
    return replace(state, steps=_bounded((*state.steps, event)))


@_on(e.ValidationReported)
def _validation_reported(state: RunState, event: e.ValidationReported) -> RunState:
    earlier = tuple(value for value in state.validations if value.step != event.step)
    return replace(state, validations=(*earlier, event))


@_on(e.CheckpointSaved)
def _checkpoint_saved(state: RunState, event: e.CheckpointSaved) -> RunState:
    return replace(state, checkpoint=event)


@_on(e.TrainingSampleWritten)
def _training_sample_written(state: RunState, event: e.TrainingSampleWritten) -> RunState:
    earlier = tuple(s for s in state.training_samples if (s.step, s.row) != (event.step, event.row))
    return replace(state, training_samples=(*earlier, event)[-MAX_SAMPLES:])


@_on(e.TrainingRestarted)
def _training_restarted(state: RunState, event: e.TrainingRestarted) -> RunState:
    return replace(state, restarted=event)


@_on(e.TrainingFinished)
def _training_finished(state: RunState, event: e.TrainingFinished) -> RunState:
    return replace(state, trained=event)


@_on(e.EvaluationProgressed)
def _evaluation_progressed(state: RunState, event: e.EvaluationProgressed) -> RunState:
    return replace(state, evaluation_progress=event)


@_on(e.EvaluationFinished)
def _evaluation_finished(state: RunState, event: e.EvaluationFinished) -> RunState:
    return replace(state, evaluation=event, evaluation_progress=None)


@_on(e.ReportWritten)
def _report_written(state: RunState, event: e.ReportWritten) -> RunState:
    return replace(state, report=event.path)


def _stage(
    state: RunState,
    name: Stage,
    *,
    status: StageStatus,
    detail: str,
    **changes: float | str | dict[str, str] | None,
) -> RunState:
    stage = replace(state.stages[name], status=status, detail=detail, **changes)
    return replace(state, stages={**state.stages, name: stage})


def _generation_over(state: RunState, stage: Stage, at: float) -> RunState:
    if stage != "generate":
        return state
    instances = {number: replace(instance, in_flight={}) for number, instance in state.instances.items()}
    return replace(_pause_generation_clock(state, at), instances=instances, pace=None, **_GOING)


def _pause_generation_clock(state: RunState, at: float) -> RunState:
    return replace(state, generated_for=generation_seconds(state, at), generating_since=None)


def _answered(state: RunState, number: int, prompt_id: str, at: float, what: str) -> InstanceState:
    instance = state.instances.get(number, InstanceState())
    return replace(instance, in_flight=_without(instance.in_flight, prompt_id), last_at=at, last=what)


def _with_instance(state: RunState, number: int, instance: InstanceState) -> RunState:
    return replace(state, instances={**state.instances, number: instance})


V = TypeVar("V")


def _without(values: dict[str, V], key: str) -> dict[str, V]:
    return {name: value for name, value in values.items() if name != key}


def _counted(counts: dict[str, int], key: str) -> dict[str, int]:
    return {**counts, key: counts.get(key, 0) + 1}


def _recent(times: tuple[float, ...]) -> tuple[float, ...]:
    """The last ``RATE_SECONDS``, but at least ``RATE_LEAST`` samples and at most ``RATE_MOST``, and the one before."""
    begin = max(0, len(times) - RATE_MOST - 1)
    while begin < len(times) - RATE_LEAST - 1 and times[begin + 1] < times[-1] - RATE_SECONDS:
        begin += 1
    return times[begin:]


def _bounded(steps: tuple[e.StepReported, ...]) -> tuple[e.StepReported, ...]:
    if len(steps) <= MAX_POINTS:
        return steps
    half = len(steps) // 2
    return steps[:half:2] + steps[half:]
