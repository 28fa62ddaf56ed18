"""The workspace of a case: what lies there, what is typed in it, and who works there."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hegelion_core.teachers import canary
from hegelion_core.teachers.known_programs import KnownPrograms
from hegelion_core.teachers.which_kimi import read_version
from tests.fakes import http_kimi, training_runs
from tests.faults.cases import Case
from tests.faults.warm import INJECT

KEY = "swordfish-4711"
VERSION = "2.1.0"
STOCK = 400
"""Samples of the file that conversions read."""
STEPS = 8
"""Optimizer steps of a training."""


@dataclass(frozen=True)
class Stock:
    """What the cases of one harness share, made once."""

    samples: Path
    """A sample file that is large enough for its conversion to be struck."""
    student: Path
    rows: Path
    """Training rows."""
    training: dict[str, object] = field(default_factory=dict)
    """What an undisturbed training leaves; made only if there are cases with the trainer."""


class Place:
    """A workspace."""

    def __init__(self, folder: Path, case: Case, stock: Stock, url: str) -> None:
        self.folder, self.case, self.stock, self._url = folder, case, stock, url
        for name in ("bin", "home", "run", "tmp", "data", "artifacts"):
            (folder / name).mkdir(parents=True)
        self.samples, self.rows = folder / "data" / "samples.jsonl", folder / "data" / "rows.jsonl"
        self.prompts = folder / "prompts.txt"
        self.adapter = folder / "adapter"
        self.prompts.write_text("".join(f"Should town number {n} ban cars?\n" for n in range(case.samples + 6)))
        if case.scene in ("convert", "stage"):
            shutil.copyfile(stock.samples, self.samples)
        if case.scene == "train":
            shutil.copyfile(stock.rows, self.rows)
        if case.scene == "kimi":
            self._install_kimi()
        self.environment = {
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "TMPDIR": str(folder / "tmp"),
            # What is made there once for all workspaces is no part of a case.
            "XDG_CACHE_HOME": str(stock.samples.parent / "cache"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "KIMI_MODEL_NAME": "test-model",
            "KIMI_MODEL_BASE_URL": url,
            "KIMI_MODEL_API_KEY": KEY,
            "KIMI_FAKE_WORKSPACE": str(folder),
            "OPENBLAS_NUM_THREADS": "1",
            # Children are of the same code as the harness, wherever that lies.
            "PYTHONPATH": os.pathsep.join([str(INJECT), str(INJECT.parents[2])]),
        }

    @property
    def runs(self) -> Path:
        return self.folder / "artifacts" / "runs"

    @property
    def made(self) -> tuple[Path, int]:
        """The file that the first command makes, and how many lines it has when that has done its work."""
        match self.case.scene:
            case "convert":
                return self.rows, STOCK
            case "stage":
                return self.folder / "artifacts" / "data" / "hegelion_scu_ready.jsonl", STOCK
            case "train":
                return next(self.runs.glob("*/metrics.jsonl"), self.runs), STEPS
            case _:
                return self.samples, self.case.samples

    @property
    def commands(self) -> list[tuple[str, ...]]:
        """What is typed, one after the other; the first is struck."""
        convert = ("convert", str(self.samples), str(self.rows), "--template", "chatml")
        match self.case.scene:
            case "convert":
                return [convert]
            case "stage":
                return [("convert", str(self.samples), "--template", "chatml")]
            case "train":
                data, adapter = self.rows, self.adapter
                return [tuple(training_runs.train(self.stock.student, data, adapter, "--iters", str(STEPS)))]
        kimi = self.case.scene == "kimi"
        teacher = ("--model", "kimi-code") if kimi else ("--teacher-url", self._url, "--teacher-model", "test-model")
        wanted = (
            "--limit",
            str(self.case.samples),
            "--instances",
            str(self.case.instances),
            "--output",
            str(self.samples),
        )
        return [("generate", "--prompt-file", "prompts.txt", *wanted, *teacher), convert]

    def children(self) -> Iterator[psutil.Process]:
        """Processes that were born in this workspace; a command that was forked is not among them."""
        mark = f"KIMI_FAKE_WORKSPACE={self.folder}".encode()
        if sys.platform != "linux":
            yield from self._children_elsewhere()
            return
        for folder in Path("/proc").glob("[0-9]*"):
            if folder.name.isdigit():
                try:
                    if mark in (folder / "environ").read_bytes():
                        yield psutil.Process(int(folder.name))
                except (OSError, psutil.Error):
                    continue

    def _children_elsewhere(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                if process.environ().get("KIMI_FAKE_WORKSPACE") == str(self.folder):
                    yield process
            except psutil.Error:
                continue

    def _install_kimi(self) -> None:
        program = http_kimi.install(self.folder / "bin")
        kimi = read_version(program, VERSION)
        known = KnownPrograms(self.folder / "artifacts" / "teachers.json")
        known.learn_version(kimi)
        for step in (False, True):
            known.learn_proved(canary.name(kimi, step=step))


class SmallDisk:
    """A folder of a file system of its own, with little room; only root can make one."""

    def __init__(self, folder: Path, kilobytes: int) -> None:
        self._folder = folder
        _mount(folder, f"size={kilobytes}k")

    def make_room(self) -> None:
        """As when somebody tidies up."""
        _mount(self._folder, "size=64m", remount=True)

    def close(self) -> None:
        """Take it away; whoever still has a file there open keeps it until then."""
        _libc.umount2(os.fsencode(self._folder), 2)


def can_mount() -> bool:
    """Whether a file system can be mounted here."""
    return sys.platform == "linux" and os.geteuid() == 0 and _may_mount()


def _may_mount() -> bool:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> 21 & 1)  # CAP_SYS_ADMIN


def _mount(folder: Path, options: str, *, remount: bool = False) -> None:
    flags = 32 if remount else 0
    if _libc.mount(b"faults", os.fsencode(folder), b"tmpfs", flags, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))


_libc = ctypes.CDLL(None, use_errno=True)


class Terminal:
    """A terminal that a command can be given, and that can be taken away."""

    def __init__(self, copy: Path) -> None:
        """What it shows is appended to ``copy``."""
        self._ours, self._theirs = os.openpty()
        self.name = os.ttyname(self._theirs)
        self._copy = copy
        self._gone = threading.Event()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def hang_up(self) -> None:
        """Take it away: those who work in it get SIGHUP."""
        if not self._gone.is_set():
            self._gone.set()
            self._reading.join()
            os.close(self._theirs)
            os.close(self._ours)

    def _read(self) -> None:
        with open(self._copy, "ab") as file, contextlib.suppress(OSError):
            while not self._gone.is_set():
                if select.select([self._ours], [], [], 0.005)[0]:
                    file.write(os.read(self._ours, 4096))


def mounted(folder: Path) -> list[str]:
    """What is mounted below a folder, for whoever cleans up after a harness that was killed."""
    if sys.platform != "linux":
        return []
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{folder}/")]


def unmount_all(folder: Path) -> None:
    """Take away what a harness that was killed left mounted."""
    for path in mounted(folder):
        subprocess.run(["umount", "-l", path], check=False)
