"""The typed events: everything that can happen in a run, one class each.

An event is one line of the run's ``events.jsonl``; its class name is the line's ``event`` field. Events are the
past tense of what happened; log lines are not events. ``at`` is in seconds since the Unix epoch and is set when the
event is appended. Durations are in seconds, sizes in bytes, losses in nats per token.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Stage = Literal["check", "generate", "convert", "train", "evaluate"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Level = Literal["info", "warning", "error"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """What every event has."""

    at: float = 0.0


# The run and its stages


class RunOpened(Event, frozen=True):
    """A core opened a run, new or resumed; first event of each opening."""

    run_id: str
    folder: str
    target: int
    """Accepted samples wanted in the output file."""
    teacher: str
    student: str
    source: str
    core_pid: int
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
    accepted: int
    foreign: int = 0
    """Accepted rows that another program wrote."""
    unusable: int = 0
    """Lines that do not hold a sample (torn, other format, contract not met)."""
    rejected: int = 0


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
    done: int
    total: int | None = None


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
    exit_code: int = 1


class StageStopped(Event, frozen=True):
    """A stage was stopped on request; what it made so far is kept."""

    stage: Stage


class RunEnded(Event, frozen=True):
    """The requested stages have ended; the core is idle."""

    exit_code: int
    message: str = ""


class NoticePosted(Event, frozen=True):
    """Something a person should know, that changes no state."""

    text: str
    level: Level = "info"


# Child processes


class ChildStarted(Event, frozen=True):
    """A child process runs."""

    name: str
    pid: int


class ChildExited(Event, frozen=True):
    """A child process has ended; ``code`` is negative for a signal, as in ``subprocess``."""

    name: str
    pid: int
    code: int
    seconds: float


# Generation


class PromptsPrepared(Event, frozen=True):
    """The prompts are on disk in the order in which they are asked."""

    count: int
    source: str
    target: int | None = None
    """Accepted samples wanted, where it follows from the prompts (a prompt file without a limit)."""
    arguable: int | None = None
    """How many of them can be argued; those are asked first. ``None``: nobody asked."""
    left_out: dict[str, int] = {}
    """Reason to count."""


class TeacherReady(Event, frozen=True):
    """The teacher was found and answers."""

    teacher: str
    version: str
    detail: str = ""


class InstancesScaled(Event, frozen=True):
    """The wanted number of generator instances changed."""

    count: int
    numbers: tuple[int, ...] = ()
    """Which they are; none: 1 to ``count``."""


class PaceChanged(Event, frozen=True):
    """How many calls may be in flight at once changed: ``allowed`` of at most ``maximum``."""

    allowed: int
    maximum: int


class SampleRequested(Event, frozen=True):
    """An instance asked the teacher."""

    instance: int
    prompt_id: str
    attempt: int = 1


class SampleAccepted(Event, frozen=True):
    """A sample was appended to the sample file and is durably there."""

    instance: int
    prompt_id: str
    sample_id: str
    accepted: int
    """Accepted samples in the file, this one included."""
    seconds: float
    tokens: int | None = None
    """Tokens that the teacher wrote, where known."""
    prompt_tokens: int | None = None
    """Tokens that it read."""
    salvaged: bool = False
    """The answer was found whole in a spool file of an earlier core."""


class SampleRejected(Event, frozen=True):
    """An answer did not meet the sample contract; it is kept in the rejected file."""

    instance: int
    prompt_id: str
    reason: str
    detail: str = ""
    tokens: int | None = None
    prompt_tokens: int | None = None


class RequestFailed(Event, frozen=True):
    """The teacher gave no answer."""

    instance: int
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
    until: float | None = None
    kind: str = ""
    """Class of the fault: ``quota``, ``rate`` or ``transient``."""
    advice: str = ""


class GenerationResumed(Event, frozen=True):
    """The wait is over."""


# Conversion


class RowsConverted(Event, frozen=True):
    """The training rows are written."""

    rows: int
    skipped: dict[str, int]
    """Reason to count."""
    path: str
    template: str


# Training


class TrainingPlanned(Event, frozen=True):
    """The student is loaded and the work is known."""

    iters: int
    rows: int
    validation_rows: int
    tokens_per_epoch: int
    """Supervised tokens in one epoch: N of the SCU formulas."""
    trainable: int
    """Number of LoRA parameters."""
    target_s: float
    """S*; 0: nothing holds S (the standard trainer)."""
    device: str
    start_step: int = 0
    floor_s: float | None = None
    """S at the start; this and the next two only where the training begins."""
    expected_s: float | None = None
    """S that the training may get to without a pull."""
    ceiling_s: float | None = None
    """S that it cannot exceed."""


class StepReported(Event, frozen=True):
    """The means since the last report, every ``report_every`` steps; the numbers of the ``Step N:`` line."""

    step: int
    iters: int
    loss: float
    data_bpt: float
    param_bpt: float
    s: float
    """Share of ParamBPT in the whole, 0 to 1."""
    lambda_before: float
    lambda_after: float
    learning_rate: float = 0.0
    tokens_per_second: float = 0.0
    peak_memory: int = 0


class ValidationReported(Event, frozen=True):
    """Mean loss on the validation rows, in nats per token."""

    step: int
    loss: float


class CheckpointSaved(Event, frozen=True):
    """A complete checkpoint is on disk."""

    step: int
    path: str


class TrainingSampleWritten(Event, frozen=True):
    """The student, as it is at this step, answered a held-out prompt; the file of the run holds all of it."""

    step: int
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
    step: int
    """Of the checkpoint; 0: there is none."""
    micro_batch_size: int
    """Rows that pass the model at a time."""
    accumulation: int
    """Micro-batches of an optimizer step."""
    max_seq_length: int


class TrainingFinished(Event, frozen=True):
    """The adapter is written."""

    steps: int
    adapter_path: str
    seconds: float
    kept_step: int = 0
    """The step whose weights it holds; 0: not said."""
    kept_loss: float | None = None
    """Their validation loss, if it was measured."""


# Evaluation


class EvaluationProgressed(Event, frozen=True):
    """Part of the evaluation is done; ``unit`` is what is counted, of answers the tokens of the longest."""

    what: str
    done: int
    total: int
    unit: Literal["", "batches", "tokens"] = ""


class EvaluationFinished(Event, frozen=True):
    """Base against adapter; losses in nats per token on the held-out rows, shares 0 to 1 over ``prompts`` answers."""

    path: str
    prompts: int
    validation_rows: int
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
    exit_code: int = 1


class UnknownEvent(Event, frozen=True):
    """An event of a newer version; kept in the file, ignored here."""


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
_tag_decoder: msgspec.json.Decoder[dict[str, object]] = msgspec.json.Decoder(dict[str, object])
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
        raw = _tag_decoder.decode(line)
        if isinstance(name := raw.get("event"), str) and name not in _NAMES:
            return UnknownEvent(at=float(at) if isinstance(at := raw.get("at"), int | float) else 0.0)
        raise
