"""One case, from its workspace to its audit: the command is struck, and given again until it has done its work."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hegelion_core import guard
from hegelion_core.teachers.openai_stream import read_reply
from tests.fakes.fault_run import END, Stop
from tests.fakes.fault_server import MARK
from tests.faults import between
from tests.faults import place as places
from tests.faults.cases import Case, Strike
from tests.faults.place import Place, SmallDisk, Stock, Terminal
from tests.faults.teacher import Teacher
from tests.faults.trained import training_faults
from tests.faults.warm import Order, Started, Warm

PATIENCE = 60.0
"""Seconds that one start of a command may take."""
_LASTING = 8.0
"""Seconds that a command may take in which every call fails."""
_CODES = {0, 1, 2, 3, 75, 130}


@dataclass
class Outcome:
    """What became of a case."""

    faults: list[str] = field(default_factory=list)
    struck: int = 0
    """Strikes that came in time."""
    starts: int = 0
    seconds: float = 0.0


class CaseRun:
    """One case at work."""

    def __init__(self, case: Case, folder: Path, warm: Warm, stock: Stock) -> None:
        self.case, self.outcome = case, Outcome()
        self.stops: list[Stop] = []
        self.open_calls: list[frozenset[str]] = []
        """At each stop, the prompts whose calls had a folder."""
        self.teacher = Teacher(case.answers, case.seed, slow=case.group == "network")
        self.place = Place(folder, case, stock, self.teacher.url)
        self._warm = warm
        self._log = folder / "injected.txt"
        self._output = folder / "output.txt"
        self._disk: SmallDisk | None = None
        self._sent: set[int] = set()
        self._terminal: Terminal | None = None
        self._started: Started | None = None

    @property
    def lost_power(self) -> bool:
        """Whether what was not synced was lost."""
        return any(strike.act == "power" for strike in self.case.strikes)

    def run(self) -> Outcome:
        """Strike by strike, then to the end."""
        began = time.monotonic()
        try:
            with self.teacher:
                command, *rest = self.place.commands
                for strike in self.case.strikes:
                    self._strike(command, strike)
                self._make_room()
                for last in (command, *rest):
                    self._finish(last)
        finally:
            self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def close(self) -> None:
        """End what is left, and take the disk away."""
        if self._started is not None:
            self._started.signal(signal.SIGKILL)
        for process in self.place.children():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self._disk is not None:
            self._disk.close()

    # Striking

    def _strike(self, command: tuple[str, ...], strike: Strike) -> None:
        self._log.unlink(missing_ok=True)
        self._sent = set()
        self._terminal = Terminal(self._output) if strike.deed == "hangup" else None
        steps = between.steps_of(self.place)
        ready = self._watch(strike)
        started = self._start(command, strike)
        if strike.deed and self._wait_for(started, strike, ready):
            self._deliver(started, strike)
        if strike.lasting and started.wait(_LASTING) is None:  # it waits for the fault's end, and a person gives up
            self._send(started, signal.SIGTERM)
        code = started.wait(PATIENCE)
        if code is None:
            self._fault(f"does not end after {strike}: {self._said()}")
            started.signal(signal.SIGKILL)
            code = started.wait(PATIENCE)
        self._hang_up()
        self.teacher.away.clear()
        self.outcome.struck += self._log.exists() or bool(self._sent) or bool(strike.kilobytes and code)
        self._check_code(code, strike)
        self.outcome.faults += between.check(self.place, strike, code, steps)
        self._stopped(code or 0)

    def _hang_up(self) -> None:
        if self._terminal is not None:
            self._terminal.hang_up()
            self._terminal = None

    def _watch(self, strike: Strike) -> threading.Event:
        """Set when the request or the answer has come that a strike waits for."""
        ready = threading.Event()
        before = {"request": len(self.teacher.asked), "answer": self.teacher._answers}.get(strike.trigger, 0)

        def come(number: int) -> None:
            if number - before >= strike.after:
                ready.set()

        self.teacher.on_request = come if strike.trigger == "request" else lambda number: None
        self.teacher.on_answer = come if strike.trigger == "answer" else lambda number: None
        return ready

    def _wait_for(self, started: Started, strike: Strike, ready: threading.Event) -> bool:
        """Wait for the moment; false if the command ended before it came."""
        begun = time.monotonic()
        while started.poll() is None and time.monotonic() < begun + PATIENCE:
            if strike.trigger == "time" and time.monotonic() >= begun + strike.after:
                return True
            if strike.trigger == "call" and self._log.exists() and self._is_held(started):
                return True
            if ready.wait(0.002):
                return started.poll() is None
        return False

    def _is_held(self, started: Started) -> bool:
        try:
            processes = [psutil.Process(started.pid), *self.place.children()]
            return any(process.status() == psutil.STATUS_STOPPED for process in processes)
        except psutil.Error:
            return False

    def _deliver(self, started: Started, strike: Strike) -> None:
        match strike.deed:
            case "kill":
                self._send(started, signal.SIGKILL)
            case "tree":
                self._send(started, signal.SIGSTOP)  # it would start another guard
                self._kill_children(lambda process: True)
                self._send(started, signal.SIGKILL)
            case "child" | "guard":
                wanted = strike.deed == "guard"
                self._kill_children(lambda process: _is_guard(process) == wanted)
            case "freeze":
                self._freeze(started, strike.seconds)
            case "stops":
                self._stop_twice(started, strike.pair)
            case "hangup":
                self._sent.add(signal.SIGHUP)
                self._hang_up()
            case "drop":
                self._sent.add(0)
                time.sleep(strike.seconds / 10)
                self.teacher.drop()
                threading.Timer(strike.seconds, self.teacher.away.clear).start()
        self._go_on(started)

    def _send(self, started: Started, number: int) -> None:
        if started.poll() is None:
            self._sent.add(number)
            started.signal(number)

    def _kill_children(self, which: object) -> None:
        assert callable(which)
        for process in self.place.children():
            with contextlib.suppress(psutil.Error):
                if which(process):
                    process.kill()
                    self._sent.add(0)

    def _freeze(self, started: Started, seconds: float) -> None:
        self._send(started, signal.SIGSTOP)
        for process in self.place.children():
            with contextlib.suppress(psutil.Error):
                process.suspend()
        time.sleep(seconds)

    def _stop_twice(self, started: Started, pair: str) -> None:
        asking: list[Started] = []
        for name in pair.split():
            if name == "stop":
                asking.append(self._warm.start(self._order(("stop",), {})))
                self._sent.add(signal.SIGTERM)
            else:
                self._send(started, getattr(signal, f"SIG{name}"))
        self._go_on(started)
        for each in asking:
            if (code := each.wait(PATIENCE)) not in (0, 1, 3):
                self._fault(f"'stop' ended with exit code {code}: {self._said()}")
                each.signal(signal.SIGKILL)

    def _go_on(self, started: Started) -> None:
        """Let those that were held go on."""
        with contextlib.suppress(ProcessLookupError):
            started.signal(signal.SIGCONT)
        for process in self.place.children():
            with contextlib.suppress(psutil.Error):
                process.resume()

    # Starting and ending

    def _finish(self, command: tuple[str, ...]) -> None:
        started = self._start(command, None)
        code = started.wait(PATIENCE)
        if code is None:
            self._fault(f"the last start does not end: {self._said()}")
            started.signal(signal.SIGKILL)
            started.wait(PATIENCE)
        elif code != 0:
            self._fault(f"'{command[0]}' ended with exit code {code} at last: {self._said()}")
        self._stopped(code or 0)

    def _start(self, command: tuple[str, ...], strike: Strike | None) -> Started:
        self.outcome.starts += 1
        told: dict[str, object] = {}
        limit = 0
        if strike is not None and strike.injected:
            told = {name: strike.__dict__[name] for name in ("act", "op", "path", "nth", "lasting", "role", "seconds")}
        if strike is not None and strike.kilobytes:
            limit = self._make_small(strike)
        self._started = self._warm.start(self._order(command, told, limit))
        return self._started

    def _order(self, command: tuple[str, ...], told: dict[str, object], limit: int = 0) -> Order:
        environment = dict(self.place.environment)
        if told:
            told = {**told, "root": str(self.place.folder), "log": f"{self._log}"}
            environment["HEGELION_FAULT"] = json.dumps(told)
        terminal = self._terminal.name if self._terminal is not None else ""
        return Order(command, str(self.place.folder), environment, str(self._output), terminal, limit)

    def _make_small(self, strike: Strike) -> int:
        """Mount a disk that is too small, where that can be done; else the most bytes that a file may have."""
        folder, size = self.place.folder / "artifacts", max(strike.kilobytes, 4) + 16
        if self.case.scene == "train" and strike.kilobytes % 2:  # where the adapter goes, which needs 24 kB
            folder, size = self.place.adapter, 4 * (1 + strike.kilobytes % 5)
        # A mount hides what lies there already.
        fresh = self._disk is not None or not self.place.runs.exists()
        if strike.mount and fresh and places.can_mount() and self.case.scene in ("openai", "kimi", "train"):
            if self._disk is None:
                folder.mkdir(exist_ok=True)
                kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
                self._disk = SmallDisk(folder, size)
                for name, content in kept.items():
                    (folder / name).write_bytes(content)
            return 0
        return strike.kilobytes * 256

    def _make_room(self) -> None:
        if self._disk is not None:
            self._disk.make_room()

    def _check_code(self, code: int | None, strike: Strike) -> None:
        allowed = _CODES | {-number for number in self._sent}
        if strike.deed in ("hangup", "stops") and strike.trigger in ("request", "answer"):
            allowed = _CODES  # it was at work, and knows how to stop
        if strike.deed == "freeze" or strike.act == "jump":
            allowed = {0}
        if strike.act in ("kill", "kill_after", "tear", "power"):
            allowed.add(-signal.SIGKILL)
        if code not in allowed:
            self._fault(f"exit code {code} after {strike}: {self._said()}")
        if code == 0:
            self._check_done(strike)

    def _check_done(self, strike: Strike) -> None:
        """Whoever says that it is done has done it."""
        path, wanted = self.place.made
        lines = path.read_bytes().count(b"\n") if path.is_file() else 0
        if lines != wanted:
            self._fault(f"exit code 0 after {strike}, but {path.name} has {lines} lines, not {wanted}")
        if self.case.scene == "train":
            self.outcome.faults += [f"exit code 0 after {strike}, but {text}" for text in training_faults(self.place)]

    def _stopped(self, code: int) -> None:
        marks = frozenset[str]() if self.lost_power else self._written()
        self.stops.append(Stop(None, code, time.time(), marks))
        folders = self.place.runs.glob("*/spool/calls/*")
        self.open_calls.append(frozenset(folder.name.rpartition("-")[0] for folder in folders))

    def _written(self) -> frozenset[str]:
        """Marks of the answers that were written whole and are not handled yet."""
        found: set[str] = set()
        for path in self.place.runs.glob("*/spool/calls/*/out"):
            with contextlib.suppress(OSError):
                data = path.read_bytes()
                if self.case.scene == "kimi":
                    found.update(MARK.findall(data.decode("utf-8", "replace")) if END.encode() in data else ())
                elif (reply := read_reply(data)) is not None and reply.whole:
                    found.update(MARK.findall(reply.answer().text))
        return frozenset(found)

    def said(self) -> str:
        """All that the commands printed."""
        return self._output.read_text("utf-8", "replace") if self._output.exists() else ""

    def _said(self) -> str:
        return re.sub(r"\s+", " ", self.said()[-600:])

    def _fault(self, text: str) -> None:
        self.outcome.faults.append(text)


def _is_guard(process: psutil.Process) -> bool:
    return any(part.endswith(Path(guard.__file__).name) for part in process.cmdline())


def run_case(case: Case, root: Path, warm: Warm, stock: Stock, *, keep: bool = False) -> Outcome:
    """Run a case in a folder below ``root`` and audit it; the folder stays if something did not hold."""
    from tests.faults.audit import audit

    folder = root / f"{'t' if case.scene == 'train' else 'c'}{case.number}"
    places.unmount_all(folder)
    shutil.rmtree(folder, ignore_errors=True)
    run = CaseRun(case, folder, warm, stock)
    try:
        outcome = run.run()
        outcome.faults += audit(run)
    finally:
        run.close()
    if not (outcome.faults or keep):
        shutil.rmtree(folder, ignore_errors=True)
    return outcome
