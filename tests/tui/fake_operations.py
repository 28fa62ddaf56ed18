"""Operations that a test holds in its hand: it feeds real events and sees what was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.errors import UserError
from hegelion_core.events import AnyEvent, Stage
from hegelion_core.fold import apply
from hegelion_core.run_state import RunState
from hegelion_core.workspace import Workspace

START = 1_700_000_000.0


class FakeOperations:
    """Implements ``Operations``. Events are stamped with ``clock``, which only ``feed`` moves."""

    def __init__(self, place: Workspace) -> None:
        self._place = place
        self._state = RunState()
        self._queue: asyncio.Queue[AnyEvent | None] | None = None
        self.now = START
        self.asked: list[tuple[object, ...]] = []
        self.refuses: UserError | None = None

    @property
    def place(self) -> Workspace:
        return self._place

    @property
    def state(self) -> RunState:
        return self._state

    def clock(self) -> float:
        return self.now

    def feed(self, *events: AnyEvent, seconds: float = 0.0) -> None:
        """Let ``seconds`` pass, then let these events happen."""
        self.now += seconds
        for event in events:
            stamped = replace(event, at=self.now)
            self._state = apply(self._state, stamped)
            if self._queue is not None:
                self._queue.put_nowait(stamped)

    def replay(self, events: Iterable[AnyEvent]) -> None:
        """Let these events happen when they happened."""
        for event in events:
            self.now = event.at
            self._state = apply(self._state, event)

    def end(self) -> None:
        """The core dies."""
        assert self._queue is not None
        self._queue.put_nowait(None)

    def events(self) -> AsyncGenerator[AnyEvent, None]:
        self._queue = asyncio.Queue()
        return self._drain(self._queue)

    async def _drain(self, queue: asyncio.Queue[AnyEvent | None]) -> AsyncGenerator[AnyEvent, None]:
        while (event := await queue.get()) is not None:
            yield event

    async def start(self, stages: Sequence[Stage]) -> None:
        self._take("start", *stages)

    async def stop(self) -> None:
        self._take("stop")

    async def stop_instance(self, number: int) -> None:
        self._take("stop_instance", number)

    async def scale(self, instances: int) -> None:
        self._take("scale", instances)

    async def scale_by(self, change: int) -> None:
        self._take("scale_by", change)

    async def recount(self) -> None:
        self._take("recount")

    async def compare(self, question: str, temperature: float = 0.0) -> None:
        self._take("compare", question, temperature)

    async def stop_comparing(self) -> None:
        self._take("stop_comparing")

    async def close(self) -> None:
        self._take("close")

    def _take(self, *request: object) -> None:
        self.asked.append(request)
        if self.refuses is not None:
            raise self.refuses


def opened(target: int = 20) -> list[AnyEvent]:
    """A run of which nothing has been done yet."""
    opening = e.RunOpened(
        run_id="20251122-162200-run-all-1a2b3c4d",
        folder="artifacts/runs/20251122-162200-run-all-1a2b3c4d",
        target=target,
        teacher="kimi-cli",
        student="DeepSeek-R1-Distill-Qwen-1.5B",
        source="HuggingFaceH4/ultrafeedback_binarized",
        core_pid=4242,
    )
    return [opening]


def generating(instances: int = 2) -> list[AnyEvent]:
    """The checks have passed and the generators are at work."""
    return [
        e.WorkRequested(stages=e.STAGES),
        e.StageStarted(stage="check"),
        e.CheckPassed(name="disk", detail="45.0 GiB free"),
        e.TeacherReady(teacher="kimi-cli", version="1.52"),
        e.StageFinished(stage="check", key="", outputs={}, summary="9 checks passed"),
        e.StageStarted(stage="generate"),
        e.InstancesScaled(count=instances),
    ]


def answered(count: int, instance: int = 1, first: int = 1) -> list[AnyEvent]:
    """``count`` accepted samples, numbered from ``first``."""
    found: list[AnyEvent] = []
    for number in range(first, first + count):
        prompt = f"prompt-{number}"
        found.append(e.SampleRequested(instance=instance, prompt_id=prompt))
        found.append(
            e.SampleAccepted(
                instance=instance, prompt_id=prompt, sample_id=f"s{number}", accepted=number, seconds=30.0, tokens=400
            )
        )
    return found


def training(iters: int = 24) -> list[AnyEvent]:
    """Generation and conversion are done; the trainer has loaded the student."""
    return [
        e.StageFinished(stage="generate", key="", outputs={}, summary="20 samples"),
        e.StageStarted(stage="convert"),
        e.RowsConverted(rows=20, skipped={}, path="artifacts/data/hegelion_scu_ready.jsonl", template="student"),
        e.StageFinished(
            stage="convert",
            key="k",
            outputs={"artifacts/data/hegelion_scu_ready.jsonl": "00"},
            summary="20 rows",
        ),
        e.StageStarted(stage="train"),
        e.TrainingPlanned(
            iters=iters,
            rows=18,
            validation_rows=2,
            tokens_per_epoch=7000,
            trainable=1_000_000,
            target_s=0.02,
            device="cpu",
        ),
    ]


def step(number: int, iters: int = 24) -> e.StepReported:
    """A report of training; its loss falls as 3 / number."""
    return e.StepReported(
        step=number,
        iters=iters,
        loss=1.5 + 3.0 / number,
        data_bpt=2.0 + 4.0 / number,
        param_bpt=0.01 + 0.001 * number,
        s=0.03 - 0.01 * number / iters,
        lambda_before=1.0,
        lambda_after=1.0 + number / iters,
    )


def ended() -> list[AnyEvent]:
    """Training and evaluation have succeeded."""
    return [
        e.TrainingFinished(steps=24, adapter_path="artifacts/adapters/hegelion_1.5b_v1", seconds=75.0),
        e.StageFinished(stage="train", key="k", outputs={}, summary="24 steps"),
        e.StageStarted(stage="evaluate"),
        e.EvaluationFinished(
            path="artifacts/runs/20251122-162200-run-all-1a2b3c4d/evaluation.json",
            prompts=6,
            validation_rows=2,
            base_loss=2.812,
            adapter_loss=1.934,
            base_bits=4.06,
            adapter_bits=2.79,
            base_traces=0.0,
            adapter_traces=0.5,
        ),
        e.StageFinished(stage="evaluate", key="k", outputs={}, summary="loss 2.812 -> 1.934 nats per token"),
        e.RunEnded(exit_code=0),
    ]
