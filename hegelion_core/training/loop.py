"""The training loop: steps, the controller, metrics, validation, checkpoints; resumes where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx

from hegelion_core import events
from hegelion_core.errors import UserError
from hegelion_core.settings import TrainingSettings
from hegelion_core.training import checkpoint as checkpoints
from hegelion_core.training import controller, metrics
from hegelion_core.training.loss import LossFunction, evaluate
from hegelion_core.training.plan import tokens_of
from hegelion_core.training.step import Stepper, StepResult, learning_rate
from hegelion_core.training.trunk import Feeder

MIN_HALF_LIFE = 4
"""Steps: the difference between rows must average out, even where λ is updated at every step."""


@dataclass(frozen=True)
class Files:
    """Where a training leaves what it knows."""

    checkpoints: Path
    metrics: Path


@dataclass(frozen=True)
class Surroundings:
    """Who listens, and what a checkpoint is valid for."""

    report: Callable[[events.Event], None]
    say: Callable[[str], None]
    stop_requested: Callable[[], bool]
    identity: checkpoints.Identity
    environment: dict[str, str]


@dataclass
class Progress:
    """All that changes from step to step, beside the weights."""

    step: int
    controller: controller.ControllerState
    best_step: int = 0
    best_validation: float | None = None
    seconds: float = 0.0
    unreported: list[metrics.StepMetrics] = field(default_factory=list)
    saved_step: int = 0


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
    ) -> None:
        self._stepper, self._loss, self._rows, self._validation = stepper, loss, rows, validation
        self._settings, self._files, self._around = settings, files, around
        self.tokens_per_epoch = settings.tokens_per_epoch or rows.plan.tokens_per_epoch
        self._controller = controller.ControllerSettings(
            target_s=settings.target_s,
            kp=settings.kp,
            ki=settings.ki,
            lambda_init=settings.lambda_init,
            half_life=max(settings.scu_update_freq, MIN_HALF_LIFE),
        )
        self.progress = Progress(0, controller.initial_state(self._controller))

    def resume(self) -> None:
        """Go back to the newest checkpoint of this training, if there is one."""
        files, around = self._files, self._around
        found = checkpoints.restore(
            files.checkpoints, around.identity, around.environment, self._settings.iters, around.say
        )
        step = found.state.step if found else 0
        steps = metrics.cut_back(files.metrics, step)
        if found is None:
            return
        self._stepper.restore(found.weights, found.reference, found.optimizer)
        checkpoints.restore_random_key(found.state.random_key)
        reported = step - step % self._settings.report_every
        self.progress = Progress(
            step=step,
            controller=found.state.controller,
            best_step=found.state.best_step,
            best_validation=found.state.best_validation,
            seconds=found.state.seconds,
            unreported=[done for done in steps if done.step > reported],
            saved_step=step,
        )
        around.say(f"Resumed at step {step} of {self._settings.iters}.")

    def run(self) -> bool:
        """Train up to the last step; whether it was reached (otherwise: asked to stop, a checkpoint is saved).

        Raises:
            UserError: the loss is not a number (the last checkpoint is kept), or a file cannot be written.
        """
        if self.progress.step == 0:
            self._validate()
        while self.progress.step < self._settings.iters:
            if self._around.stop_requested():
                if self.progress.step > self.progress.saved_step:
                    self._save()
                return False
            self._advance()
        return True

    def _advance(self) -> None:
        settings, progress = self._settings, self.progress
        step, began = progress.step + 1, time.monotonic()
        (batches, arrays), lr = self._rows.step(step), learning_rate(step, settings)
        beta = controller.pull_strength(lr, settings.prior_sigma, self.tokens_per_epoch)
        lam = progress.controller.lam
        result = self._stepper.step(arrays, lr=lr, pull=beta * lam)
        self._check(step, result)
        data_bpt = controller.bits(result.loss)
        param_bpt = controller.param_bpt(result.sum_sq, settings.prior_sigma, self.tokens_per_epoch)
        s = controller.share(data_bpt, param_bpt)
        state = controller.observe(self._controller, progress.controller, s, beta)
        if step % settings.scu_update_freq == 0:
            state = controller.update(self._controller, state)
        seconds = time.monotonic() - began
        progress.step, progress.controller = step, state
        progress.seconds += seconds
        save = step % settings.checkpoint_every == 0 or step == settings.iters
        done = metrics.StepMetrics(
            step=step,
            loss=result.loss,
            data_bpt=data_bpt,
            param_bpt=param_bpt,
            s=s,
            s_hat=s if state.s_hat is None else state.s_hat,
            lam=lam,
            lambda_after=state.lam,
            lr=lr,
            grad_norm=result.grad_norm,
            tokens=tokens_of(batches),
            seconds=round(seconds, 4),
            validation=self._validate() if save else None,
        )
        metrics.append_step(self._files.metrics, done)
        progress.unreported.append(done)
        if step % settings.report_every == 0 or step == settings.iters:
            self._report_steps()
        if save:
            self._save()

    def _check(self, step: int, result: StepResult) -> None:
        if all(map(math.isfinite, (result.loss, result.grad_norm, result.sum_sq))):
            return
        saved = self.progress.saved_step
        raise UserError(
            f"Training: the loss is not a number any more at step {step}.",
            "Lower the learning rate (--lr) and start again; "
            + (
                f"the checkpoint of step {saved} is kept in {self._files.checkpoints}."
                if saved
                else "nothing was saved."
            ),
        )

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
        loss = evaluate(self._stepper.model, self._loss, self._validation.every_row_once())
        if progress.best_validation is None or loss < progress.best_validation:
            progress.best_step, progress.best_validation = progress.step, loss
        self._around.say(f"Validation at step {progress.step}: Loss={loss:.3f}")
        self._around.report(events.ValidationReported(step=progress.step, loss=loss))
        return loss

    def _save(self) -> None:
        progress, stepper = self.progress, self._stepper
        path = checkpoints.save(
            self._files.checkpoints,
            checkpoints.Checkpoint(
                checkpoints.State(
                    step=progress.step,
                    controller=progress.controller,
                    random_key=checkpoints.random_key(),
                    best_step=progress.best_step,
                    best_validation=progress.best_validation,
                    seconds=progress.seconds,
                ),
                stepper.weights(),
                stepper.reference,
                stepper.optimizer_state(),
            ),
            self._around.identity,
            self._around.environment,
        )
        progress.saved_step = progress.step
        self._around.report(events.CheckpointSaved(step=progress.step, path=str(path)))
