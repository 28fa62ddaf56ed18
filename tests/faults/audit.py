"""What must hold when a case has come to its end, whatever struck it on the way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import psutil

from hegelion_core.conversion.convert import Hooks, convert_file
from hegelion_core.conversion.rendering import chatml
from hegelion_core.dialectic.contract import read_accepted, read_sample
from hegelion_core.event_log import EventReader, replay
from hegelion_core.events import AnyEvent, RunEnded, RunOpened
from hegelion_core.fold import fold
from hegelion_core.generation.claims import _lock_of_others
from hegelion_core.generation.store import Rejected
from hegelion_core.run_state import RunState
from hegelion_core.settings import Settings
from hegelion_core.workspace import RunFolder
from tests.fakes.fault_audit import check_answers, read_rejected
from tests.fakes.fault_run import Stop
from tests.fakes.fault_server import ANSWERS
from tests.faults.runs import CaseRun
from tests.faults.trained import training_faults

QUIET = 15.0
"""Seconds in which the last process must be gone."""
_STRAY = re.compile(
    r"^\..+\.\d+\.(tmp|link|safetensors)$|\.tmp$|^\..+\.(part|part\.journal)$|^\..+\.(?!verdicts$)[a-z0-9_]{8}$"
)
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\)", re.MULTILINE)
"""Of the command itself: what it tells of a child's last words stands within a line."""


def audit(run: CaseRun) -> list[str]:
    """What does not hold; empty if all does."""
    faults: list[str] = []
    place, scene = run.place, run.case.scene
    _check_processes(run, faults)
    if found := _TRACEBACK.search(run.said()):
        faults.append(f"a traceback: {run.said()[found.start() :][:1500]}")
    if scene in ("openai", "kimi"):
        _check_samples(run, faults)
        _check_answers(run, faults)
    for path in sorted(place.runs.iterdir()) if place.runs.exists() else []:
        _check_run(RunFolder(path), run, faults)
    match scene:
        case "train":
            faults += training_faults(place)
        case "stage":
            _check_rows(run, place.made[0], faults)
        case _:
            _check_rows(run, place.rows, faults)
    _check_locks(run, faults)
    _check_leftovers(run, faults)
    return faults


def _check_samples(run: CaseRun, faults: list[str]) -> None:
    """Exactly as many as wanted, all of them different and good, and nothing else."""
    path = run.place.samples
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        faults.append("the sample file's last line is torn")
    ids, prompts = set[str](), set[str]()
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            sample = read_sample(line)
        except Exception as error:
            faults.append(f"line {number} of the sample file holds no sample ({error}): {line[:120]!r}")
            continue
        ids.add(sample.id)
        prompts.add(sample.instruction)
        if read_accepted(line) is None:
            faults.append(f"line {number} of the sample file does not meet the contract")
    lines = len(data.splitlines())
    if not lines == len(ids) == len(prompts) == run.case.samples:
        faults.append(f"{lines} lines, {len(ids)} ids, {len(prompts)} prompts; wanted {run.case.samples}")


def _check_answers(run: CaseRun, faults: list[str]) -> None:
    """Every answer that was written whole is kept, once."""
    found: list[str] = []
    rejected = [
        each
        for each in read_rejected(run.place.samples.with_suffix(".rejected.jsonl"), found)
        if each.reason != "torn"  # a line that was cut, kept for people; its answer is another record
    ]
    stops = _with_orphans(run)
    if run.place.samples.exists():
        told: list[str] = []
        until = [*stops, Stop(None, 0, time.time())]
        check_answers(run.place.samples, rejected, run.teacher.asked, until, run.case.instances, told)
        # Where unsynced answers went with the power, those are owed whose calls were over.
        found += [text for text in told if not run.lost_power or text.startswith("kept more than once")]
        found += _lost_though_over(run, stops, rejected)
    faults += found


def _with_orphans(run: CaseRun) -> list[Stop]:
    """The stops, each until the next core opened the run.

    A core that is killed, or told twice to stop, leaves children that its guard ends: one may ask meanwhile.
    """
    if run.lost_power or any(strike.act == "jump" for strike in run.case.strikes):
        return run.stops  # an opening went with the power, or the core's clock was another than ours
    logs = (event for folder in run.place.runs.iterdir() for event in EventReader(RunFolder(folder).events).read())
    opened = sorted(event.at for event in logs if isinstance(event, RunOpened))
    return [replace(stop, at=min((at for at in opened if at > stop.at), default=stop.at)) for stop in run.stops]


def _lost_though_over(run: CaseRun, stops: list[Stop], rejected: list[Rejected]) -> list[str]:
    """Answers that are nowhere, though the folder of their call was gone: a call is over when its answer is kept."""
    kept = run.place.samples.read_text() + "".join(each.text for each in rejected)
    failed = {each.prompt_id for each in rejected if each.kind == "failed"}
    lost: list[str] = []
    for asked in run.teacher.asked:
        number = next((n for n, stop in enumerate(stops) if stop.at >= asked.began), None)
        if not asked.whole or asked.kind not in ANSWERS or asked.mark in kept or number is None:
            continue
        if asked.prompt not in run.open_calls[number] | failed:
            lost.append(f"a whole answer is nowhere, and its call was over at the stop after it: {asked}")
    return lost


def _check_run(folder: RunFolder, run: CaseRun, faults: list[str]) -> None:
    """The log tells the truth, to the end; the other files of a run can be read."""
    try:
        Settings.model_validate_json(folder.settings.read_bytes())
    except (OSError, ValueError) as error:
        faults.append(f"settings.json of a run cannot be read: {error}")
    data = folder.events.read_bytes() if folder.events.exists() else b""
    if not data.endswith(b"\n"):
        faults.append(f"the event log's last line is torn, or there is none: {data[-80:]!r}")
    reader = EventReader(folder.events)
    log = reader.read()
    if reader.damaged:
        faults.append(f"{reader.damaged} lines of the event log cannot be read")
    _check_state(fold(log), replay(folder.events), log, run, faults)


def _check_state(whole: RunState, quick: RunState, log: list[AnyEvent], run: CaseRun, faults: list[str]) -> None:
    if whole != quick:
        faults.append("the snapshot tells another state than the log")
    last = log[-1] if log else None
    if not isinstance(last, RunEnded) or last.exit_code != 0:
        faults.append(f"the log does not end with the end of the run, but with {last}")
    if run.case.scene in ("openai", "kimi") and whole.accepted != run.case.samples:
        faults.append(f"the log tells of {whole.accepted} samples, the file holds {run.case.samples}")


def _check_rows(run: CaseRun, rows: Path, faults: list[str]) -> None:
    """The rows are what an undisturbed conversion makes of the same samples, to the byte."""
    expected = run.place.folder / "expected.jsonl"
    try:
        convert_file(run.place.samples, expected, chatml(), Hooks(log=lambda text: None))
        if not rows.exists() or rows.read_bytes() != expected.read_bytes():
            faults.append("the rows are not those of an undisturbed conversion")
    except Exception as error:
        faults.append(f"the samples cannot be converted: {error}")


def _check_processes(run: CaseRun, faults: list[str]) -> None:
    deadline = time.monotonic() + QUIET
    while left := list(run.place.children()):
        if time.monotonic() > deadline:
            with contextlib.suppress(psutil.Error):
                faults.append(f"processes are left: {[process.cmdline() for process in left]}")
            return
        time.sleep(0.01)


def _check_locks(run: CaseRun, faults: list[str]) -> None:
    """Nobody holds a lock any more."""
    for path in run.place.folder.rglob(".*"):
        if not path.is_file() or not path.name.endswith((".lock", ".claims")):
            continue
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.name.endswith(".claims") and _lock_of_others(fd, 0) is not None:
                faults.append(f"{path.name} holds claims")
        except BlockingIOError:
            faults.append(f"{path.name} is held")
        finally:
            os.close(fd)


def _check_leftovers(run: CaseRun, faults: list[str]) -> None:
    place = run.place
    runs, artifacts = place.runs, place.folder / "artifacts"
    found = [path for path in place.folder.rglob("*") if _STRAY.search(path.name) and not path.is_symlink()]
    found += [path for path in (place.folder / "run").rglob("*") if not path.is_dir()]
    # Python itself tries with a file of such a name whether a folder for temporary files will do.
    found += [path for path in (place.folder / "tmp").iterdir() if not re.fullmatch(r"\w{8}", path.name)]
    for name in ("calls/*", "spare", "canary-*", "core.mark", "kimi-folder"):
        found += runs.glob(f"*/spool/{name}")
    found += (place.folder / "home").rglob("session_*")
    found += place.folder.rglob("*.link")
    found += place.folder.glob("*pid.txt")
    found += artifacts.glob("core.json")
    if found:
        faults.append(f"left over: {sorted({str(path.relative_to(place.folder)) for path in found})}")
