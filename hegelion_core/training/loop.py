"""The training loop: steps, the controller, metrics, validation, checkpoints; resumes where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import mlx.core as mx
import msgspec

from hegelion_core import events
from hegelion_core.settings import TrainingSettings
from hegelion_core.training import checkpoint as checkpoints
from hegelion_core.training import metrics
from hegelion_core.training.distributed.group import Group, Key, Solo, key_of
from hegelion_core.training.lora import Weights, set_lora_weights
from hegelion_core.training.loss import Arrays, LossFunction, evaluate
from hegelion_core.training.plan import Batch, tokens_of
from hegelion_core.training.progress import Progress
from hegelion_core.training.scu import measures
from hegelion_core.training.scu.choice import choose_law
from hegelion_core.training.scu.reachability import Reach, Start, reach
from hegelion_core.training.scu.stopping import after_update, after_validation, reason_to_stop
from hegelion_core.training.step import Stepper, learning_rate
from hegelion_core.training.trunk import Feeder


@dataclass(frozen=True)
class Files:
    """Where a training leaves what it knows."""

    checkpoints: Path
    metrics: Path
    save_request: Path
    """Whoever makes this file gets a checkpoint; it is removed when that is saved."""


@dataclass(frozen=True)
class Surroundings:
    """Who listens, and what a checkpoint is valid for."""

    report: Callable[[events.Event], None]
    say: Callable[[str], None]
    stop_requested: Callable[[], bool]
    watch_memory: Callable[[], None]
    """Looks at memory after each step; raises ``MemoryError`` beyond a limit."""
    identity: checkpoints.Identity
    environment: dict[str, str]
    group: Group = field(default_factory=Solo)
    """The processes that share the steps; rank 0 alone writes files."""


class Samples(Protocol):
    """Sample answers of the model as it is now."""

    def cut_back(self, step: int) -> None:
        """Forget those that were written after ``step``."""
        ...

    def write(self, step: int) -> None:
        """Write some, unless those of this step are there."""
        ...


class NotFinite(Exception):
    """The loss, its gradient or the weights are not numbers any more."""

    def __init__(self, step: int, rows: Sequence[int]) -> None:
        """``rows`` are the token rows to blame: those whose own loss is no number, or else all that the step saw."""
        super().__init__(f"not finite at step {step}")
        self.step, self.rows = step, rows


class _StopAsked(Exception):
    """A validation was left because of a request to stop."""


class Training:
    """A training of one student on one set of rows."""

    def __init__(
        self,
        stepper: Stepper,
        loss: LossFunction,
        rows: Feeder,
        validation: Feeder | None,
        settings: TrainingSettings,
        files: Files,
        around: Surroundings,
        samples: Samples | None = None,
    ) -> None:
        self._stepper, self._loss, self._rows, self._validation = stepper, loss, rows, validation
        self._settings, self._files, self._around, self._samples = settings, files, around, samples
        self._writes = around.group.rank == 0
        self._save_asked = around.group.agree(lambda: self._writes and files.save_request.exists())
        self._count_tokens(settings.tokens_per_epoch or rows.plan.tokens_per_epoch)
        self.progress = Progress(0, self.law.initial_state())

    def _count_tokens(self, per_epoch: int) -> None:
        self.prior = measures.Prior(self._settings.prior_sigma, per_epoch)
        self.law = choose_law(self._settings, self.prior)

    def resume(self) -> None:
        """Go back to the newest checkpoint of this training, if there is one."""
        found = self._restore() if self._writes else None
        if self._around.group.size > 1:
            self._follow_first(found)

    def _restore(self) -> checkpoints.State | None:
        files, around = self._files, self._around
        found = checkpoints.restore(
            files.checkpoints, around.identity, around.environment, self._settings.iters, around.say
        )
        step = found.state.step if found else 0
        settled = step if found is None or found.state.pending is None else step - 1
        steps = metrics.cut_back(files.metrics, settled)
        if self._samples is not None:
            self._samples.cut_back(settled)
        if found is None:
            return None
        self._stepper.restore(found.weights, found.reference, found.optimizer)
        checkpoints.restore_random_key(found.state.random_key)
        self._count_tokens(found.state.tokens_per_epoch)
        reported = settled - settled % self._settings.report_every
        self.progress = _progress_at(found.state)
        self.progress.best = found.best
        self.progress.unreported = [done for done in steps if done.step > reported]
        around.say(
            f"Resumed at step {step} of {self._settings.iters}. It has seen {found.state.tokens:,} supervised tokens."
        )
        return found.state

    def _follow_first(self, restored: checkpoints.State | None) -> None:
        """Bring every process of the group to where the first is, each with a random state of its own."""
        group, stepper = self._around.group, self._stepper
        parts = (stepper.weights(), stepper.reference, stepper.optimizer_state())
        stepper.restore(*(group.share(part) for part in parts))
        first = restored or self._state((checkpoints.random_key(),))
        state = msgspec.json.decode(group.share_bytes(msgspec.json.encode(first)), type=checkpoints.State)
        if not self._writes:
            self._count_tokens(state.tokens_per_epoch)
            self.progress = _progress_at(state)
        keys = (state.random_key, *state.other_keys)
        checkpoints.restore_random_key(key_of(group.rank, keys, group.size))

    def run(self) -> bool:
        """Train to the end; whether it was reached (otherwise: asked to stop, a checkpoint is saved).

        Raises:
            UserError: a file cannot be written.
            NotFinite: the loss is not a number any more; the last checkpoint is kept.
            MemoryError: memory is over its limit.
        """
        try:
            if self.progress.step == 0 and self.progress.standing.start_loss is None:
                self._validate()
            self._settle()
            while not self.finished:
                if self._around.stop_requested():
                    self._save()
                    return False
                self._advance()
                self._settle()
                if not self.finished:
                    self._watch_memory()
        except _StopAsked:
            self._save()
            return False
        return True

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.progress.step >= self._settings.iters or self.out_of_patience or self.stops_by_itself is not None

    @property
    def out_of_patience(self) -> bool:
        """Whether validation has not improved for so long that training stops."""
        return 0 < self._settings.patience <= self.progress.standing.unimproved

    @property
    def stops_by_itself(self) -> str | None:
        """Why there is no need to go on, if automatic stopping is wanted and its conditions hold."""
        return reason_to_stop(self.progress.stopping) if self._settings.auto_stop else None

    def reach(self) -> tuple[Start, Reach]:
        """What S this training can reach, told from its first batch; before the first step."""
        settings, stepper = self._settings, self._stepper
        weights = stepper.weights()
        distances = [mx.square(weights[name] - start).sum() for name, start in stepper.reference.items()]
        batches, arrays = self._rows.step(1)
        mine = zip(self._rows.mine(batches), arrays, strict=True)
        start = Start(
            prior=self.prior,
            target_s=settings.target_s,
            trainable=sum(tensor.size for tensor in weights.values()),
            initial_sum_sq=cast(float, mx.stack(distances).sum().item()),
            data_bpt=measures.bits(evaluate(stepper.model, self._loss, mine, self._around.group)),
        )
        rates = (learning_rate(step, settings) for step in range(1, settings.iters + 1))
        return start, reach(start, rates)

    def chosen(self) -> tuple[int, Weights]:
        """The step whose weights become the adapter, and these weights."""
        progress = self.progress
        if self._settings.keep == "best" and progress.best is not None:
            return progress.standing.best_step, progress.best
        return progress.step, self._stepper.weights()

    def _advance(self) -> None:
        settings, progress = self._settings, self.progress
        step, began = progress.step + 1, time.monotonic()
        (batches, arrays), lr = self._rows.step(step), learning_rate(step, settings)
        lam, forces = progress.controller.lam, self.law.forces(progress.controller, lr)
        before = self._stepper.weights()
        result = self._stepper.step(arrays, lr=lr, pull=forces.pull, penalty=forces.penalty)
        if not all(map(math.isfinite, (result.loss, result.grad_norm, result.sum_sq))):
            set_lora_weights(self._stepper.model, before)
            raise NotFinite(step, self._to_blame(batches))
        tokens = tokens_of(batches)
        measured = measures.Measured(measures.bits(result.loss), measures.param_bpt(result.sum_sq, self.prior), tokens)
        state = self.law.observe(progress.controller, measured, lr)
        if step % settings.scu_update_freq == 0:
            state = self.law.update(state)
            progress.stopping = after_update(progress.stopping, state, settings.target_s, bounds=self.law.lambda_bounds)
        seconds = time.monotonic() - began
        progress.step, progress.controller, progress.unsaved = step, state, True
        progress.tokens += tokens
        progress.seconds += seconds
        progress.pending = metrics.StepMetrics(
            step=step,
            loss=result.loss,
            data_bpt=measured.data_bpt,
            param_bpt=measured.param_bpt,
            s=measured.s,
            s_hat=measured.s if state.s_hat is None else state.s_hat,
            lam=lam,
            lambda_after=state.lam,
            lr=lr,
            grad_norm=result.grad_norm,
            tokens=tokens,
            seconds=round(seconds, 4),
        )

    def _to_blame(self, batches: Sequence[Batch]) -> list[int]:
        rows = [int(row) for batch in batches for row in batch.rows]
        blamed = [row for row in rows if not math.isfinite(cast(float, self._loss(self._rows.alone(row)).item()))]
        return blamed or rows

    def _settle(self) -> None:
        """All that is due after the last step, in this order: validation, its line, reports, samples, a checkpoint.

        A request to stop leaves a validation; the step stays pending then, also in the checkpoint.
        """
        progress, step = self.progress, self.progress.step
        if progress.pending is not None:
            due = step % self._settings.validation_interval == 0 or step == self._settings.iters
            done = msgspec.structs.replace(progress.pending, validation=self._validate() if due else None)
            if self._writes:
                metrics.append_step(self._files.metrics, done)
            progress.unreported.append(done)
            progress.pending, progress.unsaved = None, True
            if step % self._settings.report_every == 0 or self.finished:
                self._report_steps()
        if self._samples is not None and step > 0 and self._is_due(self._settings.sample_every):
            self._samples.write(step)
        if step % self._settings.checkpoint_every == 0 or self.finished:
            self._save()
        if step > 0 and self._save_asked():
            self._save()
            self._around.say(f"A checkpoint was asked for: that of step {step} is there.")
            if self._writes:
                self._files.save_request.unlink(missing_ok=True)

    def _watch_memory(self) -> None:
        try:
            self._around.watch_memory()
        except MemoryError:
            if self._around.group.size == 1:  # of a group, the others do not know, and all take part in a checkpoint
                self._save()  # nothing is broken yet, so no step needs to be lost
            raise

    def _is_due(self, interval: int) -> bool:
        return interval > 0 and self.progress.step % interval == 0

    def _report_steps(self) -> None:
        progress = self.progress
        report = metrics.summarise(progress.unreported, iters=self._settings.iters, peak_memory=mx.get_peak_memory())
        progress.unreported.clear()
        self._around.say(metrics.step_line(report))
        self._around.report(report)

    def _validate(self) -> float | None:
        """Mean loss on the validation rows, if there are any."""
        if self._validation is None:
            return None
        progress = self.progress
        batches = self._until_stopped(self._validation.every_row_once())
        loss = evaluate(self._stepper.model, self._loss, batches, self._around.group)
        progress.standing = progress.standing.after(progress.step, loss)
        if progress.step > 0:
            progress.stopping = after_validation(progress.stopping, loss)
        if progress.standing.best_step == progress.step > 0 and self._settings.keep == "best":
            # Arrays of their own: a compiled step replaces the model's in place while it is traced.
            progress.best = {name: tensor + 0 for name, tensor in self._stepper.weights().items()}
            mx.eval(progress.best)
        self._around.say(f"Validation at step {progress.step}: Loss={loss:.3f}")
        self._around.report(events.ValidationReported(step=progress.step, loss=loss))
        return loss

    def _until_stopped(self, batches: Iterable[tuple[Batch, Arrays]]) -> Iterator[tuple[Batch, Arrays]]:
        for batch in batches:
            if self._around.stop_requested():
                raise _StopAsked
            yield batch

    def _save(self) -> None:
        """Write a checkpoint, unless the last one holds all."""
        progress, stepper = self.progress, self._stepper
        if not progress.unsaved:
            return
        keys = self._around.group.gather(checkpoints.random_key())
        if self._writes:
            weights, optimizer = stepper.weights(), stepper.optimizer_state()
            path = checkpoints.save(
                self._files.checkpoints,
                checkpoints.Checkpoint(self._state(keys), weights, stepper.reference, optimizer, progress.best),
                self._around.identity,
                self._around.environment,
            )
            self._around.report(events.CheckpointSaved(step=progress.step, path=str(path)))
        progress.saved_step, progress.unsaved = progress.step, False

    def _state(self, keys: tuple[Key, ...]) -> checkpoints.State:
        progress = self.progress
        return checkpoints.State(
            step=progress.step,
            controller=progress.controller,
            random_key=keys[0],
            other_keys=keys[1:],
            tokens_per_epoch=self.prior.tokens_per_epoch,
            standing=progress.standing,
            stopping=progress.stopping,
            tokens=progress.tokens,
            seconds=progress.seconds,
            pending=progress.pending,
        )


def _progress_at(state: checkpoints.State) -> Progress:
    return Progress(
        step=state.step,
        controller=state.controller,
        standing=state.standing,
        stopping=state.stopping,
        tokens=state.tokens,
        seconds=state.seconds,
        pending=state.pending,
        saved_step=state.step,
    )
