"""Prompts from a data set of the hub, or from a local folder or file in the hub's layout, through ``datasets``.

Rows are streamed, and of Parquet files only the prompt column is read, so that a large data set costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.prompt_files import COLUMNS, SourcePrompt

_FILE_KINDS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".csv": "csv"}
_CHOICES = "Give a hub name (owner/name), a local folder or data file, 'bundled', or a prompt file."


@dataclass(frozen=True)
class OpenedDataSet:
    """A split that is there and has prompts."""

    name: str
    """Data set, resolved revision where it has one, and split: what is recorded as the source."""
    column: str
    rows: Iterable[Mapping[str, object]]

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
            raise _cannot_read(self.name, error) from None


def open_data_set(dataset: str, split: str, revision: str | None, folder: Path) -> OpenedDataSet:
    """Find a data set, its split and its prompt column; reads one row.

    Args:
        dataset: name on the hub, or a local folder or data file; relative paths are below ``folder``.
        split: must be there; a data file is a split of any name.
        revision: of the hub data set; none: the newest, which is resolved and recorded.
        folder: the workspace.

    Raises:
        UserError: not there or not reachable; no such split or column (with those that exist).
    """
    local = folder / Path(dataset).expanduser()
    build = _local(local, split) if local.exists() else _from_hub(dataset, revision)
    try:
        builder = build({})
        files = builder.config.data_files
        if split not in files:
            raise UserError(
                f"The data set {dataset} has no split {split!r}.",
                f"It has {', '.join(map(str, files))}: choose one of them as the split.",
                ExitCode.USAGE,
            )
        column = _prompt_column(builder.as_streaming_dataset(split), f"{dataset}, split {split}")
        commit = None if local.exists() else _commit(files[split]) or revision
        if hasattr(builder.config, "columns"):
            builder = (build if local.exists() else _from_hub(dataset, commit))({"columns": [column]})
        name = f"{dataset}@{commit}/{split}" if commit else f"{dataset}/{split}"
        return OpenedDataSet(name, column, builder.as_streaming_dataset(split))
    except _faults() as error:
        raise _cannot_read(dataset, error) from None


class _Files(Protocol):
    origin_metadata: list[tuple[str, ...]]


class _Config(Protocol):
    data_files: Mapping[str, _Files]


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


def _from_hub(dataset: str, revision: str | None) -> _Build:
    if dataset.startswith((".", "/", "~")) or dataset.count("/") > 1:
        raise UserError(f"{dataset}: there is no such folder or file.", _CHOICES, ExitCode.USAGE)
    return _builder(dataset, revision=revision)


def _builder(path: str, **arguments: object) -> _Build:
    def build(options: Mapping[str, object]) -> _Builder:
        import datasets

        datasets.disable_progress_bars()
        made: _Builder = datasets.load_dataset_builder(path, **arguments, **options)
        return made

    return build


def _prompt_column(rows: Iterable[Mapping[str, object]], where: str) -> str:
    first = next(iter(rows), None)
    if first is None:
        raise UserError(f"{where}: holds no rows.", "Choose another split.", ExitCode.USAGE)
    for name in COLUMNS:
        if isinstance(first.get(name), str):
            return name
    raise UserError(
        f"{where}: has no column of prompts; it has {', '.join(map(str, first))}.",
        f"A column of texts named {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]} is needed.",
        ExitCode.USAGE,
    )


def _commit(files: _Files) -> str | None:
    """The commit that the hub's files are of: ``datasets`` keeps (repository, commit) for each."""
    first = files.origin_metadata[0] if files.origin_metadata else ()
    return first[1] if len(first) == 2 else None


def _faults() -> tuple[type[Exception], ...]:
    """What ``datasets`` raises for data sets that are not there, not reachable or not readable."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HTTPError

    return (OSError, ValueError, KeyError, TypeError, RuntimeError, DatasetsError, HTTPError)


def _cannot_read(dataset: str, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    return UserError(f"The data set {dataset} cannot be read: {reason.rstrip('.')}.", f"Check the network. {_CHOICES}")
