"""``hegelion-console ask``: one question argued through: thesis, critics at once, synthesis, answer, judge."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hegelion_core.commands.options import CONTEXT, SET, TEACHER, WORKSPACE, flags_of, setting
from hegelion_core.commands.streams import write_result
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.regular import open_regular

if TYPE_CHECKING:
    from hegelion_core.commands.ask_face import TerminalFace
    from hegelion_core.dialectic.agent_log import AgentEntry
    from hegelion_core.dialectic.council import Preset
    from hegelion_core.generation.dialogue import Plan
    from hegelion_core.settings import Settings

Format = Literal["text", "markdown", "json"]
PATIENCE = 0.5
"""Seconds that an end may take before it is said that one waits for it."""


@click.command(context_settings=CONTEXT)
@click.argument("question", required=False)
@click.option("--query", metavar="TEXT", help="The question; '-' reads standard input.")
@click.option("--council", is_flag=True, help="Three critics instead of one: Logician, Empiricist, Ethicist.")
@click.option(
    "--preset",
    type=click.Choice(["council", "security", "editorial", "debate", "comprehensive"]),
    help="Which council: security (Security Engineer), editorial (Ruthless Editor), debate (Devil's Advocate), "
    "comprehensive (all of council, and the Devil's Advocate).",
)
@click.option("--judge", is_flag=True, help="Have the whole scored from 0 to 10.")
@setting("--model", "generation.teacher", "Teacher: kimi-cli, kimi-code, kimi-legacy, openai or local.", "--teacher")
@TEACHER
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    show_default=True,
    help="text comes part by part; markdown and json at the end, on standard output.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--log-file",
    type=click.Path(path_type=Path),
    help="Append the result as a line to this agent log, which 'dataset' reads.",
)
@WORKSPACE
@SET
@click.pass_context
def ask(
    context: click.Context,
    /,
    *,
    question: str | None,
    query: str | None,
    council: bool,
    preset: Preset | None,
    judge: bool,
    form: Format,
    as_json: bool,
    log_file: Path | None,
    workspace: Path,
    **values: object,
) -> None:
    """Argue one question through: a thesis, critics of it at once, a synthesis with an answer, and a judge.

    Each part is a call of its own. With --model local it works without an account, but the bundled model is small and
    what it says is poor. It may run beside a generation.

    \b
    Examples:
      hegelion-console ask --query "Should we implement feature X?" --council --judge
      hegelion-console ask "Is this design safe?" --preset security --format markdown > answer.md
      hegelion-console ask --query "Should we ship on Fridays?" --model local --log-file agent_logs.jsonl
      hegelion-console ask --query - --teacher-url http://localhost:8080/v1 --teacher-model NAME < question.txt
    """
    text = _question(question, query)
    if log_file is not None:
        _check_log(log_file)
    from hegelion_core.generation.dialogue import plan_to_ask
    from hegelion_core.settings import resolve

    root = workspace.resolve()
    settings = resolve(root, flags_of(values)).settings
    plan = plan_to_ask(preset or ("council" if council else None), judge=judge)
    context.exit(asyncio.run(_run(text, plan, settings, root, "json" if as_json else form, log_file)))


async def _run(query: str, plan: Plan, settings: Settings, root: Path, form: Format, log_file: Path | None) -> ExitCode:
    from hegelion_core.commands.ask_face import TerminalFace

    face = TerminalFace(query, plan.calls, parts=form == "text")
    asking = asyncio.create_task(_ask(query, plan, settings, root, face))
    _on_signals(asking, lambda: face.note("Stopping. Ctrl+C again ends it at once."))
    try:
        entry = await asking
    except asyncio.CancelledError:
        _tell_interrupted(face, plan, form)
        return ExitCode.INTERRUPTED
    _show(entry, face, form)
    if log_file is not None:
        _append(log_file, entry)
        face.note(f"Appended to {log_file}.")
    return ExitCode.DONE


async def _ask(query: str, plan: Plan, settings: Settings, root: Path, face: TerminalFace) -> AgentEntry:
    from hegelion_core.generation.asking import asker
    from hegelion_core.workspace import Workspace

    async with face.live(), asker(Workspace(root), settings, face) as teacher:
        return await teacher.ask(query, plan)


def _on_signals(asking: asyncio.Task[AgentEntry], tell: Callable[[], None]) -> None:
    """The first signal ends the calls and tells what there is; a second Ctrl+C ends at once (the guard tidies up).

    ``tell`` is called if the first one takes its time.
    """
    told: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if told and number == signal.SIGINT:
            os._exit(ExitCode.INTERRUPTED)
        told.append(number)
        asking.cancel()
        loop.call_later(PATIENCE, tell_that_one_waits)

    def tell_that_one_waits() -> None:
        if not asking.done():
            tell()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)


def _question(question: str | None, query: str | None) -> str:
    """The question's text.

    Raises:
        UserError: there is none, or there are two.
    """
    from hegelion_core.dialectic.parsing import clean

    if question is not None and query is not None:
        raise UserError("The question was given twice.", "Give --query or the text alone.", ExitCode.USAGE)
    text = query if question is None else question
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8-sig") if sys.stdin else ""
        except UnicodeDecodeError:
            raise UserError("Standard input is not UTF-8.", "Convert the question first.", ExitCode.USAGE) from None
    text = clean(text or "").strip()
    if not text:
        raise UserError("There is no question.", 'Ask one: --query "Should we implement feature X?"', ExitCode.USAGE)
    return text


def _check_log(path: Path) -> None:
    """Nothing is asked that could not be kept.

    Raises:
        UserError: the agent log cannot be written.
    """
    from hegelion_core.checklist import output_file
    from hegelion_core.events import CheckFailed

    found = output_file("agent log", path)
    if isinstance(found, CheckFailed):
        raise UserError(found.detail, "Name a file that you can write to with --log-file.", ExitCode.USAGE)


def _append(path: Path, entry: AgentEntry) -> None:
    """Append the result as one durable line; a torn last line of another writer is ended first."""
    from hegelion_core import workspace
    from hegelion_core.dialectic.agent_log import encode_entry

    try:
        torn = b""
        with contextlib.suppress(FileNotFoundError), open_regular(path) as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                torn = b"" if file.read(1) == b"\n" else b"\n"
        workspace.append(path.resolve(), torn + encode_entry(entry))
    except OSError as error:
        raise explain(error) from None


def _show(entry: AgentEntry, face: TerminalFace, form: Format) -> None:
    from hegelion_core.commands import ask_words
    from hegelion_core.dialectic.agent_log import encode_entry

    if form == "json":
        write_result(encode_entry(entry).decode())
    elif form == "markdown":
        write_result(ask_words.markdown(entry))
    elif entry.judge is not None:
        face.part("JUDGE", "\n".join(ask_words.judgement_lines(entry.judge)))
    if form != "markdown":
        for note in ask_words.notes(entry):
            face.note(note)
    face.note(ask_words.cost(entry))


def _tell_interrupted(face: TerminalFace, plan: Plan, form: Format) -> None:
    """Say what there was when it was stopped; of the parts that were not shown yet, the text."""
    from hegelion_core.commands import ask_words

    sofar = face.sofar
    if form != "text" and sofar.thesis:
        write_result(ask_words.markdown(sofar) if form == "markdown" else _partial(face))
    there = ["the thesis"] * bool(sofar.thesis)
    there += [f"{len(sofar.critiques)} of {len(plan.critics)} critiques"] * bool(sofar.critiques)
    there += ["the synthesis"] * bool(sofar.synthesis)
    face.note(f"Stopped. There is {' and '.join(there) or 'nothing yet'}; nothing was logged.")


def _partial(face: TerminalFace) -> str:
    from msgspec.structs import replace

    from hegelion_core.dialectic import council
    from hegelion_core.dialectic.agent_log import encode_entry

    sofar = face.sofar
    entry = replace(sofar, antithesis=council.antithesis(sofar.critiques), metadata={"interrupted": True})
    return encode_entry(entry).decode()
