"""One training through mlx-lm's ``train``, with this product's metrics, events and saving. Imports mlx."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import mlx.core as mx
import numpy as np
from mlx.nn.layers.base import Module
from mlx.optimizers.optimizers import Adam
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.trainer import TrainingArgs, evaluate, train

from hegelion_core import events
from hegelion_core.errors import UserError
from hegelion_core.settings import TrainingSettings
from hegelion_core.training import metrics
from hegelion_core.training.adapter import save_arrays
from hegelion_core.training.batching import TokenRow
from hegelion_core.training.lora import Weights, lora_weights, set_lora_weights
from hegelion_core.training.scu import measures

Item = tuple[list[int], int]
"""A row as mlx-lm takes it: token ids, and how many of them are not supervised."""


class Listener(Protocol):
    """Who is told, and who may ask to stop."""

    @property
    def report(self) -> Callable[[events.Event], None]: ...
    def say(self, line: str) -> None: ...
    def stop_requested(self) -> bool: ...


@dataclass(frozen=True)
class Files:
    """Where a training leaves what it knows."""

    weights: Path
    """The LoRA weights as they are now and then; all that mlx-lm can resume from."""
    metrics: Path


@dataclass
class Progress:
    """What changes from step to step, beside the weights."""

    step: int = 0
    tokens: int = 0
    """Supervised tokens since mlx-lm's training began, which counts them anew after a resume."""
    seconds: float = 0.0
    saved_step: int = 0
    unreported: list[metrics.StepMetrics] = field(default_factory=list)


class _StopRequestedError(Exception):
    """Leaves mlx-lm's loop between two steps."""


def items(rows: Sequence[TokenRow]) -> list[Item]:
    """Rows for mlx-lm. As a list, they are sorted by their length; behind mlx-lm's own cache they would not be."""
    return [(row.ids.tolist(), row.start) for row in rows]


class StandardTraining(TrainingCallback):  # type: ignore[misc]  # mlx-lm is not typed
    """Drives mlx-lm's loop and listens to it."""

    def __init__(
        self,
        model: Module,
        rows: list[Item],
        validation: list[Item],
        settings: TrainingSettings,
        identity: str,
        files: Files,
        listener: Listener,
    ) -> None:
        """Take a model whose trainable weights are the LoRA matrices.

        Args:
            identity: of all that a resume must share: settings, data, student.
        """
        self._model, self._rows, self._validation = model, rows, validation
        self._settings, self._identity, self._files, self._listener = settings, identity, files, listener
        self.batch_size = min(settings.batch_size, len(rows))
        counted = sum(len(ids) - start for ids, start in rows)
        self.prior = measures.Prior(settings.prior_sigma, settings.tokens_per_epoch or counted)
        self._reference = {name: tensor + 0 for name, tensor in lora_weights(model).items()}
        self.progress = Progress()

    def resume(self) -> None:
        """Take up the weights that an earlier process left, if they are of this training."""
        found, step = self._read_weights()
        if found is None or step > self._settings.iters:
            metrics.cut_back(self._files.metrics, 0)
            return
        set_lora_weights(self._model, found)
        steps = metrics.cut_back(self._files.metrics, step)
        reported = step - step % self._settings.report_every
        self.progress = Progress(
            step=step,
            seconds=sum(done.seconds for done in steps),
            saved_step=step,
            unreported=[done for done in steps if done.step > reported],
        )
        self._listener.say(
            f"Resumed at step {step} of {self._settings.iters} with the weights alone: mlx-lm keeps neither the "
            "optimizer's state nor the order of the rows, so this is not the run that it would have been."
        )

    def run(self) -> bool:
        """Train up to the last step; whether it was reached (otherwise: asked to stop, the weights are saved).

        Raises:
            UserError: the loss is not a number, or a file cannot be written.
        """
        settings, begun = self._settings, self.progress.step
        if begun == 0:
            self._validate()
        # The order of the rows; after a resume another one, or the first rows would come twice.
        np.random.seed([settings.seed, begun] if begun else settings.seed)
        if begun:
            mx.random.seed(settings.seed + begun)
        nowhere = self._files.weights.with_name("mlx_lm.safetensors")
        arguments = TrainingArgs(
            batch_size=self.batch_size,
            iters=settings.iters - begun,
            steps_per_report=1,
            steps_per_save=settings.iters + 1,  # saving is ours: mlx-lm's write can be cut short
            max_seq_length=settings.max_seq_length,
            adapter_file=str(nowhere),
            grad_checkpoint=settings.grad_checkpoint,
        )
        nowhere.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(os.devnull, "w") as screen, contextlib.redirect_stdout(screen):  # the lines are ours
                train(
                    model=self._model,
                    optimizer=Adam(learning_rate=settings.lr),
                    train_dataset=self._rows,
                    args=arguments,
                    training_callback=self,
                )
        except _StopRequestedError:
            return False
        finally:
            nowhere.unlink(missing_ok=True)
        return True

    def on_train_loss_report(self, train_info: dict[str, float]) -> None:
        """mlx-lm has done a step."""
        settings, progress = self._settings, self.progress
        step, loss = progress.step + 1, train_info["train_loss"]
        tokens = int(train_info["trained_tokens"]) - progress.tokens
        seconds = 1 / train_info["iterations_per_second"]
        self._check(step, loss)
        data_bpt, param_bpt = measures.bits(loss), measures.param_bpt(self._distance(), self.prior)
        s = measures.share(data_bpt, param_bpt)
        progress.step, progress.tokens = step, progress.tokens + tokens
        progress.seconds += seconds
        last = step == settings.iters
        done = metrics.StepMetrics(
            step=step,
            loss=loss,
            data_bpt=data_bpt,
            param_bpt=param_bpt,
            s=s,
            s_hat=s,
            lam=0.0,
            lambda_after=0.0,
            lr=train_info["learning_rate"],
            tokens=tokens,
            seconds=round(seconds, 4),
            validation=self._validate() if last or step % settings.validation_interval == 0 else None,
        )
        metrics.append_step(self._files.metrics, done)
        progress.unreported.append(done)
        if last or step % settings.report_every == 0:
            self._report_steps()
        stop = self._listener.stop_requested() and not last
        if stop or last or step % settings.checkpoint_every == 0:
            self._save()
        if stop:
            raise _StopRequestedError

    def _check(self, step: int, loss: float) -> None:
        if math.isfinite(loss):
            return
        saved = self.progress.saved_step
        kept = f"the weights of step {saved} are kept in {self._files.weights}." if saved else "nothing was saved."
        raise UserError(
            f"Training: the loss is not a number any more at step {step}.",
            f"Lower the learning rate (--lr) and start again; {kept}",
        )

    def _distance(self) -> float:
        """Σ(w - w_ref)² of the LoRA weights."""
        now = lora_weights(self._model)
        return cast(
            float,
            mx.stack([mx.square(now[name] - start).sum() for name, start in self._reference.items()]).sum().item(),
        )

    def _report_steps(self) -> None:
        progress = self.progress
        report = metrics.summarise(progress.unreported, iters=self._settings.iters, peak_memory=mx.get_peak_memory())
        progress.unreported.clear()
        self._listener.say(metrics.step_line(report))
        self._listener.report(report)

    def _validate(self) -> float | None:
        """mlx-lm's mean loss on the validation rows, if there are any."""
        if not self._validation:
            return None
        loss: float = evaluate(
            model=self._model,
            dataset=self._validation,
            # mlx-lm leaves out what does not fill a batch, so the batch is made to fit.
            batch_size=max(size for size in range(1, self.batch_size + 1) if len(self._validation) % size == 0),
            num_batches=-1,
            max_seq_length=self._settings.max_seq_length,
        )
        self._model.train()
        self._listener.say(f"Validation at step {self.progress.step}: Loss={loss:.3f}")
        self._listener.report(events.ValidationReported(step=self.progress.step, loss=loss))
        return loss

    def _save(self) -> None:
        path, step = self._files.weights, self.progress.step
        try:
            save_arrays(path, lora_weights(self._model), {"step": str(step), "identity": self._identity})
        except OSError as error:
            raise UserError(
                f"{path}: the weights of step {step} cannot be written ({error.strerror or error}).",
                "Free some space and give the same command again; training goes on at the weights before.",
            ) from None
        self.progress.saved_step = step
        self._listener.report(events.CheckpointSaved(step=step, path=str(path)))

    def _read_weights(self) -> tuple[Weights | None, int]:
        if not self._files.weights.exists():
            return None, 0
        try:
            loaded: tuple[Weights, dict[str, str]] = mx.load(  # type: ignore[assignment]
                str(self._files.weights), return_metadata=True
            )
            weights, told = loaded
            mx.eval(weights)  # they stay backed by the file, which will be replaced
        except RuntimeError:
            self._listener.say(f"{self._files.weights} is damaged: not used.")
            return None, 0
        if told.get("identity") != self._identity:
            self._listener.say(f"{self._files.weights} is of other settings, data or model: not used.")
            return None, 0
        return weights, int(told["step"])
