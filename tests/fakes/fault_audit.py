"""What must hold after a ``FaultRun``, and its figures.

An answer is whole when the server has sent all of it. Every whole answer must stand in the sample file or in the
rejected file, once, but for those that the teacher's process had not written when it was ended: with the core by a
kill or an end of the run (at most one an instance each time), or by the core itself, which then says so in the
rejected file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hegelion_core import events as e
from hegelion_core import guard
from hegelion_core.dialectic.contract import read_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.event_log import EventReader
from hegelion_core.generation.store import Rejected
from tests.fakes.fault_run import KEY, FaultRun, Kill, Stop
from tests.fakes.fault_server import ANSWERS, CANARY, MARK, Asked
from tests.fakes.model_server import Request

MAX_BEYOND = 1500
"""Bytes of a request beyond system text and row."""


@dataclass(frozen=True)
class Audit:
    """The faults, empty if all holds, and figures by name."""

    faults: list[str]
    figures: dict[str, object]


def audit(run: FaultRun) -> Audit:
    """Look at everything that the run left."""
    faults = list(run.findings.faults)
    log = EventReader(run.console.run_folder / "events.jsonl").read()
    rejected = read_rejected(run.console.samples.with_suffix(".rejected.jsonl"), faults)
    _check_samples(run, log, faults)
    lost, ended_by_core = check_answers(
        run.console.samples, rejected, run.server.asked, run.findings.stops, run.plan.instances, faults
    )
    _check_leftovers(run, faults)
    _check_requests(run.server.asked, run.server.requests, faults)
    return Audit(faults, _figures(run, log, rejected, lost, ended_by_core))


def _check_samples(run: FaultRun, log: list[e.AnyEvent], faults: list[str]) -> None:
    data = run.console.samples.read_bytes()
    if not data.endswith(b"\n"):
        faults.append("the sample file's last line is torn")
    samples = [read_sample(line) for line in data.splitlines()]
    ids, instructions = {s.id for s in samples}, {s.instruction for s in samples}
    if not len(samples) == len(ids) == len(instructions) == run.plan.samples:
        faults.append(f"{len(samples)} samples, {len(ids)} ids, {len(instructions)} prompts; wanted {run.plan.samples}")
    set_aside = {event.prompt_id for event in log if isinstance(event, e.PromptSetAside)}
    if both := set_aside & {prompt_id(instruction) for instruction in instructions}:
        faults.append(f"set aside and yet accepted: {sorted(both)}")
    kinds = {asked.mark: asked.kind for asked in run.server.asked}
    if bad := [kinds[mark] for s in samples for mark in set(MARK.findall(s.output)) if kinds[mark] != "good"]:
        faults.append(f"accepted, though the server sent something else than a good answer: {bad}")


def check_answers(
    samples: Path,
    rejected: list[Rejected],
    all_asked: list[Asked],
    stops: Sequence[Stop],
    instances: int,
    faults: list[str],
) -> tuple[list[Asked], list[Asked]]:
    """Returns the whole answers that are nowhere: ended with the core, and by the core."""
    sample_marks = _marks(samples.read_text().splitlines())
    kept = sample_marks + _marks([attempt.text for attempt in rejected])
    if twice := [mark for mark, count in kept.items() if count > 1]:
        faults.append(f"kept more than once: {twice}")
    owed = {mark for stop in stops for mark in stop.written}
    if lost := owed - kept.keys():
        faults.append(f"written whole or in part before a stop, and lost: {sorted(lost)}")
    nowhere = [a for a in all_asked if a.whole and a.kind in ANSWERS and a.mark not in kept]
    by_core = [asked for asked in nowhere if _ended_by_core(asked, all_asked, rejected)]
    with_core = [asked for asked in nowhere if asked not in by_core]
    per_stop: Counter[int] = Counter()
    for asked in with_core:
        number = next((n for n, stop in enumerate(stops) if stop.at >= asked.began), None)
        if number is None or not _was_last(asked, all_asked, stops[number].at):
            faults.append(f"a whole answer is nowhere, and was not in flight at a stop: {asked}")
        else:
            per_stop[number] += 1
    if most := [count for count in per_stop.values() if count > instances]:
        faults.append(f"more answers lost at a stop than there are instances: {most}")
    return with_core, by_core


def _ended_by_core(asked: Asked, all_asked: list[Asked], rejected: list[Rejected]) -> bool:
    """Whether the call ended in a failure that the core kept, before its prompt was asked again."""
    again = [other.began for other in all_asked if other.prompt == asked.prompt and other.began > asked.began]
    until = min(again, default=float("inf"))
    return any(
        attempt.prompt_id == asked.prompt and attempt.kind == "failed" and asked.began <= attempt.at < until
        for attempt in rejected
    )


def _was_last(asked: Asked, all_asked: list[Asked], until: float) -> bool:
    """Whether the prompt was not asked again before the stop."""
    return not any(other.prompt == asked.prompt and asked.began < other.began < until for other in all_asked)


def _check_leftovers(run: FaultRun, faults: list[str]) -> None:
    artifacts = run.plan.folder / "artifacts"
    if left := sorted(path.name for path in (run.console.run_folder / "spool" / "calls").glob("*")):
        faults.append(f"calls are left: {left}")
    if left := sorted(path.name for path in (run.console.run_folder / "spool").glob("canary-*")):
        faults.append(f"canaries are left: {left}")
    sessions = run.plan.folder / "home" / ".kimi-code" / "sessions"
    if left := sorted(str(path.relative_to(sessions)) for path in sessions.rglob("session_*")):
        faults.append(f"sessions are left in Kimi's home: {left}")
    if left := sorted(str(path.relative_to(run.temporary)) for path in run.temporary.glob("hegelion-*")):
        faults.append(f"working folders are left: {left}")
    if processes := [process for mark in run.findings.marks for process in guard.marked(mark)]:
        faults.append(f"processes with a core's mark are left: {processes}")
    if told := [path for path in artifacts.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]:
        faults.append(f"the key is in {[str(path.relative_to(artifacts)) for path in told]}")


def _check_requests(asked: list[Asked], requests: list[Request], faults: list[str]) -> None:
    if tools := [each.number for each in asked if each.tools]:
        faults.append(f"requests with tools: {tools}")
    for each in asked:
        if each.beyond >= MAX_BEYOND and not each.continued:
            told = [
                (message.get("role"), str(message.get("content"))[:300]) for message in requests[each.number].messages
            ]
            faults.append(f"a request has {each.beyond} bytes beyond what it asks: {each.kind}, {told}")


def _figures(
    run: FaultRun, log: list[e.AnyEvent], rejected: list[Rejected], lost: list[Asked], by_core: list[Asked]
) -> dict[str, object]:
    asked = [each for each in run.server.asked if each.kind != CANARY]
    kills = [stop for stop in run.findings.stops if isinstance(stop.step, Kill) and stop.code == -9]
    accepted = [event for event in log if isinstance(event, e.SampleAccepted)]
    return {
        "program": run.plan.program,
        "samples": run.plan.samples,
        "seconds": round(run.findings.seconds, 1),
        "starts of the command": len(run.findings.stops),
        "kills": len(kills),
        "kills by moment": _told(Counter(stop.step.moment for stop in kills if isinstance(stop.step, Kill))),
        "kills with the guard": sum(isinstance(stop.step, Kill) and stop.step.guard for stop in kills),
        "requests": len(asked),
        "requests by class": _told(Counter(each.kind for each in asked)),
        "most bytes beyond system text and row": max(each.beyond for each in asked if not each.continued),
        "whole answers sent": sum(each.whole and each.kind in ANSWERS for each in asked),
        "answers salvaged and accepted": sum(event.salvaged for event in accepted),
        "answers rejected and kept": sum(each.kind == "rejected" for each in rejected),
        "failed calls kept": _told(Counter(each.reason for each in rejected if each.kind == "failed")),
        "answers unwritten at a stop": len(lost),
        "answers unwritten when the core ended the call": len(by_core),
        "prompts set aside": sum(isinstance(event, e.PromptSetAside) for event in log),
    }


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"


def _marks(lines: list[str]) -> Counter[str]:
    """In how many lines each mark stands."""
    return Counter(mark for line in lines for mark in set(MARK.findall(line)))


def read_rejected(path: Path, faults: list[str]) -> list[Rejected]:
    """The lines of the rejected file."""
    found: list[Rejected] = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            found.append(msgspec.json.decode(line, type=Rejected))
        except msgspec.DecodeError:
            faults.append(f"a line of the rejected file is damaged: {line[:80]!r}")
    return found
