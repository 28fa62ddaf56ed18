"""Base and adapter in words for the screen. Pure. Colours are names of the theme; no meaning is in a colour alone."""

from __future__ import annotations

from textual.content import Content

from hegelion_core.comparing.exchange import Side
from hegelion_core.comparing.rows import Row
from hegelion_core.dialectic.reading import parts_so_far
from hegelion_core.evaluation.summary import Evaluation
from hegelion_tui.sample_words import MUTED, body, one_line

ORIGIN_FROM = 56
"""Cells that the list needs to say where a question comes from."""
_WHOLE, _BROKEN = ("✓", "$success"), ("✗", "$warning")


def head(student: str, adapter: str, told: Content, width: int) -> Content:
    """One line: who is compared, and what there is to tell, which keeps its room."""
    who = Content.assemble(
        ("compare ", "bold $primary"), one_line(student), (" with and without ", MUTED), one_line(adapter)
    )
    room = max(8, width - told.cell_length - 3)
    return Content.assemble(who.truncate(room, ellipsis=True), "   " if told else "", told)


def told(newest: Row | None, *, training: bool, gone: bool) -> Content:
    """What is under way, and what to mind."""
    if gone:
        return Content.assemble(("the core is gone: nothing can be asked", "bold $error"))
    words = {"waiting": "starting …", "loading": "loading …", "answering": "answering …", "ended": ""}
    parts = [Content.assemble((words[newest.progress], "$accent"))] if newest is not None else []
    if training:
        parts.append(Content.assemble(("training runs too: memory and processor are shared", "$warning")))
    return Content("  ").join(part for part in parts if part)


def columns(width: int) -> Content:
    """The names of the list's columns."""
    origin = "from        " if width >= ORIGIN_FROM else ""
    return Content.assemble((f"{origin}base  adapter  question", MUTED))


def row(shown: Row, width: int) -> Content:
    """A line of the list: origin, whether each trace is whole, question."""
    origin = f"{shown.origin:<12}" if width >= ORIGIN_FROM else ""
    return Content.assemble(
        (origin, MUTED),
        _mark(shown, shown.base, 6),
        _mark(shown, shown.adapter, 9),
        one_line(shown.prompt),
    )


def _mark(shown: Row, side: Side, width: int) -> Content:
    if side.ending:
        glyph, style = _WHOLE if side.complete_trace else _BROKEN
    elif shown.failed is not None:
        glyph, style = "!", "$error"
    else:
        glyph, style = "…", "$accent"
    return Content.assemble((f"{glyph:^4}".ljust(width), style))


def facts(shown: Row, side: Side, width: int) -> Content:
    """One side's figures: whether the trace is whole, how it ended, tokens, seconds, speed; briefly where need be."""
    words = _facts(shown, side, brief=False)
    return words if words.cell_length <= width else _facts(shown, side, brief=True)


def _facts(shown: Row, side: Side, *, brief: bool) -> Content:
    parts: list[Content] = []
    if side.ending:
        glyph, style = _WHOLE if side.complete_trace else _BROKEN
        trace = "trace" if brief else "whole trace" if side.complete_trace else "no whole trace"
        parts.append(Content.assemble((f"{glyph} {trace}", style)))
    elif shown.progress == "answering" and not brief:
        parts.append(Content.assemble(("answering", "$accent")))
    if side.tokens:
        cut = {"cut": " (cut)", "stopped": " (stopped)"}.get(side.ending, "")
        parts.append(Content(f"{side.tokens:,}{'' if brief else ' tokens'}{cut}"))
    if side.seconds:
        parts.append(Content(f"{side.seconds:.{0 if brief else 1}f} s"))
    if (speed := side.tokens_per_second) is not None:
        parts.append(Content(f"{speed:.1f} {'t/s' if brief else 'tokens/s'}"))
    return Content(" · ").join(parts)


def page(shown: Row, side: Side, *, raw: bool) -> Content:
    """One side's answer: its parts apart, or as the model wrote it; and what stood against it."""
    found: list[Content] = []
    if raw:
        found.append(Content(body(side.text)))
    else:
        for name, text in parts_so_far(side.text):
            found.append(Content.assemble((name, "bold $primary"), "\n" if name else "", body(text)))
    if shown.failed is not None and not side.ending:
        found.append(Content.assemble((one_line(shown.failed.message), "$error"), "\n", body(shown.failed.hint)))
    elif side.ending and not side.text.strip():
        found.append(Content.assemble(("(nothing)", MUTED)))
    return Content("\n\n").join(part for part in found if part)


def waiting(shown: Row) -> str:
    """Stands in a pane before the first token."""
    words = {"waiting": "The process is being started.", "loading": "Loading student and adapter."}
    return words.get(shown.progress, "")


def empty(*, adapter: bool | None) -> Content:
    """Stands in the panes when there is nothing to show; ``adapter``: whether there is one, if that is known."""
    if adapter is False:
        return Content.assemble("There is no adapter yet.\n", ("Train first; then ask here.", MUTED))
    return Content.assemble(("Ask something below: both answer as you watch.", MUTED))


def asked_with(shown: Row) -> str:
    """How the answers were taken from the models."""
    if shown.question is None:
        return "evaluation"
    return f"asked, {decoding(shown.question.temperature)}"


def decoding(temperature: float) -> str:
    """A temperature in words."""
    return "greedy" if temperature == 0 else f"temperature {temperature:g}"


def figures(found: Evaluation | None, width: int, *, lines: int) -> Content:
    """The evaluation's figures, base against adapter: a small table, or one line where there is no room for it."""
    if found is None:
        return Content.assemble(("No evaluation yet: its prompts and figures will stand here.", MUTED))
    if lines < 4:
        return _figure_line(found, width)
    rows = [_figure("", "base", "adapter", "", MUTED)]
    if (base := found.base_loss_nats_per_token) is not None and (loss := found.adapter_loss_nats_per_token) is not None:
        rows.append(_figure("validation loss", f"{base:.3f}", f"{loss:.3f}", f"nats per token, {loss - base:+.3f}"))
        held_out = f"{found.validation_rows:,} rows, {found.validation_tokens:,} tokens"
        rows.append(_figure("", "", "", held_out, MUTED))
    else:
        rows.append(_figure("validation loss", "-", "-", "no rows were held out"))
    if total := len(found.results):
        shares = (found.base_complete_trace_share, found.adapter_complete_trace_share)
        one, other = (f"{share:.0%}" for share in shares)
        counts = " and ".join(f"{round(share * total)}" for share in shares)
        rows.append(_figure("whole traces", one, other, f"{counts} of {total} answers"))
        one = f"{sum(each.base.tokens for each in found.results) / total:.0f}"
        other = f"{sum(each.adapter.tokens for each in found.results) / total:.0f}"
        rows.append(_figure("answer", one, other, "tokens, the mean"))
    rows.append(_figure("time", f"{found.base_seconds:.1f}", f"{found.adapter_seconds:.1f}", "s, loss and answers"))
    return Content("\n").join(line.truncate(max(1, width), ellipsis=True) for line in rows[:lines])


def _figure(name: str, base: str, adapter: str, unit: str, style: str = "") -> Content:
    return Content.assemble(
        (f"{name:<16}", MUTED), (f"{base:>8}  ", style), (f"{adapter:>8}  ", style or "bold"), (unit, MUTED)
    )


def _figure_line(found: Evaluation, width: int) -> Content:
    unit = " nats/token" if width >= 72 else ""
    parts: list[str] = []
    if (base := found.base_loss_nats_per_token) is not None and (loss := found.adapter_loss_nats_per_token) is not None:
        parts.append(f"loss {base:.3f} → {loss:.3f}{unit}")
    if total := len(found.results):
        shares = (found.base_complete_trace_share, found.adapter_complete_trace_share)
        one, other = (round(share * total) for share in shares)
        parts.append(f"whole traces {one} → {other} of {total}")
    line = Content.assemble(("evaluation " if unit else "", MUTED), " · ".join(parts) or "without rows or prompts")
    return line.truncate(max(1, width), ellipsis=True)
