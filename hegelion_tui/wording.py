"""A run in words and bars for the screen. Pure: a state, a time and a width in, styled text out.

Colours are names of the theme (``$success``), so every theme and ``NO_COLOR`` work; no meaning is in a colour alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec.structs import replace
from textual.content import Content

from hegelion_core.commands import words
from hegelion_core.commands.text import printable
from hegelion_core.commands.words import duration, instance_words, size
from hegelion_core.events import STAGES, CheckFailed, EvaluationProgressed, NoticePosted, Stage
from hegelion_core.gpu import Gpu
from hegelion_core.pressure import Pressure
from hegelion_core.run_state import (
    InstanceState,
    RunState,
    StageState,
    StageStatus,
    samples_per_minute,
    seconds_left,
    training_seconds_left,
)
from hegelion_tui.keys import KeyNames

MUTED = "dim"
GLYPHS: dict[StageStatus, tuple[str, str, str]] = {
    "pending": ("○", "waiting", MUTED),
    "running": ("●", "running", "bold $accent"),
    "done": ("✓", "done", "$success"),
    "skipped": ("✓", "skipped", MUTED),
    "failed": ("✗", "failed", "bold $error"),
    "stopped": ("■", "stopped", "$warning"),
}
"""Status to glyph, word and style."""
_NOTICE_STYLES = {"info": MUTED, "warning": "$warning", "error": "$error"}
_LEVEL_STYLES = {"normal": "$success", "warning": "$warning", "critical": "bold $error"}


def header(state: RunState, project: str, width: int) -> Content:
    """One line: project, who teaches whom, and, as far as there is room, run and core."""
    core = f"core {state.core_pid}" if state.core_pid else ""
    full = state.teacher_version
    for version, right in ((full, f"{state.run_id}   {core}"), (full, core), (full, ""), ("", "")):
        left = _who(state, project, version)
        space = width - left.cell_length - len(right)
        if space >= (2 if right else 0):
            return Content.assemble(left, " " * space, (right, MUTED))
    return left.truncate(width, ellipsis=True)


def _who(state: RunState, project: str, version: str) -> Content:
    return Content.assemble(
        ("hegelion ", "bold $primary"),
        (printable(project), "bold"),
        ("  demo", "$accent") if state.demo else "",
        "   ",
        printable(state.teacher),
        (f" {printable(version)}" if version else "", MUTED),
        (" → ", MUTED),
        printable(state.student),
    )


def stage_detail(state: RunState, stage: Stage) -> str:
    """How far a stage is, or what came of it, in a few words."""
    here = state.stages[stage]
    if here.status != "running":
        return printable(here.detail)
    match stage:
        case "check":
            return _checking(state)
        case "generate":
            return f"{state.accepted} of {state.target}"
        case "train":
            step = state.steps[-1].step if state.steps else 0
            return f"step {step} of {state.plan.iters}" if state.plan else "loading the student"
        case "evaluate" if state.evaluation_progress is not None:
            return _evaluating(state.evaluation_progress)
    return ""


def _evaluating(part: EvaluationProgressed) -> str:
    # "adapter answers" and "tokens" do not both fit; the unit tells which of the two it is.
    what = part.what.partition(" ")[0] if part.unit else part.what
    return f"{printable(what)} {part.done} of {part.total} {part.unit}".rstrip()


def _checking(state: RunState) -> str:
    if (download := state.download) is not None:
        of = f" of {size(download.total)}" if download.total else ""
        return f"{printable(download.what)} {size(download.done)}{of}"
    failed = sum(isinstance(check, CheckFailed) for check in state.checks)
    return f"{len(state.checks)} checks" + (f", {failed} failed" if failed else "")


def stages(state: RunState, now: float, width: int, *, lines: int) -> Content:
    """The stages: on two lines with detail, or on one with the detail of the one that runs."""
    if lines > 1:
        return _stage_columns(state, now, width)
    bare: list[Content] = []
    told: list[Content] = []
    for stage in STAGES:
        glyph, word, style = GLYPHS[state.stages[stage].status]
        detail = stage_detail(state, stage) if word == "running" else ""
        bare.append(Content.assemble((f"{glyph} {stage}", style)))
        told.append(Content.assemble(bare[-1], f" {detail}" if detail else ""))
    rows = (Content("   ").join(told), Content("  ").join(told), Content("  ").join(bare))
    row = next((row for row in rows if row.cell_length <= width), rows[-1])
    return row.truncate(width, ellipsis=True)


def _stage_columns(state: RunState, now: float, width: int) -> Content:
    column = width // len(STAGES)
    heads: list[Content] = []
    details: list[Content] = []
    for stage in STAGES:
        here = state.stages[stage]
        glyph, word, style = GLYPHS[here.status]
        took = _took(here, now)
        room = column - len(stage) - 6
        fitting = next((text for text in (f"{word} {took}", took) if len(text) <= room), "")
        heads.append(_cell(Content.assemble((f"{glyph} {stage}", style), (f"  {fitting}", MUTED)), column))
        details.append(_cell(Content.assemble(("  " + stage_detail(state, stage), "")), column))
    return Content("\n").join([Content("").join(heads), Content("").join(details)])


def _cell(content: Content, width: int) -> Content:
    return content.truncate(width - 2, ellipsis=True).pad_right(max(0, width - min(content.cell_length, width - 2)))


def _took(stage: StageState, now: float) -> str:
    if stage.started is None or stage.status in ("pending", "skipped"):
        return ""
    return duration(max(0.0, (stage.ended if stage.ended is not None else now) - stage.started))


def bar(done: int, total: int, width: int) -> Content:
    """A bar ``width`` cells wide, exact to half a cell; full only when all is done."""
    halves = min(2 * width, 2 * width * done // total) if total > 0 else 0
    full, half = divmod(halves, 2)
    return Content.assemble(
        ("━" * full + "╸" * half, "$success" if total and done >= total else "$accent"),
        ("─" * (width - full - half), "$border"),
    )


def sample_progress(state: RunState, now: float, width: int) -> Content:
    """Accepted of target, share of the answers that were accepted, samples a minute, time left."""
    facts = [f"{state.accepted} of {state.target}"]
    share, pace, left = state.acceptance, samples_per_minute(state, now), seconds_left(state, now)
    if share is not None:
        facts.append(f"{share:.0%} accepted")
    if pace is not None:
        facts.append(rate(pace))
    if state.accepted < state.target and state.stages["generate"].status == "running":
        facts.append("first answer awaited" if left is None else f"{duration(left)} left")
    return _progress("samples ", state.accepted, state.target, facts, width)


def generation_facts(state: RunState, width: int) -> Content | None:
    """Calls in flight, what was rejected and failed and why, requests, tokens; ``None`` before the first request."""
    if not state.requests:
        return None
    facts = list(words.generation_facts(state))
    while len(facts) > 1 and len("teacher ") + len(" · ".join(facts)) > width:
        facts.pop()
    return Content.assemble(("teacher  ", MUTED), " · ".join(facts)).truncate(width, ellipsis=True)


def rate(per_minute: float) -> str:
    """``2.5/min``, or by the hour where it is slow."""
    return f"{per_minute:.1f}/min" if per_minute >= 1 else f"{60 * per_minute:.1f}/h"


def training_progress(state: RunState, now: float, width: int) -> Content | None:
    """Steps done, loss, S beside its target, time left; ``None`` before training."""
    if (plan := state.plan) is None:
        return None
    last = state.steps[-1] if state.steps else None
    step = last.step if last else plan.start_step
    facts = [f"step {step} of {plan.iters}"]
    if last is not None:
        target = f" (S* {plan.target_s:.2%})" if plan.target_s else ""
        facts += [f"loss {last.loss:.3f}", f"S {last.s:.2%}{target}"]
    if (left := training_seconds_left(state, now)) is not None:
        facts.append(f"{duration(left)} left")
    return _progress("training", step, plan.iters, facts, width)


def bereft(state: RunState) -> RunState:
    """The state of a run whose core has ended: what was running is not running any more."""
    stages = {
        name: replace(stage, status="stopped", ended=state.updated_at) if stage.status == "running" else stage
        for name, stage in state.stages.items()
    }
    instances = {number: replace(instance, in_flight={}) for number, instance in state.instances.items()}
    return replace(state, stages=stages, instances=instances, children={}, download=None)


def _progress(label: str, done: int, total: int, facts: list[str], width: int) -> Content:
    """Label, bar, facts; facts that leave no room for a bar of ten cells are left out from the end."""
    while len(facts) > 1 and len(label) + 14 + len(" · ".join(facts)) > width:
        # The time left, the last, is worth more than what stands before it.
        facts = [*facts[:-2], facts[-1]] if len(facts) > 2 else facts[:1]
    text = " · ".join(facts)
    room = max(4, width - len(label) - len(text) - 3)
    return Content.assemble((f"{label} ", MUTED), bar(done, total, room), "  ", text).truncate(width, ellipsis=True)


def pressure(reading: Pressure | None, width: int) -> Content:
    """Memory, its pressure, processors, disk, what the children hold: one line, the most important first.

    Where there is little room it is told shorter, and then the last are left out.
    """
    if reading is None:
        return Content.assemble(("memory …", MUTED))
    named = [_fact(name, size(held)) for name, held in _by_size(reading.children)]
    total = sum(reading.children.values())
    summed = [_fact("children", f"{len(named)}, {size(total)}")] if named else []
    stalled = [_fact("stalled", f"{reading.stalled:.1f}%")] if reading.stalled is not None else []
    for parts, gap in (
        ([*_machine(reading), *named, *stalled], "   "),
        ([*_machine(reading), *summed, *stalled], "   "),
        ([*_machine(reading, short=True), *summed, *stalled], "  "),
    ):
        row = Content(gap).join(parts)
        if row.cell_length <= width:
            return row
    while row.cell_length > width and len(parts) > 1:
        parts.pop()
        row = Content(gap).join(parts)
    return row.truncate(width, ellipsis=True)


def _machine(reading: Pressure, *, short: bool = False) -> list[Content]:
    facts = [
        _fact("memory", _of(reading.total - reading.available, reading.total)),
        Content.assemble(("pressure ", MUTED), (reading.level, _LEVEL_STYLES[reading.level])),
        _fact("cpu", f"{reading.cpu:.0f}%"),
    ]
    if reading.gpus:
        facts.append(_gpus(reading.gpus, short=short))
    return [*facts, _fact("disk", size(reading.disk_free) + ("" if short else " free"))]


def _gpus(gpus: tuple[Gpu, ...], *, short: bool) -> Content:
    """All of them in one: the mean of how busy they are, the sum of their memory."""
    busy = [gpu.busy for gpu in gpus if gpu.busy is not None]
    used, total = (sum(value for gpu in gpus if (value := getattr(gpu, of)) is not None) for of in ("used", "total"))
    told = [f"{sum(busy) / len(busy):.0f}%"] if busy else []
    if used and not (short and told):
        told.append(_of(used, total) if total else size(used))
    return _fact("gpu" if len(gpus) == 1 else f"gpu ×{len(gpus)}", ", ".join(told))


def _fact(name: str, value: str) -> Content:
    return Content.assemble((f"{printable(name)} ", MUTED), value)


def _of(part: int, whole: int) -> str:
    """``1.5 of 16.0 GiB``, or each with its unit if they differ."""
    (number, unit), (_, of_unit) = size(part).split(), size(whole).split()
    return f"{number if unit == of_unit else size(part)} of {size(whole)}"


def _by_size(children: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(children.items(), key=lambda child: -child[1])


def memory_advice(state: RunState, reading: Pressure, key: KeyNames) -> tuple[str, str]:
    """That memory is short, and what to do about it: title and text."""
    title = "Memory is nearly used up" if reading.level == "critical" else "Memory is short"
    facts = f"{_of(reading.available, reading.total)} are left."
    if reading.stalled:
        facts += f" Work waited for memory {reading.stalled:.0f}% of the last 10 s."
    if reading.children:
        name, held = _by_size(reading.children)[0]
        facts += f" {printable(name)} holds {size(held)}."
    advice = "Close other programs."
    if state.stages["generate"].status == "running" and state.wanted_instances > 1:
        advice = f"Press {key('fewer_instances')} for fewer instances, or close other programs."
    elif state.stages["train"].status == "running":
        advice = (
            f"Close other programs. If that is not enough, stop ({key('stop')}) and train with a smaller "
            "--micro-batch-size."
        )
    return title, f"{facts} {advice}"


def banner(state: RunState, now: float, key: KeyNames, *, gone: bool) -> tuple[str, Content] | None:
    """What must not be overlooked: level and text; ``None`` if there is nothing."""
    if gone:
        if state.active:
            advice = (
                f"Everything that was made is on disk. {key('run_all')} starts a new core and goes on where it was."
            )
            return "error", Content.assemble(("The core has ended, while work was under way.", "bold"), f" {advice}")
        advice = f"{key('run_all')} starts a new one for this run, {key('ask_quit')} leaves."
        return "warning", Content.assemble(("The core has ended, and nothing was under way.", "bold"), f" {advice}")
    if state.error:
        more = (
            f" {key('show_checklist')} shows the whole checklist." if state.stages["check"].status == "failed" else ""
        )
        return "error", Content.assemble((printable(state.error), "bold"), " ", printable(state.hint), more)
    if state.paused:
        until = ""
        if state.paused_until is not None:
            clock = time.strftime("%H:%M", time.localtime(state.paused_until))
            until = f" Goes on at {clock}, in {duration(max(0.0, state.paused_until - now))}."
        advice = f" {printable(state.paused_advice)}" if state.paused_advice else ""
        return "warning", Content.assemble(("Waiting: ", "bold"), printable(state.paused), ".", (until, "bold"), advice)
    return None


def notices(posted: tuple[NoticePosted, ...], count: int, width: int) -> Content:
    """The last ``count`` notices, a line each, the newest last."""
    return Content("\n").join(
        Content.assemble(
            (time.strftime("%H:%M:%S ", time.localtime(notice.at)), MUTED),
            (printable(notice.text.replace("\n", " ")), _NOTICE_STYLES[notice.level]),
        ).truncate(width, ellipsis=True)
        for notice in posted[-count:]
    )


def instance(number: int, state: InstanceState, now: float, *, stopped: bool = False) -> Content:
    """Title of a generator's pane; ``stopped``: a person stopped this one."""
    parts = (f"generator {number}", "stopped" if stopped else "", instance_words(state, now))
    return Content(" · ".join(part for part in parts if part))


def empty_generator(state: RunState, key: KeyNames) -> str:
    """What a generator's pane says while its log is empty."""
    if state.active and state.stages["generate"].status in ("pending", "running"):
        return "The log begins when the teacher is ready."
    return f"Nothing yet. {key('run_all')} runs every stage, {key('generate')} only generates."
