"""RunState: what every face shows of a run. It is a pure fold over events (``hegelion_core.fold``).

Times are in seconds since the Unix epoch,
durations in seconds. Whatever depends on the present (ages, rates, ETA) is a function of a state and a time.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from hegelion_core import events as e
from hegelion_core.events import STAGES, Stage

StageStatus = Literal["pending", "running", "done", "skipped", "failed", "stopped"]
RATE_SECONDS, RATE_LEAST, RATE_MOST = 600.0, 20, 200
"""The rate is taken over the samples of the last ten minutes of generation, at least so many and at most so many."""
MAX_POINTS = 4096
"""Reported steps that a state keeps; beyond, every second one of the older half is dropped."""
MAX_NOTICES = 50
MAX_SAMPLES = 8
"""Sample answers of a training that a state keeps, the last ones."""


class StageState(msgspec.Struct, frozen=True):
    """Where a stage stands. ``key`` and ``outputs`` are those of the last time it finished."""

    status: StageStatus = "pending"
    detail: str = ""
    started: float | None = None
    ended: float | None = None
    key: str = ""
    outputs: dict[str, str] = {}


class InstanceState(msgspec.Struct, frozen=True):
    """A generator instance: its calls in flight (prompt id to time of the request) and what it did."""

    in_flight: dict[str, float] = {}
    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    last_at: float = 0.0
    last: str = ""


class Download(msgspec.Struct, frozen=True):
    """A download under way, in bytes."""

    what: str
    done: int
    total: int | None


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a face shows of a run."""

    run_id: str = ""
    folder: str = ""
    target: int = 0
    teacher: str = ""
    teacher_program: str = ""
    """What answers, where ``teacher`` leaves it open: ``kimi-cli`` may be ``kimi-code``."""
    teacher_version: str = ""
    student: str = ""
    source: str = ""
    demo: bool = False
    arguments: tuple[str, ...] = ()
    """Flags with which the run's command finds it again."""
    core_pid: int = 0
    openings: int = 0
    opened_at: float = 0.0
    updated_at: float = 0.0
    requested: tuple[Stage, ...] = ()
    active: bool = False
    exit_code: int | None = None
    error: str = ""
    hint: str = ""
    stages: dict[Stage, StageState] = msgspec.field(default_factory=lambda: {stage: StageState() for stage in STAGES})
    checks: tuple[e.CheckPassed | e.CheckFailed, ...] = ()
    notices: tuple[e.NoticePosted, ...] = ()
    download: Download | None = None
    children: dict[str, int] = {}
    """Name to process id of the children that run."""

    sample_path: str = ""
    accepted: int = 0
    """Accepted samples in the file, whoever wrote them."""
    foreign: int = 0
    rejected: int = 0
    rejected_by_reason: dict[str, int] = {}
    failed_by_kind: dict[str, int] = {}
    requests: int = 0
    tokens: int = 0
    """Tokens that the teacher wrote, accepted or not, where known."""
    prompt_tokens: int = 0
    """Tokens that it read."""
    prompts: int = 0
    arguable: int | None = None
    """Prompts that can be argued, where that was asked."""
    prompts_left_out: dict[str, int] = {}
    set_aside: dict[str, tuple[str, ...]] = {}
    attempts: dict[str, int] = {}
    """Attempts that count against their prompt, by prompt id, of prompts that are still to do."""
    wanted_instances: int = 0
    working: tuple[int, ...] = ()
    """Numbers of the instances that are wanted."""
    pace: int | None = None
    """Calls that may be in flight at once; ``None``: as many as the instances make."""
    instances: dict[int, InstanceState] = {}
    paused: str = ""
    paused_until: float | None = None
    paused_kind: str = ""
    paused_advice: str = ""
    generating_since: float | None = None
    generated_for: float = 0.0
    """Seconds of generation before ``generating_since``, over all openings."""
    accepted_after: tuple[float, ...] = ()
    """Seconds of generation at which the last samples were accepted."""

    rows: int | None = None
    rows_skipped: dict[str, int] = {}

    plan: e.TrainingPlanned | None = None
    steps: tuple[e.StepReported, ...] = ()
    validations: tuple[e.ValidationReported, ...] = ()
    checkpoint: e.CheckpointSaved | None = None
    training_samples: tuple[e.TrainingSampleWritten, ...] = ()
    restarted: e.TrainingRestarted | None = None
    """The last restart of the trainer, whose sizes hold for the rest of the run."""
    trained: e.TrainingFinished | None = None

    evaluation_progress: e.EvaluationProgressed | None = None
    evaluation: e.EvaluationFinished | None = None

    report: str = ""
    """The page that was written when the work last ended."""

    @property
    def in_flight(self) -> int:
        """Calls that wait for the teacher."""
        return sum(len(instance.in_flight) for instance in self.instances.values())

    @property
    def acceptance(self) -> float | None:
        """Share of the answers that met the sample contract, 0 to 1; ``None`` before the first answer."""
        good = sum(instance.accepted for instance in self.instances.values())
        bad = sum(instance.rejected for instance in self.instances.values())
        return good / (good + bad) if good + bad else None


def generation_seconds(state: RunState, now: float) -> float:
    """Seconds spent generating, over all openings, pauses between openings left out."""
    running = max(0.0, now - state.generating_since) if state.generating_since is not None else 0.0
    return state.generated_for + running


def samples_per_minute(state: RunState, now: float) -> float | None:
    """Rate over the last minutes, in samples a minute; ``None`` before the first."""
    # Until the window is full it begins with the generation itself, so the rate is right from the first sample on.
    full = len(state.accepted_after) > RATE_LEAST
    begin = state.accepted_after[0] if full else 0.0
    count = len(state.accepted_after) - (1 if full else 0)
    elapsed = generation_seconds(state, now) - begin
    return 60.0 * count / elapsed if count and elapsed > 0 else None


def seconds_left(state: RunState, now: float) -> float | None:
    """Estimated seconds until the target is reached; ``None`` while nothing is known."""
    missing = state.target - state.accepted
    if missing <= 0:
        return 0.0
    rate = samples_per_minute(state, now)
    pause = max(0.0, state.paused_until - now) if state.paused_until else 0.0
    return pause + 60.0 * missing / rate if rate else None


def training_seconds_left(state: RunState, now: float) -> float | None:
    """Estimated seconds until the last step, from the pace since this training began; ``None`` while it is unknown."""
    stage, plan = state.stages["train"], state.plan
    if stage.status != "running" or stage.started is None or plan is None or not state.steps:
        return None
    last = state.steps[-1]
    made = last.step - plan.start_step
    if made <= 0:
        return None
    # The pace up to the last report; what passed since then is already part of the next steps.
    finished = (last.at - stage.started) / made * (plan.iters - last.step)
    return max(0.0, finished - (now - last.at))
