"""The page of a report: one HTML document that needs nothing else. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hegelion_core.commands.words import amount, duration, size
from hegelion_core.errors import ExitCode
from hegelion_core.evaluation.summary import GivenAnswer, PromptResult
from hegelion_core.report import pictures
from hegelion_core.report.markup import NOTHING, Child, Node, document, element, style, together
from hegelion_core.report.model import Example, Report, Setting
from hegelion_core.run_state import RunState, StageState, StageStatus, generation_seconds

MARK = "hegelion-console report"
"""By which a page of ours is known."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Even if a text got out of its place, it could load and send nothing."""
_LONGEST = 6_000
"""Characters of a text that are shown."""
_ANSWERS = 8
"""Held-out prompts that are shown with both answers."""
_REASONS = 12
_GLYPHS: dict[StageStatus, tuple[str, str]] = {
    "pending": ("○", ""),
    "running": ("●", "warn"),
    "done": ("✓", "good"),
    "skipped": ("✓", "good"),
    "failed": ("✗", "bad"),
    "stopped": ("■", "warn"),
}


def page(report: Report) -> str:
    """The whole document."""
    state = report.state
    title = f"{state.teacher or 'a teacher'} teaches {_student(report) or 'a student'}"
    head = together(
        (
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="generator", content=MARK),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", f"{title} · {state.run_id}"),
            style(Path(__file__).with_name("style.css").read_text("utf-8")),
        )
    )
    body = element(
        "main",
        _header(report, title),
        _tiles(report),
        _samples(report),
        _training(report),
        _evaluation(report),
        _examples(report.examples),
        _settings(report),
        element("footer", f"Written {_clock(report.written_at)} by hegelion-console. This page loads nothing."),
    )
    return document(head, body)


# The head of the page


def _student(report: Report) -> str:
    """The student's name; of one that lies outside of the workspace, that of its folder."""
    name = _below(report.state.student, report.root)
    return Path(name).name if Path(name).is_absolute() else name


def _header(report: Report, title: str) -> Node:
    state = report.state
    began, ended = _clock(report.history.began), _clock(state.updated_at)
    word, kind = _outcome(report)
    return element(
        "header",
        element("h1", title),
        element("p", f"Run {state.run_id}{' (demo)' if state.demo else ''}, prompts from {state.source}"),
        element("p", f"{began} to {ended}", f", opened {state.openings} times" if state.openings > 1 else None),
        element("p", element("span", word, class_=f"outcome {kind}"), f" {state.error} {state.hint}".rstrip()),
        element(
            "ul",
            *(_stage(name, stage, at_work=report.at_work) for name, stage in state.stages.items()),
            class_="stages",
        ),
    )


def _outcome(report: Report) -> tuple[str, str]:
    state = report.state
    if report.at_work:
        return "● At work when this was written.", "warn"
    if state.active:
        return "■ The core ended without warning; the same command goes on where it was.", "warn"
    match state.exit_code:
        case ExitCode.DONE:
            return "✓ Done.", "good"
        case ExitCode.INTERRUPTED:
            return "■ Stopped.", "warn"
        case ExitCode.COME_BACK_LATER:
            return "■ The teacher's quota was used up.", "warn"
        case None:
            return "○ Nothing was asked of it yet.", ""
        case _:
            return "✗ Ended in an error.", "bad"


def _stage(name: str, stage: StageState, *, at_work: bool) -> Node:
    status = "stopped" if stage.status == "running" and not at_work else stage.status
    glyph, kind = _GLYPHS[status]
    took = stage.ended - stage.started if stage.ended is not None and stage.started is not None else None
    facts = [duration(took)] if took is not None and took >= 0 and stage.status != "skipped" else []
    facts += [stage.detail] if stage.detail and stage.status in ("done", "skipped") else []
    return element(
        "li",
        element("span", glyph, class_=kind or None),
        f" {name} ",
        element("small", ", ".join(facts) or status),
    )


def _tiles(report: Report) -> Node:
    tiles = list(_figures(report))
    if not tiles:
        return NOTHING
    told = (
        element("div", element("dt", name), element("dd", value, element("small", more))) for name, value, more in tiles
    )
    return element("dl", *told, class_="tiles")


def _figures(report: Report) -> Iterator[tuple[str, str, str]]:
    """The figures that say the most: name, value, and what belongs to it."""
    state = report.state
    if state.accepted or state.requests:
        yield "samples", f"{state.accepted:,}", f"of {state.target:,} wanted"
    if state.acceptance is not None:
        yield "answers accepted", f"{state.acceptance:.0%}", _rate(report)
    if state.steps:
        first, last = state.steps[0], state.steps[-1]
        yield (
            "training loss",
            f"{first.loss:.3f} → {last.loss:.3f}",
            f"nats per token, step {first.step} to {last.step}",
        )
        if state.plan is not None and state.plan.target_s:
            yield "S at the end", f"{last.s:.2%}", f"S* {state.plan.target_s:.2%}, λ {last.lambda_after:.4g}"
    if (result := state.evaluation) is not None:
        if result.validation_rows:
            change = f"nats per token ({result.adapter_loss - result.base_loss:+.3f})"
            yield "held-out loss", f"{result.base_loss:.3f} → {result.adapter_loss:.3f}", change
        if result.prompts:
            whole = f"of {_counted(result.prompts, 'held-out answer')}"
            yield "complete traces", f"{result.base_traces:.0%} → {result.adapter_traces:.0%}", whole


def _rate(report: Report) -> str:
    seconds = generation_seconds(report.state, report.state.updated_at)
    if not report.history.made or seconds <= 0:
        return ""
    per_minute = 60 * report.history.made / seconds
    return f"{per_minute:.1f} samples a minute" if per_minute >= 1 else f"{60 * per_minute:.1f} samples an hour"


# Sections


def _samples(report: Report) -> Node:
    state = report.state
    facts: list[tuple[str, Child]] = []
    if state.requests:
        seconds = generation_seconds(state, state.updated_at)
        program = " ".join(part for part in (state.teacher_program or state.teacher, state.teacher_version) if part)
        facts = [
            ("teacher", program),
            ("requests", f"{state.requests:,}"),
            ("tokens", f"{amount(state.prompt_tokens)} read, {amount(state.tokens)} written" if state.tokens else None),
            ("time of generation", duration(seconds)),
            ("rate", _rate(report)),
            ("accepted in this run", f"{report.history.made:,}"),
            ("by another program", f"{state.foreign:,}" if state.foreign else None),
            ("prompts set aside", f"{len(state.set_aside):,}" if state.set_aside else None),
            ("prompts", f"{state.prompts:,}" if state.prompts else None),
            ("left out of the prompts", _reasons(state.prompts_left_out)),
        ]
    if state.sample_path:
        facts.append(("file", _below(state.sample_path, report.root)))
    return _section(
        "Samples",
        pictures.progress(report),
        _card("Generation", _facts(facts)),
        _card("Rejected answers, by reason", _bars(state.rejected_by_reason)),
        _card("Failed requests, by kind", _bars(state.failed_by_kind)),
    )


def _training(report: Report) -> Node:
    state, plan = report.state, report.state.plan
    facts: list[tuple[str, Child]] = []
    if state.rows is not None:
        facts += [("rows converted", f"{state.rows:,}"), ("left out", _reasons(state.rows_skipped))]
    if plan is not None:
        facts += [
            ("steps planned", f"{plan.iters:,}"),
            ("rows", f"{plan.rows:,}, and {plan.validation_rows:,} held out"),
            ("supervised tokens an epoch", f"{plan.tokens_per_epoch:,}"),
            ("LoRA parameters", f"{plan.trainable:,}"),
            ("held by", "the Shannon Control Unit" if plan.target_s else "nothing: mlx-lm's own trainer"),
        ]
    facts += _course(state)
    if state.trained is not None:
        facts.append(("adapter", _below(state.trained.adapter_path, report.root)))
    return _section(
        "Training",
        pictures.loss(report),
        pictures.share(report),
        pictures.strength(report),
        _card("Training", _facts(facts)),
    )


def _course(state: RunState) -> list[tuple[str, Child]]:
    """How the training went."""
    facts: list[tuple[str, Child]] = []
    if state.steps:
        last = state.steps[-1]
        facts = [
            ("last report", f"step {last.step:,}, loss {last.loss:.3f}, {last.tokens_per_second:,.0f} tokens a second"),
            (
                "memory at its highest",
                size(max(step.peak_memory for step in state.steps)) if last.peak_memory else None,
            ),
        ]
    if state.validations:
        best = min(state.validations, key=lambda value: value.loss)
        facts.append(("best validation", f"{best.loss:.3f} nats per token at step {best.step:,}"))
    if state.restarted is not None:
        facts.append(("started again", f"{state.restarted.reason}, at step {state.restarted.step:,}"))
    if (trained := state.trained) is not None:
        kept = f", weights of step {trained.kept_step:,} kept" if trained.kept_step else ""
        facts.append(("finished", f"{trained.steps:,} steps in {duration(trained.seconds)}{kept}"))
    return facts


def _evaluation(report: Report) -> Node:
    found = report.evaluation
    if found is None:
        return NOTHING
    loss, bits = (
        _pair(found.base_loss_nats_per_token, found.adapter_loss_nats_per_token),
        _pair(found.base_bits_per_token, found.adapter_bits_per_token),
    )
    shares = (found.base_complete_trace_share, found.adapter_complete_trace_share)
    rows = _counted(found.validation_rows, "held-out row")
    answers = [_answers(result, opened=number == 0) for number, result in enumerate(found.results[:_ANSWERS])]
    rest = len(found.results) - len(answers)
    return _section(
        "Before and after",
        _card(f"Loss on {rows}, nats per token", _before_after(*loss, "{:.3f}") if loss else None),
        _card("The same in bits per token", _before_after(*bits, "{:.3f}") if bits else None),
        _card(f"Complete traces in {_counted(len(found.results), 'answer')}", _before_after(*shares, "{:.0%}", 1.0)),
        below=[
            element(
                "p", f"{_student(report)}, alone (base) and with the adapter. Training saw none of this.", class_="note"
            ),
            *answers,
            element("p", f"{rest:,} more in {report.state.evaluation.path if report.state.evaluation else 'the run'}")
            if rest > 0
            else None,
        ],
    )


def _pair(one: float | None, other: float | None) -> tuple[float, float] | None:
    return None if one is None or other is None else (one, other)


def _before_after(base: float, adapter: float, form: str, whole: float | None = None) -> Node:
    most = whole or max(base, adapter)
    return element(
        "table",
        _bar("base", base, form.format(base), most, "second"),
        _bar("adapter", adapter, form.format(adapter), most, ""),
    )


def _answers(result: PromptResult, *, opened: bool) -> Node:
    return element(
        "details",
        element("summary", _cut(result.prompt, 240)),
        _text(result.prompt) if len(result.prompt) > 240 else None,
        element(
            "div",
            _part("base", f"base, {_answer_facts(result.base)}", result.base.text),
            _part("adapter", f"adapter, {_answer_facts(result.adapter)}", result.adapter.text),
            class_="pair",
        ),
        open="" if opened else None,
    )


def _answer_facts(answer: GivenAnswer) -> str:
    facts = [_counted(answer.tokens, "token"), "cut by the limit" if answer.cut else "", "complete trace"]
    return ", ".join(fact for fact in facts[: 3 if answer.complete_trace else 2] if fact)


def _examples(examples: Iterable[Example]) -> Node:
    shown = [
        element(
            "details",
            element("summary", _cut(example.prompt, 240), element("small", f" {example.origin}")),
            _text(example.prompt) if len(example.prompt) > 240 else None,
            element(
                "div",
                _part("thesis", "Thesis", example.thesis),
                _part("antithesis", "Antithesis", example.antithesis),
                class_="pair",
            ),
            _part("synthesis", "Synthesis", example.synthesis),
            _part("answer", "Answer", example.answer),
            open="" if number == 0 else None,
        )
        for number, example in enumerate(examples)
    ]
    return _section("Some samples", below=shown)


def _settings(report: Report) -> Node:
    changed = [setting for setting in report.settings if setting.changed]
    every = element(
        "details", element("summary", f"All {len(report.settings)} settings"), _setting_table(report.settings)
    )
    notices = [notice for notice in report.state.notices if notice.level != "info"]
    return _section(
        "Settings and environment",
        _card("Settings other than the defaults", _setting_table(changed) if changed else None),
        _card("Environment", _facts([(name, value) for name, value in report.environment])),
        _card("Notices", _facts([(_clock(notice.at), notice.text) for notice in notices])),
        below=[every] if report.settings else [],
    )


def _setting_table(settings: Iterable[Setting]) -> Node:
    rows = (
        element("tr", element("th", setting.name, title=setting.meaning or None), element("td", setting.value))
        for setting in settings
    )
    return element("table", *rows)


# Their parts


def _section(title: str, *cards: Node | None, below: Iterable[Node | None] = ()) -> Node:
    """A section; nothing if it would be empty."""
    shown, after = [card for card in cards if card is not None], [node for node in below if node is not None]
    if not shown and not after:
        return NOTHING
    grid = element("div", *shown, class_="pair") if shown else None
    return element("section", element("h2", title), grid, *after)


def _card(title: str, content: Node | None) -> Node | None:
    return None if content is None else element("div", element("h3", title), content, class_="card")


def _facts(facts: Iterable[tuple[str, Child]]) -> Node | None:
    rows = [element("tr", element("th", name), element("td", value)) for name, value in facts if value]
    return element("table", *rows) if rows else None


def _bars(counts: Mapping[str, int]) -> Node | None:
    """Counts as bars, the largest first."""
    if not counts:
        return None
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ordered[_REASONS:])
    named = [(name.replace("_", " "), count) for name, count in ordered[:_REASONS]]
    named += [("others", rest)] if rest else []
    most = max(count for _, count in named)
    return element("table", *(_bar(name, count, f"{count:,}", most, "second") for name, count in named))


def _bar(name: str, value: float, told: str, most: float, kind: str) -> Node:
    share = min(100.0, 100 * value / most) if most > 0 else 0.0
    bar = element("span", style=f"width:{share:.1f}%")
    return element(
        "tr",
        element("th", _cut(name, 80)),
        element("td", told, class_="number"),
        element("td", bar if share > 0 else None, class_=f"bar {kind}".rstrip()),
    )


def _part(kind: str, title: str, text: str) -> Node:
    return element("div", element("h3", title), _text(text), class_=f"part {kind}")


def _text(text: str) -> Node:
    """A text of others: as it is, in its own direction, and not endless."""
    return element("p", _cut(text.strip(), _LONGEST), class_="text", dir="auto")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _reasons(counts: Mapping[str, int]) -> str | None:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) or None


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else "?"


def _below(path: str, root: Path) -> str:
    """A path as seen from the workspace."""
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path
