"""The console as a user runs it: real processes, a workspace of its own, nothing of the user's environment."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from hegelion_core import events as e
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.event_log import EventReader
from hegelion_core.teachers import canary
from hegelion_core.teachers.known_programs import KnownPrograms
from hegelion_core.teachers.which_kimi import read_version
from tests.fakes import fake_kimi
from tests.fakes.tiny_model import make_tiny_model

PROGRAM = Path(sys.executable).parent / "hegelion-console"
PATIENCE = 120.0
"""Seconds that a step of a test may take on a busy machine."""
FAST = (
    *("--dataset", "bundled", "--iters", "12", "--batch-size", "2"),
    *("--set", "evaluation.max_new_tokens=8", "--set", "evaluation.answers=2", "--set", "training.report_every=4"),
    *("--set", "training.checkpoint_every=4", "--set", "training.scu_update_freq=2"),
)
"""A whole run with a tiny student in seconds."""


class Console:
    """A workspace and the command line in it."""

    def __init__(self, folder: Path, *, trusted: bool = True) -> None:
        """``trusted``: the fake programs have passed the canary, so that a script's first line is a row's."""
        self.folder = folder
        if trusted:
            known = KnownPrograms(folder / "artifacts" / "teachers.json")
            for version in ("2.1.0", "kimi, version 1.51.0"):
                for step in (False, True):
                    known.learn_proved(canary.name(read_version(folder / "bin" / "kimi", version), step=step))
        self.student = make_tiny_model(folder / "student")
        program = fake_kimi.install(folder / "bin")
        (folder / "home").mkdir()
        # A short one: pytest's own folders are too long for a socket's path.
        self._runtime = tempfile.TemporaryDirectory(prefix="hc")
        self.environment = {
            "PATH": f"{program.parent}:{os.environ.get('PATH', '')}",
            "HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": self._runtime.name,
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "LANG": "C.UTF-8",
            "KIMI_MODEL_NAME": "fake",
            # Variables of this kind reach every child, Kimi too: so each is known by it.
            "KIMI_FAKE_WORKSPACE": str(folder),
            "OPENBLAS_NUM_THREADS": "1",
        }

    def run(
        self, *arguments: str, timeout: float = PATIENCE, file_size: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end; no file of it can grow beyond ``file_size`` bytes."""

        def limit() -> None:
            if file_size is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

        return subprocess.run(
            [str(PROGRAM), *arguments],
            preexec_fn=limit,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command line; its output goes to ``output.txt``."""
        with open(self.folder / "output.txt", "a") as output:
            return subprocess.Popen(
                [str(PROGRAM), *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
            )

    def run_all(self, *arguments: str) -> list[str]:
        """The arguments of a whole run with the tiny student."""
        return ["--run-all", "--student", str(self.student), *FAST, *arguments]

    @property
    def run_folder(self) -> Path:
        (folder,) = self._run_folders()
        return folder

    def _run_folders(self) -> list[Path]:
        """Without what is only there for a moment, to see whether files can be made."""
        return list((self.folder / "artifacts" / "runs").glob("[!.]*"))

    def events(self) -> list[e.AnyEvent]:
        """Every event of the only run; none if it is not there yet."""
        if not self._run_folders():
            return []
        return EventReader(self.run_folder / "events.jsonl").read()

    def wait_for(self, what: Callable[[list[e.AnyEvent]], bool]) -> None:
        """Wait until the run's events satisfy ``what``."""
        deadline = time.monotonic() + PATIENCE
        while not what(self.events()):
            assert time.monotonic() < deadline, (self.folder / "output.txt").read_text()
            time.sleep(0.02)

    @property
    def samples(self) -> Path:
        return self.folder / "artifacts" / "data" / "hegelion_kimi_training_data.jsonl"

    def prompts_done(self) -> list[str]:
        """The prompt id of each line of the sample file."""
        return [prompt_id(json.loads(line)["instruction"]) for line in self.samples.read_text().splitlines()]

    def processes(self) -> list[psutil.Process]:
        """Processes that work in this workspace, however they are called."""
        mark = str(self.folder)
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("KIMI_FAKE_WORKSPACE") == mark:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def wait_until_quiet(self) -> None:
        """Wait until nothing of this workspace runs any more."""
        deadline = time.monotonic() + PATIENCE
        while left := self.processes():
            assert time.monotonic() < deadline, left
            time.sleep(0.05)


def count(events: Sequence[e.AnyEvent], kind: type[e.Event]) -> int:
    """How many events of a class there are."""
    return sum(isinstance(event, kind) for event in events)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL, and the end of it."""
    process.send_signal(signal.SIGKILL)
    process.wait()
