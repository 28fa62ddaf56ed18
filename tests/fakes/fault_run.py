"""A generation to its end through every failure, killed many times on the way; the harness of the proof that nothing
is lost.

``FaultRun(plan).run()`` starts ``hegelion-console generate`` in a workspace of its own in front of a ``FaultServer``,
ends it at moments that are chosen by events (SIGKILL to the core, sometimes to its guard too, or a failure that ends a
run by design), and gives the same command again, until it ends well. ``fault_audit.audit`` then says what did not hold.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from hegelion_core import events as e
from hegelion_core import guard
from hegelion_core.errors import ExitCode
from hegelion_core.event_log import EventReader
from tests import install_kimi
from tests.fakes import http_kimi, model_server
from tests.fakes.console import Console
from tests.fakes.fault_server import GOOD, MARK, SHARES, TOOL, Asked, FaultServer, quota
from tests.fakes.model_server import Action, Failure, Hang

Program = Literal["kimi-code", "fake"]
Moment = Literal[
    "opened",  # the core has opened the run
    "asking",  # the first request of this start is at the server
    "in_flight",  # several calls run, and one of them is at the server
    "hanging",  # a call hangs that would outlive the core for long
    "answered",  # the server has sent a whole answer
    "unread",  # a whole answer lies in its call's folder, and the core, stopped before, has not read it
    "accepted",  # a sample is in the file; the log does not tell of it yet, and its call is not tidied away
    "complete",  # the same, with the last sample
    "rejected",  # a SampleRejected is in the log
]
MOMENTS: tuple[Moment, ...] = (
    "unread",
    "hanging",
    "accepted",
    "in_flight",
    "asking",
    "answered",
    "rejected",
    "opened",
)
"""In the order of their first turn."""
KEY = "swordfish-4711"
END = "session.resume_hint"
PATIENCE = 240.0
"""Seconds that a step may take on a busy machine."""


@dataclass(frozen=True)
class Kill:
    """SIGKILL at a moment, once ``after`` samples are accepted."""

    after: int
    moment: Moment
    guard: bool = False
    """Whether its guard is killed with the core, so that orphans are left to the next start."""
    at_once: bool = True
    """Whether the command is given again at once, or when nothing of the killed one runs any more."""


@dataclass(frozen=True)
class Ending:
    """A failure that ends the run with ``code``, or that is waited for where there is none."""

    after: int
    kind: str
    action: Action
    code: ExitCode | None
    quota_wait: float = 60.0


Step = Kill | Ending
ENDINGS = (
    Ending(0, "quota", quota("It resets in 3 hours."), ExitCode.COME_BACK_LATER, quota_wait=0),
    Ending(0, "quota_waited", quota("It resets in 5 seconds."), None),
    Ending(0, "terminated", Failure(403, model_server.TERMINATED), ExitCode.FAILED),
    Ending(0, "not_logged_in", Failure(401, model_server.NOT_LOGGED_IN), ExitCode.NOT_READY),
    Ending(0, "balance", Failure(429, model_server.NO_BALANCE), ExitCode.FAILED),
)
"""Each failure that ends a run, and a quota that is waited for."""


@dataclass(frozen=True)
class Plan:
    """What is run."""

    folder: Path
    samples: int = 12
    kills: int = 3
    seed: int = 0
    instances: int = 3
    program: Program = "kimi-code"
    seconds: tuple[float, float] = (0.2, 1.0)
    """How long an answer takes, least and most."""
    kinds: tuple[str, ...] = (*SHARES, TOOL)
    """The classes of failures that requests meet."""
    endings: tuple[Ending, ...] = ENDINGS
    say: Callable[[str], None] = lambda text: None


@dataclass
class Stop:
    """How a start of the command ended, and what lay there before the next one."""

    step: Step | None
    code: int
    at: float
    """Wall clock."""
    written: frozenset[str] = frozenset()
    """Marks of the answers in the folders of calls that were not handled yet."""


@dataclass
class Findings:
    """What the harness saw on the way; ``faults`` are what must not be."""

    faults: list[str] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
    """The marks that the cores' children bore."""
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """How many kills came in time."""
        return sum(isinstance(stop.step, Kill) and stop.code == -signal.SIGKILL for stop in self.stops)


class FaultRun:
    """One run, from its prompts to its end."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.console = Console(plan.folder)
        self.findings = Findings()
        self.server = FaultServer(
            requests=plan.samples + plan.samples // 4 + 6,
            seed=plan.seed,
            seconds=plan.seconds,
            kinds=plan.kinds,
        )
        self.temporary = plan.folder / "tmp"
        self._log = EventReader(Path())
        self._events: list[e.AnyEvent] = []
        self._old_marks: set[str] = set()
        self._began = 0.0
        self._lines = (0, 0)

    @property
    def run_folder(self) -> Path | None:
        """The run's, once it is there."""
        return next((self.plan.folder / "artifacts" / "runs").glob("*"), None)

    def run(self) -> Findings:
        """All steps, then to the end."""
        began = time.monotonic()
        self.temporary.mkdir()
        write_prompts(self.plan.folder / "prompts.txt", self.plan.samples)
        with self.server:
            prepare_environment(self.console, self.plan.program, self.server.url, self.temporary)
            for number, step in enumerate(steps(self.plan)):
                self._tell(f"step {number}: {_described(step)}")
                self._kill(step) if isinstance(step, Kill) else self._end(step)
            self._finish()
        self.findings.seconds = time.monotonic() - began
        return self.findings

    def accepted(self) -> int:
        """Lines of the sample file."""
        size = self.console.samples.stat().st_size if self.console.samples.exists() else 0
        if size != self._lines[0]:
            self._lines = size, self.console.samples.read_bytes().count(b"\n")
        return self._lines[1]

    # The steps

    def _kill(self, kill: Kill) -> None:
        with self._start() as process:
            waits = kill.moment not in ("opened", "asking")
            ready = not waits or self._wait(process, lambda: self.accepted() >= kill.after)
            if ready and self._reached(process, kill.moment):
                self._end_processes(process, with_guard=kill.guard)
            code = process.wait(PATIENCE)
        self._stopped(kill, code)
        if not (kill.at_once or kill.guard):  # without a guard, what hangs would hang on
            self.console.wait_until_quiet()

    def _reached(self, process: subprocess.Popen[str], moment: Moment) -> bool:
        """Wait for the moment; false if all was done before it came."""
        before = len(self._events)
        served = sum(asked.ended is not None for asked in self.server.asked)

        def told(kind: type[e.Event]) -> Callable[[], bool]:
            return lambda: any(isinstance(event, kind) for event in self._events[before:])

        def answered() -> bool:
            done = [asked for asked in self.server.asked if asked.ended is not None]
            return any(asked.kind == GOOD and asked.whole for asked in done[served:])

        reached: dict[Moment, Callable[[], bool]] = {
            "opened": told(e.RunOpened),
            "asking": lambda: any(asked.began > self._began for asked in self.server.asked),
            "in_flight": lambda: bool(self._alive()) and len(self._written_texts()) >= min(2, self.plan.instances),
            "answered": answered,
            "hanging": lambda: any(asked.kind == "hang" for asked in self._alive()),
            "unread": lambda: any(asked.kind == GOOD for asked in self._alive()),
            "rejected": told(e.SampleRejected),
        }
        if moment in ("accepted", "complete"):
            return self._sees_next_sample(process, before=self.plan.samples - 1 if moment == "complete" else 0)
        if moment == "hanging":
            self.server.stage("hang", Hang(), lasting=True)
        came = self._wait(process, reached[moment])
        self.server.unstage()
        if came and moment == "unread":
            process.send_signal(signal.SIGSTOP)
            self._wait(process, lambda: any(END in text for text in self._written_texts()))
        return came

    def _sees_next_sample(self, process: subprocess.Popen[str], *, before: int) -> bool:
        """Wait for the next line of the sample file once ``before`` are there, and see it within a millisecond."""
        self._wait(process, lambda: self.accepted() >= before)
        now = self.accepted()
        while self.accepted() == now and process.poll() is None:
            time.sleep(0.0005)
        return process.poll() is None

    def _alive(self) -> list[Asked]:
        """Requests of this start that are not served yet."""
        return [asked for asked in self.server.in_flight if asked.began > self._began]

    def _end_processes(self, process: subprocess.Popen[str], *, with_guard: bool) -> None:
        if with_guard:
            process.send_signal(signal.SIGSTOP)  # it would start another guard
            for child in psutil.Process(process.pid).children():
                with contextlib.suppress(psutil.Error):  # one that has ended meanwhile
                    if any(part.endswith(Path(guard.__file__).name) for part in child.cmdline()):
                        child.kill()
        process.kill()
        process.wait()

    def _end(self, ending: Ending) -> None:
        lasting = ending.code is not None
        if early := self.accepted() >= ending.after:
            self.server.stage(ending.kind, ending.action, lasting=lasting)
        with self._start("--quota-wait", f"{ending.quota_wait:.0f}") as process:
            if not early and self._wait(process, lambda: self.accepted() >= ending.after):
                self.server.stage(ending.kind, ending.action, lasting=lasting)
            if not lasting:
                before = len(self._events)
                self._wait(process, lambda: any(isinstance(x, e.GenerationResumed) for x in self._events[before:]))
                self._check_pause(self._events[before:])
                self._end_processes(process, with_guard=False)
            code = process.wait(PATIENCE)
            if ending.code is not None and code != ending.code:
                self._fault(f"{ending.kind} ended with exit code {code}, not {ending.code.value}")
        self.server.unstage()
        self._stopped(ending, code)

    def _check_pause(self, told: list[e.AnyEvent]) -> None:
        paused = [x.kind for x in told if isinstance(x, e.GenerationPaused)]
        if "quota" not in paused:
            self._fault(f"a quota was not waited for (paused for {paused})")
            return
        begin = next(n for n, x in enumerate(told) if isinstance(x, e.GenerationPaused) and x.kind == "quota")
        end = next(n for n, x in enumerate(told) if isinstance(x, e.GenerationResumed) and n > begin)
        if any(isinstance(x, e.SampleRequested) for x in told[begin:end]):
            self._fault("a prompt was asked while the quota was waited for")

    def _finish(self) -> None:
        with self._start() as process:
            deadline = time.monotonic() + max(PATIENCE, 10.0 * self.plan.samples)
            while process.poll() is None and time.monotonic() < deadline:
                self._look()
            code = process.poll()
        if code != ExitCode.DONE:
            self._fault(f"the last start ended with exit code {code} (none: not at all): {self._said()}")
        self._stopped(None, process.wait())
        try:
            self.console.wait_until_quiet()
        except AssertionError as error:
            self._fault(f"processes are left: {error}")

    # Starting, looking, telling

    @contextlib.contextmanager
    def _start(self, *more: str) -> Iterator[subprocess.Popen[str]]:
        self._began = time.time()
        given = more or ("--quota-wait", "60")
        process = self.console.start(*command(self.plan), *given)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _wait(self, process: subprocess.Popen[str], what: Callable[[], bool]) -> bool:
        """Wait for something; false if the process ended first, with all done."""
        deadline = time.monotonic() + PATIENCE + 10.0 * self.plan.samples
        while not what():
            if process.poll() == ExitCode.DONE:
                return False
            assert process.poll() is None, f"ended with exit code {process.returncode}: {self._said()}"
            assert time.monotonic() < deadline, f"nothing came of it: {self._said()}"
            self._look()
        return True

    def _look(self) -> None:
        """Read what is new; waits for the server a moment."""
        with self.server.changed:
            self.server.changed.wait(0.01)
        if (folder := self.run_folder) is None:
            return
        if self._log.path.parent != folder:
            self._log = EventReader(folder / "events.jsonl")
        new = self._log.read()
        self._events += new
        with contextlib.suppress(FileNotFoundError):
            self.findings.marks.add((folder / "spool" / "core.mark").read_text())
        if self._old_marks and any(isinstance(event, e.TeacherReady) for event in new):
            for mark in self._old_marks:
                if left := guard.marked(mark):
                    self._fault(f"orphans run beside a new core: {left}")
            self._old_marks = set()

    def _stopped(self, step: Step | None, code: int) -> None:
        marks = frozenset(mark for text in self._written_texts() for mark in MARK.findall(text))
        self.findings.stops.append(Stop(step, code, time.time(), marks))
        self._old_marks = set(self.findings.marks)
        self._tell(f"  ended with {code}; {self.accepted()} accepted, {len(self.server.asked)} requests so far")

    def _written_texts(self) -> list[str]:
        if self.run_folder is None:
            return []
        texts: list[str] = []
        for path in (self.run_folder / "spool" / "calls").glob("*/out"):
            with contextlib.suppress(FileNotFoundError):
                texts.append(path.read_text("utf-8", "replace"))
        return texts

    def _said(self) -> str:
        return (self.plan.folder / "output.txt").read_text()[-1500:]

    def _fault(self, text: str) -> None:
        self.findings.faults.append(text)
        self._tell(f"  FAULT: {text}")

    def _tell(self, text: str) -> None:
        self.plan.say(text)


def steps(plan: Plan) -> list[Step]:
    """The kills and endings, evenly spread over the samples, in an order that the seed gives."""
    rng = random.Random(plan.seed)
    moments = itertools.cycle(MOMENTS)
    found: list[Step] = []
    for number, moment in zip(range(plan.kills - 1), moments, strict=False):
        found.append(Kill(0, moment, guard=number % 3 == 1 or moment == "hanging", at_once=number % 2 == 0))
    found += plan.endings
    rng.shuffle(found)
    last = max(1, plan.samples - 2 * plan.instances - 1)  # a step may let all that is in flight through
    placed = [_moved(step, last * number // len(found)) for number, step in enumerate(found)]
    return [*placed, Kill(plan.samples - 1, "complete", at_once=False)]


def _moved(step: Step, after: int) -> Step:
    if isinstance(step, Kill):
        return Kill(after, step.moment, step.guard, step.at_once)
    return Ending(after, step.kind, step.action, step.code, step.quota_wait)


def command(plan: Plan) -> list[str]:
    """The command that is given again and again."""
    silence = "20" if plan.program == "kimi-code" else "3"
    limits = ["--first-line-timeout", "60", "--silence-timeout", silence]
    wanted = ["--limit", str(plan.samples), "--instances", str(plan.instances)]
    return ["generate", "--prompt-file", "prompts.txt", *wanted, *limits]


def write_prompts(path: Path, samples: int) -> None:
    """More prompts than samples are wanted, since some are set aside."""
    count = samples + samples // 4 + 10
    path.write_text("".join(f"Should town number {n} ban cars from its centre?\n" for n in range(count)))


def prepare_environment(console: Console, program: Program, url: str, temporary: Path) -> None:
    """Let the console find the program, and the program the server."""
    if program == "fake":
        http_kimi.install(console.folder / "bin")
    else:
        folders = [install_kimi.CODE_BIN, install_kimi.node_bin()]
        console.environment["PATH"] = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    console.environment |= {
        "KIMI_MODEL_NAME": "test-model",
        "KIMI_MODEL_BASE_URL": url,
        "KIMI_MODEL_API_KEY": KEY,
        "KIMI_MODEL_PROVIDER_TYPE": "openai",
        "TMPDIR": str(temporary),
    }


def _described(step: Step) -> str:
    if isinstance(step, Ending):
        return f"{step.kind} after {step.after} samples"
    victims = "core and guard" if step.guard else "core"
    return f"kill {victims}, {step.moment}, after {step.after} samples"
