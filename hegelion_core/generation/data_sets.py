"""Prompts from a data set of the hub, or from a local folder or file in the hub's layout, through ``datasets``.

Rows are streamed, and of Parquet files only the prompt column is read, so that a large data set costs little. JSON
files that lie here are read by ``json_rows``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.json_rows import SUFFIXES, JsonRows
from hegelion_core.generation.prompt_files import COLUMNS, SourcePrompt

_FILE_KINDS = {".parquet": "parquet", **dict.fromkeys(SUFFIXES, "json"), ".csv": "csv"}
LOOKED_AT = 100
"""Rows in which the columns are looked for: of JSON a row holds only what it has."""
HUB_TIMEOUT = 10.0
"""Seconds for the hub to say what a data set's newest commit is."""
_CHOICES = "Give a hub name (owner/name), a local folder or data file, 'bundled', or a prompt file."


@dataclass(frozen=True)
class OpenedDataSet:
    """A split that is there and has prompts."""

    name: str
    """Data set, resolved revision where it has one, and split: what is recorded as the source."""
    column: str
    rows: Iterable[Mapping[str, object]]

    def texts(self, column: str) -> Iterator[tuple[str, object]]:
        """Each prompt and what stands in another column.

        Raises:
            UserError: reading fails on the way.
        """
        try:
            for row in self.rows:
                text = row.get(self.column)
                yield text if isinstance(text, str) else "", row.get(column)
        except _faults() as error:
            raise _cannot_read(self.name, error, here="@" not in self.name) from None

    def prompts(self) -> Iterator[SourcePrompt]:
        """The split's prompts, in its own order; a row without one gives an empty text.

        Raises:
            UserError: reading fails on the way.
        """
        try:
            for number, row in enumerate(self.rows):
                text = row.get(self.column)
                yield SourcePrompt(text if isinstance(text, str) else "", self.name, number)
        except _faults() as error:
            raise _cannot_read(self.name, error, here="@" not in self.name) from None


def open_data_set(
    dataset: str, split: str, revision: str | None, folder: Path, more: Sequence[str] = ()
) -> OpenedDataSet:
    """Find a data set, its split and its prompt column; reads its first rows.

    Args:
        dataset: name on the hub, or a local folder or data file; relative paths are below ``folder``.
        split: must be there; a data file is a split of any name.
        revision: of the hub data set; none: the newest, which is resolved and recorded.
        folder: the workspace.
        more: columns that are wanted beside the prompts.

    Raises:
        UserError: not there or not reachable; no such split or column (with those that exist).
    """
    local = folder / Path(dataset).expanduser()
    here = local.exists()
    commit = None if here else _resolve(dataset, revision)
    build = _local(local, split) if here else _builder(dataset, revision=commit)
    try:
        builder = build({})
        files = builder.config.data_files
        if split not in files:
            raise UserError(
                f"The data set {dataset} has no split {split!r}.",
                f"It has {', '.join(map(str, files))}: choose one of them as the split (--split).",
                ExitCode.USAGE,
            )
        name = f"{dataset}@{commit}/{split}" if commit else f"{dataset}/{split}"
        where = f"{dataset}, split {split}"
        paths = [Path(str(file)) for file in files[split]] if here else []
        if paths and all(path.suffix.lower() in SUFFIXES for path in paths):
            rows = JsonRows(paths)
            return OpenedDataSet(name, _prompt_column(rows, where, more), rows)
        column = _prompt_column(builder.as_streaming_dataset(split), where, more)
        if hasattr(builder.config, "columns"):
            builder = build({"columns": [column, *more]})
        return OpenedDataSet(name, column, builder.as_streaming_dataset(split))
    except _faults() as error:
        raise _cannot_read(dataset, error, here=here) from None


class _Config(Protocol):
    data_files: Mapping[str, Iterable[object]]


class _Builder(Protocol):
    """What is used of a ``datasets.DatasetBuilder``."""

    config: _Config

    def as_streaming_dataset(self, split: str) -> Iterable[Mapping[str, object]]: ...


_Build = Callable[[Mapping[str, object]], _Builder]
"""Makes a builder with options of its kind."""


def _local(path: Path, split: str) -> _Build:
    if path.is_dir():
        return _builder(str(path))
    kind = _FILE_KINDS.get(path.suffix.lower())
    if kind is None:
        raise UserError(
            f"{path}: is not a data file; known are {', '.join(_FILE_KINDS)}.",
            "Give a text file as the prompt file (--prompt-file).",
            ExitCode.USAGE,
        )
    return _builder(kind, data_files={split: [str(path)]})


def _resolve(dataset: str, revision: str | None) -> str:
    """The commit of a hub data set: asked first, since the hub's own client says at once what is wrong.

    Raises:
        UserError: there is none of that name, it may not be read, or the hub cannot be reached.
    """
    if dataset.startswith((".", "/", "~")) or dataset.count("/") > 1:
        raise UserError(f"{dataset}: there is no such folder or file.", _CHOICES, ExitCode.USAGE)
    from httpx2 import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    nothing_here = f"There is no folder or file {dataset} here"
    try:
        return str(HfApi().dataset_info(dataset, revision=revision, timeout=HUB_TIMEOUT).sha)
    except HFValidationError:
        raise UserError(f"{nothing_here}, and it is no name of the hub's.", _CHOICES, ExitCode.USAGE) from None
    except GatedRepoError:
        hint = "Ask for access on its page, and set HF_TOKEN (or 'hf auth login')."
        raise UserError(f"The data set {dataset} is gated.", hint, ExitCode.NOT_READY) from None
    except RepositoryNotFoundError:
        raise UserError(f"{nothing_here}, and the hub has no such data set.", _CHOICES, ExitCode.USAGE) from None
    except RevisionNotFoundError:
        hint = "Name a commit, a branch or a tag of it (--revision)."
        raise UserError(f"The data set {dataset} has no revision {revision!r}.", hint, ExitCode.USAGE) from None
    except (HTTPError, OSError) as error:
        raise UserError(
            f"{nothing_here}, and the hub cannot be reached: {str(error).splitlines()[0][:200]}.",
            f"Check the network. {_CHOICES}",
            ExitCode.NOT_READY,
        ) from None


def _builder(path: str, **arguments: object) -> _Build:
    def build(options: Mapping[str, object]) -> _Builder:
        import datasets

        datasets.disable_progress_bars()
        made: _Builder = datasets.load_dataset_builder(path, **arguments, **options)
        return made

    return build


def _prompt_column(rows: Iterable[Mapping[str, object]], where: str, more: Sequence[str]) -> str:
    first: dict[str, object] = {}
    for row in islice(rows, LOOKED_AT):
        first = {**row, **{name: value for name, value in first.items() if value is not None}}
    if not first:
        raise UserError(f"{where}: holds no rows.", "Choose another split.", ExitCode.USAGE)
    if missing := [name for name in more if name not in first]:
        raise UserError(
            f"{where}: has no column {missing[0]}; it has {', '.join(map(str, first))}.",
            "Name another data set or split.",
            ExitCode.USAGE,
        )
    for name in COLUMNS:
        if isinstance(first.get(name), str):
            return name
    raise UserError(
        f"{where}: has no column of prompts; it has {', '.join(map(str, first))}.",
        f"A column of texts named {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]} is needed.",
        ExitCode.USAGE,
    )


def _faults() -> tuple[type[Exception], ...]:
    """What ``datasets`` raises for data sets that are not there, not reachable or not readable."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HTTPError

    return (OSError, ValueError, KeyError, TypeError, RuntimeError, DatasetsError, HTTPError)


def _cannot_read(dataset: str, error: Exception, *, here: bool) -> UserError:
    reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    advice = f"Mend what is there. {_CHOICES}" if here else f"Check the network. {_CHOICES}"
    code = ExitCode.USAGE if here else ExitCode.FAILED
    return UserError(f"The data set {dataset} cannot be read: {reason.rstrip('.')}.", advice, code)
