"""``hegelion-console dataset``: agent logs or samples as a data set that trainers read, here or on the hub."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from hegelion_core.commands.bars import bar
from hegelion_core.commands.options import CONTEXT, DEMO, SET, WORKSPACE, flags_of, setting
from hegelion_core.commands.streams import write, write_result
from hegelion_core.commands.text import printable
from hegelion_core.errors import ExitCode

if TYPE_CHECKING:
    from hegelion_core.data_sets.build import Build
    from hegelion_core.data_sets.card import Details
    from hegelion_core.data_sets.formats import Content, Format, Recipe, RejectedFrom, Student
    from hegelion_core.data_sets.outputs import Shares, Split, Target
    from hegelion_core.data_sets.rows import Row
    from hegelion_core.settings import Settings
    from hegelion_core.training.standard.data import TextTokenizer
    from hegelion_core.workspace import Workspace

FORMATS = ("dpo", "instruction", "alpaca", "sharegpt", "messages", "prompt-completion", "mlx")
SHARE = click.FloatRange(0.0, 0.9)


@click.command(context_settings=CONTEXT)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True, help="What the rows shall be.")
@click.option(
    "--rejected",
    type=click.Choice(["thesis", "antithesis", "both", "source"]),
    default="thesis",
    show_default=True,
    help="dpo: what the synthesis is preferred to; source: the answer, to the one that the data set rejects.",
)
@click.option("--max-length-ratio", type=click.FloatRange(1.0), help="dpo: leave out pairs that differ more in length.")
@click.option("--content", type=click.Choice(["trace", "answer"]), default="trace", show_default=True,
              help="Whether an answer holds its trace.")  # fmt: skip
@click.option("--system", metavar="TEXT", help="System text in place of the rows' own; '' for none.")
@click.option("--min-score", type=click.FloatRange(0, 10), help="Only results that a judge gave at least this.")
@click.option("--model", metavar="VALUE", help="mlx: student; rows are texts in its own form, the trace kept.")
@click.option(
    "--verify", metavar="MODEL", help="Render every row with this student's template; fail if it loses a trace."
)
@click.option("--valid", type=SHARE, help="Share of the prompts for validation [0; mlx: 0.1].")
@click.option("--test", type=SHARE, default=0.0, help="Share of the prompts for a test [0].")
@click.option("--split-seed", type=int, default=0, help="Seed of the splits [0].")
@setting("--dataset", "generation.dataset", "--rejected source: the data set that has the rejected answers.")
@setting("--split", "generation.split", "Its split.")
@setting("--revision", "generation.revision", "Its revision, on the hub.")
@click.option("--push-to-hub", "hub_name", metavar="OWNER/NAME", help="Upload it, with a card; private if it is new.")
@click.option("--public", is_flag=True, help="On the hub everyone may see it.")
@click.option("--license", "license_", metavar="NAME", help="Licence that the card states; without one it states none.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Language for the card; may be repeated.")
@click.option("--force", is_flag=True, help="Replace a file, or a card on the hub, that is none of ours.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on standard output, words on standard error.")
@WORKSPACE
@DEMO
@SET
@click.pass_context
def dataset(
    context: click.Context,
    /,
    source: Path,
    target: Path,
    *,
    format_: str,
    rejected: str,
    max_length_ratio: float | None,
    content: str,
    system: str | None,
    min_score: float | None,
    model: str | None,
    verify: str | None,
    valid: float | None,
    test: float,
    split_seed: int,
    hub_name: str | None,
    public: bool,
    license_: str | None,
    languages: tuple[str, ...],
    force: bool,
    as_json: bool,
    workspace: Path,
    demo: bool,
    **values: object,
) -> None:
    """Turn agent logs or samples into a data set that trainers read.

    IN is an agent log ('ask --log-file'), a sample file, or rows of another writer, a JSON object a line. OUT is a
    .jsonl or .parquet file; for mlx a folder. Rows are never written with an empty side: what cannot be used is counted
    by reason.

    \b
    Examples:
      hegelion-console dataset agent_logs.jsonl training_data.jsonl --format dpo
      hegelion-console dataset artifacts/data/hegelion_kimi_training_data.jsonl pairs.parquet --format dpo \\
        --rejected source --max-length-ratio 2
      hegelion-console dataset samples.jsonl artifacts/data/mlx_chat --format mlx --model bundled
      hegelion-console dataset samples.jsonl data.parquet --format messages --push-to-hub me/dialectics
    """
    from hegelion_core.data_sets import hub
    from hegelion_core.data_sets.card import Details
    from hegelion_core.data_sets.formats import Recipe
    from hegelion_core.data_sets.outputs import Shares, Target
    from hegelion_core.settings import resolve
    from hegelion_core.workspace import Workspace

    if model is not None and format_ != "mlx":
        raise click.UsageError("--model is for --format mlx.")
    root = workspace.resolve()
    place = Workspace(root, demo)
    source, target = place.resolve(source), place.resolve(target)
    where = Target.folder(target) if format_ == "mlx" else Target.file(target)
    where.refuse(source, force=force)
    if hub_name is not None:
        hub.check(hub_name)
    settings = resolve(root, flags_of(values), demo=demo).settings
    share = (0.1 if format_ == "mlx" else 0.0) if valid is None else valid
    work = _Making(place, settings, source, where, as_json=as_json)
    recipe = Recipe(
        format=cast("Format", format_),
        rejected=cast("RejectedFrom", rejected),
        content=cast("Content", content),
        system=system,
        longest_ratio=max_length_ratio,
        least_score=min_score,
        student=work.student(model) if model is not None else None,
    )
    work.make(recipe, Shares(valid=share, test=test, seed=split_seed), work.checker(verify))
    if hub_name is not None:
        details = Details(name=hub_name.partition("/")[2], license=license_, languages=languages)
        work.push(hub_name, recipe, details, public=public, force=force)
    work.tell()
    context.exit(ExitCode.DONE)


class _Making:
    """One data set, from its input to the hub."""

    def __init__(self, place: Workspace, settings: Settings, source: Path, target: Target, *, as_json: bool) -> None:
        self._place = place
        self._settings = settings
        self._source = source
        self._target = target
        self._as_json = as_json
        self._build: Build | None = None
        self._made: dict[Split, tuple[Path, int]] = {}
        self._url = ""

    def student(self, model: str) -> Student:
        """The form in which ``mlx_lm.lora`` reads texts for a student."""
        from hegelion_core.conversion.chat_template import load_tokenizer
        from hegelion_core.conversion.rendering import student_format
        from hegelion_core.data_sets.formats import Student
        from hegelion_core.models.loading import locate_tokenizer
        from hegelion_core.training.standard.data import mlx_text

        tokenizer = load_tokenizer(locate_tokenizer(model, self._place.models, self._downloading))
        texts = cast("TextTokenizer", tokenizer)
        return Student(format=student_format(tokenizer, model), text=lambda text: mlx_text(text, texts))

    def checker(self, model: str | None) -> Callable[[Row], None]:
        """What looks whether a student's template keeps a row's trace."""
        if model is None:
            return lambda row: None
        from hegelion_core.conversion.chat_template import load_tokenizer
        from hegelion_core.conversion.verify import check_rendering
        from hegelion_core.data_sets.formats import conversation
        from hegelion_core.models.loading import locate_tokenizer

        tokenizer = load_tokenizer(locate_tokenizer(model, self._place.models, self._downloading))
        return lambda row: check_rendering(tokenizer, model, conversation(row))

    def make(self, recipe: Recipe, shares: Shares, check: Callable[[Row], None]) -> None:
        """Write the files."""
        from hegelion_core.data_sets.build import build
        from hegelion_core.data_sets.outputs import Staging

        size = self._source.stat().st_size if self._source.is_file() else 0
        folder = next(iter(self._target.paths.values())).parent
        with self._worse(recipe) as worse, Staging.beside(folder) as staging:
            with bar(size, "reading") as progress:
                self._build = build(self._source, recipe, staging, self._say, progress, worse, check)
            self._made = staging.deal(self._target, shares)

    def push(self, name: str, recipe: Recipe, details: Details, *, public: bool, force: bool) -> None:
        """Upload them, with a card."""
        from hegelion_core.data_sets import hub
        from hegelion_core.data_sets.card import card

        assert self._build is not None  # noqa: S101
        names: dict[str, tuple[str, int]] = {
            {"valid": "validation"}.get(split, split): (f"data/{split}{path.suffix}", count)
            for split, (path, count) in self._made.items()
        }
        text = card(self._build, recipe, names, details)
        files = {f"data/{split}{path.suffix}": path for split, (path, _) in self._made.items()}
        self._url = hub.push(name, files, text, public=public, force=force, log=self._say)

    def tell(self) -> None:
        """Say what became of the lines."""
        from hegelion_core.commands.words import nearby

        assert self._build is not None  # noqa: S101
        tally = self._build.tally
        if self._as_json:
            import msgspec

            result = {
                "rows": tally.rows,
                "splits": {name: {"path": str(path), "rows": count} for name, (path, count) in self._made.items()},
                "skipped": dict(tally.skipped),
                "first_lines": tally.places,
                "url": self._url,
            }
            write_result(msgspec.json.encode(result).decode() + "\n")
            return
        rows = [("1 row" if count == 1 else f"{count} rows", path) for path, count in self._made.values()]
        lines = [f"{told} in {nearby(str(path))}." for told, path in rows]
        lines += tally.words("Left out")
        lines += [f"Pushed: {self._url}"] if self._url else []
        write_result(printable("\n".join(lines)) + "\n")

    @contextlib.contextmanager
    def _worse(self, recipe: Recipe) -> Iterator[Callable[[int], str] | None]:
        """The answers that the source rejects, if they are wanted."""
        if recipe.format != "dpo" or recipe.rejected != "source":
            yield None
            return
        from hegelion_core.data_sets.build import open_questions
        from hegelion_core.data_sets.source_answers import RejectedAnswers

        settings = self._settings.generation
        with RejectedAnswers() as answers:
            answers.want(open_questions(self._source))
            if answers.wanted:
                answers.read(settings.dataset, settings.split, settings.revision, self._place.root, self._say)
            yield answers.get

    def _downloading(self, what: str, done: int, total: int | None) -> None:
        self._say(f"Downloading {what}: {done} of {total or '?'} bytes")

    def _say(self, line: str) -> None:
        write(sys.stderr, printable(line) + "\n")
