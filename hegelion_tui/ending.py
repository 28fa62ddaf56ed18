"""How a run ended, in words for the screen: what it made, where that is, what went wrong, what to do next. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from textual.content import Content

from hegelion_core.commands.text import printable
from hegelion_core.commands.words import counts, duration
from hegelion_core.errors import ExitCode
from hegelion_core.run_state import RunState, generation_seconds
from hegelion_tui.keys import KeyNames, names
from hegelion_tui.wording import MUTED, rate

_INDENT = 11
"""Cells for the name of a fact."""


def has_ended(state: RunState) -> bool:
    """Whether the work that was asked for is over, well or not, and no other has begun."""
    return not state.active and state.exit_code is not None


def summary(state: RunState, root: Path, key: KeyNames, width: int) -> Content:
    """All of it, in lines of at most ``width`` cells where words allow it; paths as seen from ``root``."""
    lines = [*_outcome(state, width), Content("")]
    for name, text, path in _facts(state):
        lines += _fact(name, text, _below(path, root), width)
    lines.append(Content(""))
    for action, text in _next_steps(state, root):
        lines += _step(key(action) if action else "", text, width)
    return Content("\n").join(lines)


# What came of it


def _outcome(state: RunState, width: int) -> list[Content]:
    took = f" in {duration(seconds)}" if (seconds := _seconds(state)) else ""
    match state.exit_code:
        case ExitCode.DONE:
            return [Content.assemble((f"✓ Done{took}.", "bold $success"))]
        case ExitCode.INTERRUPTED:
            return [Content.assemble((f"■ Stopped after{took.removeprefix(' in')}." if took else "■ Stopped.",
                                      "bold $warning"))]  # fmt: skip
        case ExitCode.COME_BACK_LATER:
            head = Content.assemble(("■ The teacher's quota is used up.", "bold $warning"))
        case _:
            failed = next((name for name, stage in state.stages.items() if stage.status == "failed"), "the run")
            head = Content.assemble((f"✗ {failed} ended in an error.", "bold $error"))
    told = " ".join(part for part in (printable(state.error), printable(state.hint)) if part)
    return [head, *(Content(line) for line in textwrap.wrap(told, max(20, width)))]


def _seconds(state: RunState) -> float:
    """What the stages of this work took."""
    stages = [state.stages[name] for name in state.requested]
    return sum(
        max(0.0, stage.ended - stage.started)
        for stage in stages
        if stage.started is not None and stage.ended is not None and stage.status not in ("pending", "skipped")
    )


def _facts(state: RunState) -> Iterator[tuple[str, str, str]]:
    """Name, text and path of everything that there is."""
    if state.sample_path or state.accepted:
        yield "samples", _samples(state), state.sample_path
    if wrong := _troubles(state):
        yield "trouble", wrong, ""
    if state.rows is not None:
        skipped = f", skipped {counts(state.rows_skipped, 3)}" if state.rows_skipped else ""
        rows = next(iter(state.stages["convert"].outputs), "")
        yield "rows", f"{state.rows}{skipped}", rows
    if state.steps or state.trained is not None:
        yield "training", _training(state), state.trained.adapter_path if state.trained is not None else ""
    if (result := state.evaluation) is not None:
        yield "evaluation", _evaluation(state), result.path
    if state.report:
        yield "report", "", state.report


def _samples(state: RunState) -> str:
    facts = [f"{state.accepted} of {state.target}"]
    if (share := state.acceptance) is not None:
        facts.append(f"{share:.0%} of the answers accepted")
    made = sum(instance.accepted for instance in state.instances.values())
    if made and (seconds := generation_seconds(state, state.updated_at)) > 0:
        facts.append(rate(60 * made / seconds))
    return ", ".join(facts)


def _troubles(state: RunState) -> str:
    facts = []
    if state.rejected_by_reason:
        facts.append(f"answers rejected: {counts(state.rejected_by_reason, 3)}")
    if state.failed_by_kind:
        facts.append(f"calls failed: {counts(state.failed_by_kind, 3)}")
    if state.set_aside:
        facts.append(f"prompts set aside: {len(state.set_aside)}")
    if state.restarted is not None:
        facts.append(f"training started again: {printable(state.restarted.reason)}")
    return "; ".join(facts)


def _training(state: RunState) -> str:
    if not state.steps:
        return f"{state.trained.steps} steps" if state.trained is not None else ""
    first, last = state.steps[0], state.steps[-1]
    facts = [f"{state.trained.steps} steps" if state.trained is not None else f"step {last.step} of {last.iters}"]
    facts.append(f"loss {first.loss:.3f} → {last.loss:.3f}" if first is not last else f"loss {last.loss:.3f}")
    target = f" (S* {state.plan.target_s:.2%})" if state.plan is not None and state.plan.target_s else ""
    facts.append(f"S {last.s:.2%}{target}")
    if state.trained is None:
        facts.append(f"checkpoint at step {saved.step}" if (saved := state.checkpoint) else "no checkpoint yet")
    elif 0 < state.trained.kept_step < state.trained.steps:
        facts.append(f"kept: step {state.trained.kept_step}")
    return ", ".join(facts)


def _evaluation(state: RunState) -> str:
    if (result := state.evaluation) is None:
        return ""
    facts = [f"loss {result.base_loss:.3f} → {result.adapter_loss:.3f}"] if result.validation_rows else []
    if result.prompts:
        facts.append(f"whole traces {result.base_traces:.0%} → {result.adapter_traces:.0%}")
    return ", ".join(facts)


# What to do next


def _next_steps(state: RunState, root: Path) -> list[tuple[str, str]]:
    """Action and what it is good for; without an action it is told only."""
    look = [("show_samples", "look through the samples")] if state.accepted else []
    checklist = ("show_checklist", "what is ready, what is wrong, and mend it")
    leave = ("ask_quit", "leave; everything is on disk")
    match state.exit_code:
        case ExitCode.DONE if state.evaluation is not None and state.trained is not None:
            adapter = _below(state.trained.adapter_path, root)
            return [
                *((name, "ask base and adapter the same question") for name in ("show_compare",) if name in names()),
                *look, leave, ("", f"mlx_lm.generate --adapter-path {adapter} loads the adapter."),
                ("", "hegelion-console export --to gguf (or peft, fused) writes it for other programs."),
            ]  # fmt: skip
        case ExitCode.DONE:
            return [("run_all", "go on with the stages that are left"), *look, leave]
        case ExitCode.COME_BACK_LATER:
            return [("run_all", "go on, when the quota has refilled; nothing is lost"), *look, leave]
        case ExitCode.INTERRUPTED:
            return [("run_all", "go on where it was"), *look, leave]
        case _:
            return [checklist, ("run_all", "go on where it was, when that is mended"), *look, leave]


# Drawing


def _fact(name: str, text: str, path: str, width: int) -> list[Content]:
    room = max(20, width - _INDENT)
    told = textwrap.wrap(printable(text), room)
    lines = [Content(line) for line in told]
    lines += [Content.assemble((path[at : at + room], "$primary")) for at in range(0, len(path), room)]
    return _hung([(name.ljust(_INDENT), MUTED)], lines)


def _step(key: str, text: str, width: int) -> list[Content]:
    if not key:
        return [Content.assemble((line, MUTED)) for line in textwrap.wrap(text, max(20, width), break_on_hyphens=False)]
    return _hung([(key.ljust(_INDENT), "bold $primary")], [Content(text)])


def _hung(head: Sequence[tuple[str, str]], lines: Sequence[Content]) -> list[Content]:
    """``lines`` behind ``head``, and below it."""
    heads = [Content.assemble(*head), *[Content(" " * _INDENT)] * (len(lines) - 1)]
    return [Content.assemble(one, line) for one, line in zip(heads, lines, strict=False)]


def _below(path: str, root: Path) -> str:
    """``path`` as seen from the workspace."""
    return printable(str(Path(path).relative_to(root)) if path and Path(path).is_relative_to(root) else path)
