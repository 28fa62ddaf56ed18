"""Metrics in TensorBoard, Trackio or Weights & Biases too, through their own libraries.

``metrics.jsonl`` is the truth, and a tracker is a copy of it: at each start of a training it is made anew from the
file, which a resume has cut back to its checkpoint, and then fed from it as steps are reported. So no step is there
twice, and none is missing, whatever ended the process before. A tracker that fails is given up; the training goes on.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from hegelion_core import events
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.settings import TrainingSettings
from hegelion_core.workspace import RunFolder

LIBRARIES = {"tensorboard": "tensorboardX", "trackio": "trackio", "wandb": "wandb"}
PROJECT = "hegelion-console"
Say = Callable[[str], None]
Values = Mapping[str, float]


class Sink(Protocol):
    """One tracker's run, empty when it is opened; or where it is not, it leaves out the steps that it has."""

    where: str
    """Where it can be looked at, for a person."""

    def log(self, step: int, values: Values) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def missing_library(settings: TrainingSettings) -> str:
    """What has to be installed for ``training.track``; empty if nothing."""
    library = LIBRARIES.get(settings.track)
    if library is None or importlib.util.find_spec(library) is not None:
        return ""
    return f"pip install {library}" + (" tensorboard" if settings.track == "tensorboard" else "")


class Tracking:
    """Copies ``metrics.jsonl`` to the tracker that the settings name, if they name one."""

    def __init__(self, run: RunFolder, settings: TrainingSettings, say: Say) -> None:
        """Look for the library; the tracker itself is opened with the first reported step.

        Raises:
            UserError: it is not installed.
        """
        if command := missing_library(settings):
            raise UserError(
                f"--track {settings.track}: its library is not installed.",
                f"Run: {command} (or leave --track out; metrics.jsonl is written in any case).",
                ExitCode.NOT_READY,
            )
        self._run, self._settings, self._say = run, settings, say
        self._sink: Sink | None = None
        self._offset = 0
        """Bytes of ``metrics.jsonl`` that were copied."""
        self._works = settings.track in LIBRARIES

    def after(self, report: Callable[[events.Event], None]) -> Callable[[events.Event], None]:
        """``report``, followed by a copy of what is new with each report of steps."""

        def reported(event: events.Event) -> None:
            report(event)
            if isinstance(event, events.StepReported):
                self.catch_up()

        return reported

    def catch_up(self) -> None:
        """Copy the steps that are new in the file."""
        self._attempt(self._copy)

    def close(self) -> None:
        """Copy the rest and let the tracker finish."""
        self._attempt(self._copy)
        if self._sink is not None:
            self._attempt(self._sink.close)
        self._works = False

    def _attempt(self, action: Callable[[], None]) -> None:
        if not self._works:
            return
        try:
            action()
        except Exception as error:  # whatever a library of others fails with, hours of training are worth more
            self._works = False
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self._say(f"{self._settings.track} failed and gets no more metrics ({reason}); training goes on.")

    def _copy(self) -> None:
        path = self._run.metrics
        if not path.exists():
            return
        if self._sink is None:
            self._sink = _open(self._run, self._settings)
            self._say(f"Metrics go to {self._settings.track} too: {self._sink.where}")
        with path.open("rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0]
        for line in whole.splitlines():
            values = _numbers(line)
            self._sink.log(int(values.pop("step")), values)
        self._offset += len(whole) + 1 if whole else 0
        self._sink.flush()


def _numbers(line: bytes) -> dict[str, float]:
    decoded = msgspec.json.decode(line, type=dict[str, object])
    return {
        name: value for name, value in decoded.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _open(run: RunFolder, settings: TrainingSettings) -> Sink:
    match settings.track:
        case "tensorboard":
            return _TensorBoard(run.path / "tensorboard")
        case "trackio":
            return _Trackio(run.id, settings.model_dump(mode="json"))
        case _:
            return _Wandb(run, settings.model_dump(mode="json"))


class _TensorBoard:
    """An event file in the run's folder."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(str(folder), flush_secs=1)
        self.where = f"tensorboard --logdir {folder.parent.parent}"

    def log(self, step: int, values: Values) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"training/{name}", value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Trackio:
    """A run in Trackio's local database (``TRACKIO_DIR``)."""

    def __init__(self, name: str, config: dict[str, object]) -> None:
        import trackio

        with contextlib.suppress(ValueError):  # there is no such project yet
            for run in trackio.Api().runs(PROJECT):
                if run.name == name:
                    run.delete()
        with _silent():
            self._run = trackio.init(project=PROJECT, name=name, config=config, resume="never", embed=False)
        self.where = f"trackio show --project {PROJECT}"

    def log(self, step: int, values: Values) -> None:
        self._run.log(dict(values), step=step)

    def flush(self) -> None:
        """Its own thread does so."""

    def close(self) -> None:
        with _silent():
            self._run.finish()


class _Wandb:
    """A run of Weights & Biases: on their server if the user is logged in, otherwise in the run's folder."""

    def __init__(self, run: RunFolder, config: dict[str, object]) -> None:
        import wandb

        for left in run.path.glob(f"wandb/offline-run-*-{run.id}"):
            shutil.rmtree(left, ignore_errors=True)

        def init(mode: str | None) -> wandb.Run:
            quiet = wandb.Settings(console="off", silent=True)
            return wandb.init(
                project=PROJECT,
                id=run.id,
                name=run.id,
                dir=str(run.path),
                mode=mode,
                resume="allow",
                config=config,
                settings=quiet,
            )

        if "WANDB_MODE" in os.environ:
            self._run = init(None)
        elif wandb.login(prompt=False, verify=False):
            try:
                self._run = init("online")
            except wandb.errors.CommError:  # no network
                self._run = init("offline")
        else:
            self._run = init("offline")
        folder = Path(self._run.dir).parent
        self.where = f"wandb sync {folder}" if self._run.offline else str(self._run.url)

    def log(self, step: int, values: Values) -> None:
        if step >= self._run.starting_step:  # the server has those before, and keeps them
            self._run.log(dict(values), step=step)

    def flush(self) -> None:
        """Its own process does so."""

    def close(self) -> None:
        self._run.finish()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
