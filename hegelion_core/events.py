"""The typed events: everything that can happen in a run, one class each.

An event is one line of the run's ``events.jsonl``; its class name is the line's ``event`` field. Events are the
past tense of what happened; log lines are not events. ``at`` is in seconds since the Unix epoch and is set when the
event is appended. Durations are in seconds, sizes in bytes, losses in nats per token.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

Stage = Literal["check", "generate", "convert", "train", "evaluate"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Level = Literal["info", "warning", "error"]

# A log may have been written by anyone: a number that nothing could count, or a time that no calendar has, is no event.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Code = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=2e11)]
"""Seconds since the Unix epoch, up to the year 8307."""
MAX_INSTANCES = 10_000
"""More generator instances than this are told of by no core."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """What every event has."""

    at: Moment = 0.0


# The run and its stages


class RunOpened(Event, frozen=True):
    """A core opened a run, new or resumed; first event of each opening."""

    run_id: str
    folder: str
    target: Count
    """Accepted samples wanted in the output file."""
    teacher: str
    student: str
    source: str
    core_pid: Count
    resumed: bool = False
    demo: bool = False
    version: str = ""
    arguments: tuple[str, ...] = ()
    """Flags with which the run's command finds this run again, besides what the settings file says."""


class WorkRequested(Event, frozen=True):
    """Someone asked for these stages; the core is at work until ``RunEnded``."""

    stages: tuple[Stage, ...]


class SamplesCounted(Event, frozen=True):
    """The sample file was read: what is durably there. At each opening, and before generation."""

    path: str
    accepted: Count
    foreign: Count = 0
    """Accepted rows that another program wrote."""
    unusable: Count = 0
    """Lines that do not hold a sample (torn, other format, contract not met)."""
    rejected: Count = 0


class CheckPassed(Event, frozen=True):
    """A check of what a later stage needs succeeded."""

    name: str
    detail: str = ""


class CheckFailed(Event, frozen=True):
    """A check failed; ``fix`` says what to do."""

    name: str
    detail: str
    fix: str = ""


class DownloadProgressed(Event, frozen=True):
    """Part of a download is on disk; at most one a second."""

    what: str
    done: Count
    total: Count | None = None


class StageStarted(Event, frozen=True):
    """A stage began work."""

    stage: Stage


class StageSkipped(Event, frozen=True):
    """A stage had nothing to do: it is finished and its inputs have not changed."""

    stage: Stage
    reason: str


class StageFinished(Event, frozen=True):
    """A stage is done; ``key`` is the hash of its settings and inputs, ``outputs`` maps path to SHA-256."""

    stage: Stage
    key: str
    outputs: dict[str, str]
    summary: str = ""


class StageFailed(Event, frozen=True):
    """A stage ended in an error that the user must mend."""

    stage: Stage
    message: str
    hint: str = ""
    exit_code: Code = 1


class StageStopped(Event, frozen=True):
    """A stage was stopped on request; what it made so far is kept."""

    stage: Stage


class RunEnded(Event, frozen=True):
    """The requested stages have ended; the core is idle."""

    exit_code: Code
    message: str = ""


class NoticePosted(Event, frozen=True):
    """Something a person should know, that changes no state."""

    text: str
    level: Level = "info"


# Child processes


class ChildStarted(Event, frozen=True):
    """A child process runs."""

    name: str
    pid: Count


class ChildExited(Event, frozen=True):
    """A child process has ended; ``code`` is negative for a signal, as in ``subprocess``."""

    name: str
    pid: Count
    code: Code
    seconds: float


# Generation


class PromptsPrepared(Event, frozen=True):
    """The prompts are on disk in the order in which they are asked."""

    count: Count
    source: str
    target: Count | None = None
    """Accepted samples wanted, where it follows from the prompts (a prompt file without a limit)."""
    arguable: Count | None = None
    """How many of them can be argued; those are asked first. ``None``: nobody asked."""
    left_out: dict[str, Count] = {}
    """Reason to count."""


class TeacherReady(Event, frozen=True):
    """The teacher was found and answers."""

    teacher: str
    version: str
    detail: str = ""


class InstancesScaled(Event, frozen=True):
    """The wanted number of generator instances changed."""

    count: Annotated[int, msgspec.Meta(ge=0, le=MAX_INSTANCES)]
    numbers: tuple[Count, ...] = ()
    """Which they are; none: 1 to ``count``."""


class PaceChanged(Event, frozen=True):
    """How many calls may be in flight at once changed: ``allowed`` of at most ``maximum``."""

    allowed: Count
    maximum: Count


class SampleRequested(Event, frozen=True):
    """An instance asked the teacher."""

    instance: Count
    prompt_id: str
    attempt: Count = 1


class SampleAccepted(Event, frozen=True):
    """A sample was appended to the sample file and is durably there."""

    instance: Count
    prompt_id: str
    sample_id: str
    accepted: Count
    """Accepted samples in the file, this one included."""
    seconds: float
    tokens: Count | None = None
    """Tokens that the teacher wrote, where known."""
    prompt_tokens: Count | None = None
    """Tokens that it read."""
    salvaged: bool = False
    """The answer was found whole in a spool file of an earlier core."""


class SampleRejected(Event, frozen=True):
    """An answer did not meet the sample contract; it is kept in the rejected file."""

    instance: Count
    prompt_id: str
    reason: str
    detail: str = ""
    tokens: Count | None = None
    prompt_tokens: Count | None = None


class RequestFailed(Event, frozen=True):
    """The teacher gave no answer."""

    instance: Count
    prompt_id: str
    kind: str
    message: str
    retry_in: float | None = None
    """Seconds after which the provider wants to be asked again, where it said so."""
    counted: bool = True
    """It counts as an attempt at the prompt; a failure of the service does not."""


class PromptSetAside(Event, frozen=True):
    """A prompt was given up after its last attempt, with its reasons."""

    prompt_id: str
    reasons: tuple[str, ...]


class GenerationPaused(Event, frozen=True):
    """All instances wait, until ``until`` (seconds since the epoch) where that is known."""

    reason: str
    until: Moment | None = None
    kind: str = ""
    """Class of the fault: ``quota``, ``rate`` or ``transient``."""
    advice: str = ""


class GenerationResumed(Event, frozen=True):
    """The wait is over."""


# Conversion


class RowsConverted(Event, frozen=True):
    """The training rows are written."""

    rows: Count
    skipped: dict[str, Count]
    """Reason to count."""
    path: str
    template: str


# Training


class TrainingPlanned(Event, frozen=True):
    """The student is loaded and the work is known."""

    iters: Count
    rows: Count
    validation_rows: Count
    tokens_per_epoch: Count
    """Supervised tokens in one epoch: N of the SCU formulas."""
    trainable: Count
    """Number of LoRA parameters."""
    target_s: float
    """S*; 0: nothing holds S (the standard trainer)."""
    device: str
    start_step: Count = 0
    floor_s: float | None = None
    """S at the start; this and the next two only where the training begins."""
    expected_s: float | None = None
    """S that the training may get to without a pull."""
    ceiling_s: float | None = None
    """S that it cannot exceed."""


class StepReported(Event, frozen=True):
    """The means since the last report, every ``report_every`` steps; the numbers of the ``Step N:`` line."""

    step: Count
    iters: Count
    loss: float
    data_bpt: float
    param_bpt: float
    s: float
    """Share of ParamBPT in the whole, 0 to 1."""
    lambda_before: float
    lambda_after: float
    learning_rate: float = 0.0
    tokens_per_second: float = 0.0
    peak_memory: Count = 0


class ValidationReported(Event, frozen=True):
    """Mean loss on the validation rows, in nats per token."""

    step: Count
    loss: float


class CheckpointSaved(Event, frozen=True):
    """A complete checkpoint is on disk."""

    step: Count
    path: str


class TrainingSampleWritten(Event, frozen=True):
    """The student, as it is at this step, answered a held-out prompt; the file of the run holds all of it."""

    step: Count
    row: str
    """Id of the held-out row."""
    answer: str
    """Its beginning."""
    complete_trace: bool = False


class MemoryExhausted(Event, frozen=True):
    """A worker ended because it could not get the memory that it needed."""

    detail: str


class TrainingRestarted(Event, frozen=True):
    """The trainer died and is started again at its last checkpoint, with these sizes."""

    reason: str
    step: Count
    """Of the checkpoint; 0: there is none."""
    micro_batch_size: Count
    """Rows that pass the model at a time."""
    accumulation: Count
    """Micro-batches of an optimizer step."""
    max_seq_length: Count


class TrainingFinished(Event, frozen=True):
    """The adapter is written."""

    steps: Count
    adapter_path: str
    seconds: float
    kept_step: Count = 0
    """The step whose weights it holds; 0: not said."""
    kept_loss: float | None = None
    """Their validation loss, if it was measured."""


# Evaluation


class EvaluationProgressed(Event, frozen=True):
    """Part of the evaluation is done; ``unit`` is what is counted, of answers the tokens of the longest."""

    what: str
    done: Count
    total: Count
    unit: Literal["", "batches", "tokens"] = ""


class EvaluationFinished(Event, frozen=True):
    """Base against adapter; losses in nats per token on the held-out rows, shares 0 to 1 over ``prompts`` answers."""

    path: str
    prompts: Count
    validation_rows: Count
    base_loss: float
    adapter_loss: float
    base_bits: float
    adapter_bits: float
    base_traces: float
    adapter_traces: float


class ReportWritten(Event, frozen=True):
    """A page that tells the run in pictures was written; just before ``RunEnded``."""

    path: str


class WorkerFailed(Event, frozen=True):
    """A child process of ours ended in an error that a user can mend."""

    message: str
    hint: str = ""
    exit_code: Code = 1


class UnknownEvent(Event, frozen=True):
    """An event of a newer version; kept in the file, ignored here."""


class _Newer(msgspec.Struct, frozen=True):
    """What is read of an event whose class is not known."""

    event: str
    at: Moment = 0.0


AnyEvent = (
    RunOpened
    | WorkRequested
    | SamplesCounted
    | CheckPassed
    | CheckFailed
    | DownloadProgressed
    | StageStarted
    | StageSkipped
    | StageFinished
    | StageFailed
    | StageStopped
    | RunEnded
    | NoticePosted
    | ChildStarted
    | ChildExited
    | PromptsPrepared
    | TeacherReady
    | InstancesScaled
    | PaceChanged
    | SampleRequested
    | SampleAccepted
    | SampleRejected
    | RequestFailed
    | PromptSetAside
    | GenerationPaused
    | GenerationResumed
    | RowsConverted
    | TrainingPlanned
    | StepReported
    | ValidationReported
    | CheckpointSaved
    | TrainingSampleWritten
    | MemoryExhausted
    | TrainingRestarted
    | TrainingFinished
    | EvaluationProgressed
    | EvaluationFinished
    | ReportWritten
    | WorkerFailed
    | UnknownEvent
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_newer_decoder: msgspec.json.Decoder[_Newer] = msgspec.json.Decoder(_Newer)
_NAMES = {cls.__name__ for cls in get_args(AnyEvent)}


def encode(event: Event) -> bytes:
    """One line of JSON, newline included."""
    return _encoder.encode(event) + b"\n"


def decode(line: bytes | str) -> AnyEvent:
    """The event on one line.

    An event class of a newer version becomes an ``UnknownEvent``; fields that are not known here are ignored.

    Raises:
        UNREADABLE: the line is not JSON, or not an event.
    """
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        newer = _newer_decoder.decode(line)
        if newer.event not in _NAMES:
            return UnknownEvent(at=newer.at)
        raise
