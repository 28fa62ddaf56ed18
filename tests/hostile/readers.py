"""Every reader of a file that someone else may have written, by what it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from hegelion_core import curves, glance, run, runs, wire
from hegelion_core.comparing import exchange
from hegelion_core.data_sets.build import open_questions
from hegelion_core.dialectic import judge
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.errors import UserError
from hegelion_core.event_log import EventLog, EventReader, restore
from hegelion_core.generation import prompt_files, quality
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.catalogue import Catalogue
from hegelion_core.generation.decisions import decisions_path
from hegelion_core.generation.prompts import read_prompts
from hegelion_core.generation.store import SampleStore
from hegelion_core.models import download
from hegelion_core.setting_sources import SETTINGS_FILE
from hegelion_core.settings import resolve
from hegelion_core.settings_file import Sources
from hegelion_core.teachers import faults, kimi_output, kimi_program, openai_stream
from hegelion_core.teachers.known_programs import KnownPrograms
from hegelion_core.teachers.teacher import TeacherFault
from hegelion_core.training import metrics
from hegelion_core.training.batching import read_rows
from hegelion_core.training.distributed import hosts
from hegelion_core.workspace import RunFolder, Workspace

Reader = Callable[[Path], object]
"""Reads a folder in which the file ``evil`` (or ``evil.jsonl``) lies."""


def _named(name: str, read: Callable[[Path], object]) -> Reader:
    """Gives the bytes to a reader under the name that it knows."""

    def reader(folder: Path) -> object:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((folder / "evil").read_bytes())
        return read(target)

    return reader


def _store(path: Path) -> object:
    store = SampleStore(path)
    store.refresh()
    return store.accepted, store.counted()


def _decided(path: Path) -> object:
    path.rename(decisions_path(path))
    path.write_bytes(b"")
    return _store(path)


def _exchanges(folder: Path) -> object:
    (question := folder / "0001" / "question.json").exists() or question.write_bytes(
        msgspec.json.encode(exchange.Question(text="Is it so?", temperature=0.0, max_new_tokens=9, at=0.0))
    )
    found = exchange.Exchanges(folder)
    found.refresh()
    return found.all()


def _event_log(path: Path) -> object:
    EventLog(path).close()
    return restore(path)


def _snapshot(path: Path) -> object:
    path.with_name("events.jsonl").touch()
    return restore(path.with_name("events.jsonl"))


def _reread(path: Path) -> object:
    return run.reread(RunFolder(path.parent))


def _login(path: Path) -> object:
    kimi_program.check_login("kimi-code", {"HOME": str(path.parents[1])}, None)
    return None


def _refusal(path: Path) -> object:
    body = path.read_text("utf-8", "replace")
    return faults.classify("kimi-code", 1, body, body).message


def _catalogue(path: Path) -> object:
    found = Catalogue(path)
    return [
        (shelf.entry(index, line), shelf.page(index, line), shelf.texts(line))
        for view, shelf in found.shelves.items()
        for index in range(len(shelf))
        if (line := found.line(view, index))
    ]


READERS: dict[str, Reader] = {
    "events": _named("events.jsonl", lambda path: EventReader(path).read()),
    "event log": _named("events.jsonl", _event_log),
    "snapshot": _named("events.snapshot", _snapshot),
    "settings of a run": _named("settings.json", lambda path: runs.settings_of(RunFolder(path.parent))),
    "settings of a run, to go on": _named(
        "1-2-run-all-3/settings.json", lambda path: run.reread(RunFolder(path.parent))
    ),
    "settings file": _named(SETTINGS_FILE, lambda path: resolve(path.parent, {}, environment={})),
    "settings as they stand": _named(SETTINGS_FILE, lambda path: Sources(path.parent, {}, environment={}).standings()),
    "pointer": _named("artifacts/core.json", lambda path: wire.read_pointer(Workspace(path.parents[1]))),
    "prompts of a run": _named("prompts.jsonl", read_prompts),
    "prompt rows": _named("p.jsonl", lambda path: list(prompt_files.read_prompt_file(path))),
    "prompt lines": _named("p.txt", lambda path: list(prompt_files.read_prompt_file(path))),
    "samples": _named("s.jsonl", _store),
    "rejected answers": _named("s.rejected.jsonl", lambda path: _store(path.with_name("s.jsonl"))),
    "decisions": _named("s.jsonl", _decided),
    "samples on the screen": _named("s.jsonl", _catalogue),
    "rejected answers on the screen": _named("s.rejected.jsonl", lambda path: _catalogue(path.with_name("s.jsonl"))),
    "quality": _named("s.jsonl", lambda path: quality.assess(path, path, ["Is it so?"])),
    "data set": _named("s.jsonl", lambda path: list(open_questions(path))),
    "training rows": _named("rows.jsonl", read_rows),
    "hosts": _named("hosts.json", lambda path: hosts.read_host_file(path.read_bytes(), "hosts.json")),
    "metrics": _named("metrics.jsonl", lambda path: metrics.cut_back(path, 3)),
    "curves": _named("metrics.jsonl", lambda path: curves.MetricsFile(path).read()),
    "earlier curves": _named("runs/x/metrics.jsonl", lambda path: curves.earlier_runs(path.parents[1])),
    "questions": _named("compare/0001/question.json", lambda path: _exchanges(path.parents[1])),
    "answers": _named("compare/0001/answers.jsonl", lambda path: _exchanges(path.parents[1])),
    "tail of a log": _named("x.log", glance.tail),
    "programs": _named("teachers.json", lambda path: KnownPrograms(path).is_proved("x")),
    "calls": _named("calls/x/request.json", lambda path: list(CallFolders(path.parents[1], str).left())),
    "models": _named("models/files.json", lambda path: download.find("a/b", path.parent)),
    "Kimi's output": _named("out", lambda path: kimi_output.read_lines(path.read_text("utf-8", "replace"))),
    "Kimi's settings": _named(".kimi-code/config.toml", _login),
    "an endpoint's events": _named("out", lambda path: openai_stream.read_events(path.read_bytes().split(b"\n"))),
    "an endpoint's answer": _named("out", lambda path: openai_stream.read_reply(path.read_bytes())),
    "an endpoint's refusal": _named("out", _refusal),
    "a judge's reply": _named("out", lambda path: judge.read_judgement(path.read_text("utf-8", "replace"))),
}


def read_or_refuse(reader: Reader, content: bytes, folder: Path) -> None:
    """The bytes are read, or refused in one line."""
    (folder / "evil").write_bytes(content)
    refusal = ""
    try:
        reader(folder)
    except UserError as refused:
        refusal = refused.message
    except (TeacherFault, SampleFault):
        return
    assert "\n" not in refusal
    assert len(refusal) < 1000
