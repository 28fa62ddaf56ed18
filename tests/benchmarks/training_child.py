"""One side of a comparison of trainers, in a process of its own: ``python -m tests.benchmarks.training_child JSON``.

Both sides load the same model in float32 with the same BLAS, adapt the same linears, take the same rows and optimizer.
Ours is what the training loop does between two steps; theirs is ``mlx_lm.tuner.trainer.train`` with rows as
``mlx_lm.lora --mask-prompt`` makes them (token ids and the length of the prompt).
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hegelion_core.models.blas import prepare_mlx

if TYPE_CHECKING:
    from mlx.nn.layers.base import Module

    from hegelion_core.training.batching import TokenRow
    from hegelion_core.training.lora import LoraShape
    from hegelion_core.training.step import Stepper
    from hegelion_core.training.trunk import Feeder

RANK, LR, SIGMA, LAMBDA = 8, 1e-4, 0.1, 1.0


@dataclass(frozen=True)
class Task:
    """What a side is to do."""

    side: str
    """``ours`` or ``theirs``; ``scu``: ours with SCU against ours without; ``growth``: ours, row by row."""
    models: str
    """Folder of the bundled model."""
    rows: str
    """A training file, or lengths in tokens, separated by commas."""
    steps: int
    batch_size: int = 4
    micro_batch_size: int | None = None
    num_layers: int = 8
    """-1: all."""
    compiled: bool = False
    """Theirs: with ``mx.compile``, which its users have on."""
    grad_checkpoint: bool = False


@dataclass(frozen=True)
class Figures:
    """What it took."""

    tokens: int
    """Supervised tokens, as the side counts them: theirs counts a pad token of each padded row as well."""
    seconds: float
    """Of the steps alone."""
    cpu: float
    """Seconds of processor time, all threads."""
    peak: int
    """Bytes of arrays at the most during the steps, the model's included."""
    resident: int
    """Bytes; the process at its largest, loading included."""
    padding: float
    """Share of the positions that went through the model."""
    loss: float
    """Nats per token over the steps."""


def main(task: Task) -> dict[str, object]:
    """Load, adapt, train; what ``Figures`` holds, or the ratios of pairs."""
    prepare_mlx()
    import mlx.core as mx

    from hegelion_core.models import loading
    from hegelion_core.settings import TrainingSettings
    from hegelion_core.training.lora import add_lora

    if task.compiled:
        mx.enable_compile()
    student = loading.load(loading.locate("bundled", Path(task.models)))
    rows = token_rows(task, student.tokenizer)
    settings = TrainingSettings(num_layers=task.num_layers, lora_rank=RANK, lora_alpha=2.0 * RANK)
    shape = add_lora(student.model, settings)
    mx.reset_peak_memory()
    if task.side == "scu":
        return {"ratios": scu(task, student.model, rows, shape)}
    if task.side == "growth":
        return {"seconds": growth(task, student.model, rows, shape)}
    run = ours if task.side == "ours" else theirs
    tokens, seconds, cpu, padding, loss = run(task, student.model, rows, shape)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return asdict(Figures(tokens, seconds, cpu, mx.get_peak_memory(), resident, padding, loss))


def token_rows(task: Task, tokenizer: object) -> list[TokenRow]:
    """A training file's rows, or made-up ones of given lengths whose first 30 % are the prompt."""
    import numpy as np

    from hegelion_core.training.batching import TokenRow, encode_rows, encoder, read_rows

    if task.rows.endswith(".jsonl"):
        return list(encode_rows(read_rows(Path(task.rows)), encoder(tokenizer), 4096).rows)
    generator = np.random.default_rng(0)
    lengths = [int(length) for length in task.rows.split(",")]
    return [TokenRow(generator.integers(0, 40_000, n).astype(np.int32), max(1, round(0.3 * n))) for n in lengths]


Run = tuple[int, float, float, float, float]


def prepared(task: Task, model: Module, rows: list[TokenRow], shape: LoraShape) -> tuple[Stepper, Feeder]:
    """What the training loop steps with."""
    from hegelion_core.training.loss import LossFunction
    from hegelion_core.training.plan import BatchPlan
    from hegelion_core.training.step import Stepper
    from hegelion_core.training.trunk import Feeder

    model.eval()
    frozen = len(model.layers) - shape.num_layers
    loss = LossFunction(model, frozen_layers=frozen, packed=True, grad_checkpoint=task.grad_checkpoint)
    model.train()
    plan = BatchPlan(rows, task.batch_size, 0, task.micro_batch_size, packed=loss.packed)
    return Stepper(model, loss, max_grad_norm=1.0), Feeder(plan, loss)


def ours(task: Task, model: Module, rows: list[TokenRow], shape: LoraShape) -> Run:
    """Steps as the training loop takes them, SCU on."""
    from hegelion_core.training.plan import tokens_of
    from hegelion_core.training.scu.decoupled import DecoupledLaw
    from hegelion_core.training.scu.measures import Prior

    stepper, feeder = prepared(task, model, rows, shape)
    law = DecoupledLaw(Prior(SIGMA, feeder.plan.tokens_per_epoch), 0.01, 0.8, 0.15, LAMBDA)
    pull = law.forces(law.initial_state(), LR).pull
    tokens, real, computed, losses = 0, 0, 0, 0.0
    cpu, begun = time.process_time(), time.perf_counter()
    for step in range(1, task.steps + 1):
        batches, arrays = feeder.step(step)
        result = stepper.step(arrays, lr=LR, pull=pull)
        tokens += (count := tokens_of(batches))
        losses += result.loss * count
        real += sum(len(rows[i].ids) - 1 for batch in batches for i in batch.rows)
        computed += sum(batch.inputs.size for batch in batches)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return tokens, seconds, cpu, 1 - real / computed, losses / tokens


def scu(task: Task, model: Module, rows: list[TokenRow], shape: LoraShape) -> list[float]:
    """Processor time of a step with SCU over one of the same rows with λ = 0, taking turns at being first.

    In a step's gradient both do the same, so its time is the mean of the two: what it varies by says nothing of SCU.
    """
    from hegelion_core.training.plan import tokens_of
    from hegelion_core.training.scu import measures
    from hegelion_core.training.scu.decoupled import DecoupledLaw

    stepper, feeder = prepared(task, model, rows, shape)
    prior = measures.Prior(SIGMA, feeder.plan.tokens_per_epoch)
    law = DecoupledLaw(prior, 0.01, 0.8, 0.15, LAMBDA)
    state = law.initial_state()

    def timed(step: int, *, controlled: bool) -> tuple[float, float]:
        nonlocal state
        batches, arrays = feeder.step(step)
        begun = time.process_time()
        gradient = stepper.gradient(arrays)
        applied = time.process_time()
        result = stepper.apply(gradient, lr=LR, pull=law.forces(state, LR).pull if controlled else 0.0)
        bits, cost = measures.bits(result.loss), measures.param_bpt(result.sum_sq, prior)
        if controlled:
            state = law.update(law.observe(state, measures.Measured(bits, cost, tokens_of(batches)), LR))
        return applied - begun, time.process_time() - applied

    timed(1, controlled=True)
    ratios: list[float] = []
    for step in range(2, task.steps + 2):
        first = step % 2 == 0
        times = {controlled: timed(step, controlled=controlled) for controlled in (first, not first)}
        gradient = statistics.mean(found for found, _ in times.values())
        ratios.append((gradient + times[True][1]) / (gradient + times[False][1]))
    return ratios


def growth(task: Task, model: Module, rows: list[TokenRow], shape: LoraShape) -> list[float]:
    """Processor time of the last step on each row alone; the first steps are not counted, the trunk's among them."""
    found: list[float] = []
    for row in rows:
        stepper, feeder = prepared(task, model, [row], shape)
        for step in range(1, task.steps + 1):
            begun = time.process_time()
            stepper.step(feeder.step(step)[1], lr=LR, pull=0.0)
        found.append(time.process_time() - begun)
    return found


class Rows:
    """Rows as mlx-lm's dataset classes hold them: a dict each, processed when asked for."""

    def __init__(self, rows: list[TokenRow]) -> None:
        self._rows = [{"prompt": row.ids[: row.start].tolist(), "completion": row.ids.tolist()} for row in rows]

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def process(self, row: dict[str, list[int]]) -> tuple[list[int], int]:
        """Token ids and the length of the prompt."""
        return row["completion"], len(row["prompt"])


def theirs(task: Task, model: Module, rows: list[TokenRow], shape: LoraShape) -> Run:
    """mlx-lm's trainer; its rate is its own, from its report at the last step."""
    import mlx.core as mx
    import numpy as np
    from mlx.optimizers.optimizers import AdamW
    from mlx_lm.tuner.callbacks import TrainingCallback
    from mlx_lm.tuner.datasets import CacheDataset
    from mlx_lm.tuner.trainer import TrainingArgs, iterate_batches, train

    reports: list[dict[str, float]] = []
    seen: list[tuple[int, int]] = []

    class Keep(TrainingCallback):  # type: ignore[misc]
        def on_train_loss_report(self, train_info: dict[str, float]) -> None:
            reports.append(train_info)

    def counted(**options: object) -> object:
        for batch, lengths in iterate_batches(**options):
            real = sum(int(length) - 1 for _, length in lengths.tolist())
            seen.append((real, batch.shape[0] * (batch.shape[1] - 1)))
            yield batch, lengths

    np.random.seed(0)
    mx.random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArgs(
            batch_size=task.batch_size,
            iters=task.steps,
            steps_per_report=task.steps,
            max_seq_length=4096,
            adapter_file=str(Path(folder) / "adapters.safetensors"),
            grad_checkpoint=task.grad_checkpoint,
        )
        cpu = time.process_time()
        train(
            model,
            AdamW(learning_rate=LR, weight_decay=0.0),
            CacheDataset(Rows(rows)),
            args=arguments,
            iterate_batches=counted,
            training_callback=Keep(),
        )
        cpu = time.process_time() - cpu
    (report,) = reports
    tokens = int(report["trained_tokens"])
    used = seen[: task.steps]
    padding = 1 - sum(real for real, _ in used) / sum(computed for _, computed in used)
    return tokens, tokens / report["tokens_per_second"], cpu, padding, report["train_loss"]


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(Task(**json.loads(sys.argv[1])))) + "\n")
