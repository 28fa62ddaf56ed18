"""``hegelion-console convert``: samples to training rows; with IN and OUT by itself, otherwise as a stage of a run."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hegelion_core.commands.bars import bar
from hegelion_core.commands.options import COMMON, CONTEXT, TEMPLATE, flags_of, setting
from hegelion_core.commands.stage import run_stage
from hegelion_core.commands.streams import write, write_result
from hegelion_core.commands.text import printable
from hegelion_core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from hegelion_core.conversion.chat_template import ChatTokenizer
    from hegelion_core.conversion.lengths import TooLong
    from hegelion_core.conversion.rendering import ChatFormat
    from hegelion_core.conversion.rows import Tally
    from hegelion_core.settings import Settings
    from hegelion_core.workspace import Workspace


@click.command(context_settings=CONTEXT)
@click.argument("source", metavar="[IN]", required=False, type=click.Path())
@click.argument("target", metavar="[OUT]", required=False, type=click.Path())
@TEMPLATE
@setting("--model", "training.model", "Student, whose chat template is used.")
@click.option(
    "--verify", is_flag=True, help="Encode every row with the student's tokenizer; fail if a trace is lost. Needs OUT."
)
@click.option("--force", is_flag=True, help="Let OUT replace a file that holds no training rows.")
@COMMON
@click.pass_context
def convert(
    context: click.Context, /, source: str | None, target: str | None, *, verify: bool, force: bool, **values: object
) -> None:
    """Turn samples into training rows with the student's own chat template.

    With IN and OUT the one file is converted into the other, here and now, whatever else is at work. Killed, the same
    command goes on where it was. What cannot be converted is counted by reason, with the first lines' numbers. Without
    OUT it is the stage of a run, with the files of the settings.

    \b
    Examples:
      hegelion-console convert artifacts/data/hegelion_kimi_training_data.jsonl artifacts/data/hegelion_scu_ready.jsonl
      hegelion-console convert samples.jsonl rows.jsonl --model bundled --verify
      hegelion-console convert
    """
    if target is None:
        if verify or force:
            raise click.UsageError("--verify and --force want IN and OUT.")
        run_stage("convert", ("convert",), {**values, "generation__output": source})
        return
    from hegelion_core.settings import resolve
    from hegelion_core.workspace import Workspace

    root = Path(str(values["workspace"])).resolve()
    demo = bool(values["demo"])
    place = Workspace(root, demo)
    settings = resolve(
        root, flags_of({**values, "generation__output": source, "conversion__output": target}), demo=demo
    )
    work = _Conversion(place, settings.settings, as_json=bool(values["as_json"]))
    work.refuse(force=force)
    if values["dry_run"]:
        write_result(f"Would convert {printable(str(work.source))} into {printable(str(work.target))}.\n")
        return
    context.exit(work.run(verify=verify, anew=bool(values["new"])))


class _Conversion:
    """One file into another."""

    def __init__(self, place: Workspace, settings: Settings, *, as_json: bool) -> None:
        self.source = place.resolve(settings.generation.output)
        self.target = place.resolve(settings.conversion.output)
        self._place = place
        self._settings = settings
        self._as_json = as_json

    def refuse(self, *, force: bool) -> None:
        """Raise if the target is a file that someone else made."""
        from hegelion_core.conversion.rendering import looks_like_rows

        if force or not self.target.is_file() or self.target.stat().st_size == 0 or looks_like_rows(self.target):
            return
        if self.source.exists() and self.source.samefile(self.target):
            return  # told later, in its own words
        raise UserError(
            f"{self.target}: holds no training rows, so it is not replaced.",
            "Give another file for the rows, or say --force.",
            ExitCode.USAGE,
        )

    def run(self, *, verify: bool, anew: bool) -> ExitCode:
        """Convert, and say what became of the lines."""
        from hegelion_core.conversion import origin
        from hegelion_core.conversion.convert import ConversionStoppedError, Hooks, convert_file, forget
        from hegelion_core.conversion.lengths import too_long
        from hegelion_core.generation.sample_rows import open_samples

        with open_samples(self.source):
            pass  # a mistake in its name is told before a model is looked for
        made_of = origin.key_of(self.source, self._settings)
        begun = time.perf_counter()
        tokenizer, format_ = self._student(need_tokenizer=verify)
        if anew:
            forget(self.target)
        stop = _stopped_by_signals()
        with bar(self.source.stat().st_size, "converting") as progress:

            def check(rows: Path) -> None:
                if verify and tokenizer is not None:
                    from hegelion_core.conversion.verify import Verifier

                    Verifier(tokenizer, self._settings.training.model, format_).file(rows, progress)

            try:
                tally = convert_file(
                    self.source,
                    self.target,
                    format_,
                    Hooks(log=self._say, stop=stop.is_set, progress=progress, check=check),
                )
            except ConversionStoppedError:
                self._say("Stopped. The same command goes on from here.")
                return ExitCode.INTERRUPTED
        if self._place.artifacts in self.target.parents:  # where a run would look; other folders are left alone
            origin.note(self.target, made_of, tally)
        long = too_long(self.target, tokenizer, self._settings.training.max_seq_length) if tokenizer else None
        self._tell(tally, long, format_.name, time.perf_counter() - begun, verified=verify)
        return ExitCode.DONE

    def _student(self, *, need_tokenizer: bool) -> tuple[ChatTokenizer | None, ChatFormat]:
        from hegelion_core.conversion.chat_template import load_tokenizer
        from hegelion_core.conversion.rendering import chatml, student_format
        from hegelion_core.models.loading import locate_tokenizer

        model, template = self._settings.training.model, self._settings.conversion.template
        if template == "chatml" and not need_tokenizer:
            return None, chatml()
        folder = locate_tokenizer(model, self._place.models, self._downloading)
        tokenizer = load_tokenizer(folder)
        return tokenizer, chatml() if template == "chatml" else student_format(tokenizer, model)

    def _downloading(self, what: str, done: int, total: int | None) -> None:
        self._say(f"Downloading {what}: {done} of {total or '?'} bytes")

    def _say(self, line: str) -> None:
        write(sys.stderr, printable(line) + "\n")

    def _tell(self, tally: Tally, long: TooLong | None, form: str, seconds: float, *, verified: bool) -> None:
        if self._as_json:
            import msgspec

            result = {
                "rows": tally.rows,
                "skipped": dict(tally.skipped),
                "first_lines": tally.places,
                "too_long": long.facts() if long else None,
                "path": str(self.target),
                "form": form,
                "verified": verified,
                "seconds": round(seconds, 3),
            }
            write_result(msgspec.json.encode(result).decode() + "\n")
            return
        from hegelion_core.commands.words import nearby

        verdict = ", each verified" if verified else ""
        lines = [f"{tally.rows} rows in {nearby(str(self.target))} ({form} form{verdict})."]
        lines += tally.words("Not converted")
        lines += [said] if long and (said := long.words()) else []
        write_result(printable("\n".join(lines)) + "\n")


def _stopped_by_signals() -> threading.Event:
    """Set by the first signal that asks to stop; a second Ctrl+C ends at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    return stop
