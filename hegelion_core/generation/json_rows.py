"""Rows of a data set's JSON files, one after the other.

Not through Arrow: there a first line that is ``null``, or objects that nest without end, end the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.sample_rows import THROUGH, bounded_lines
from hegelion_core.regular import open_regular
from hegelion_core.unreadable import UNREADABLE

SUFFIXES = (".json", ".jsonl", ".ndjson")
LARGEST = 1 << 30
"""Bytes of a file that is one document, which has to be held; lines are not."""
_BOM = b"\xef\xbb\xbf"

Row = Mapping[str, object]


class JsonRows:
    """The rows of some files, which can be read again and again.

    A file holds an object a line; or it is one document: a list of objects or of texts (as a column ``text``), or, if
    its name ends in ``.json``, an object.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """Nothing is read yet."""
        self._paths = paths

    def __iter__(self) -> Iterator[Row]:
        """Each row.

        Raises:
            OSError: a file cannot be read.
            UserError: a line is no JSON object; it names file and line.
        """
        for path in self._paths:
            with open_regular(path, THROUGH) as file:
                yield from _document(path, file) if _is_document(path, file) else _lines(path, file)


def _is_document(path: Path, file: BinaryIO) -> bool:
    first = next((line for line, _ in bounded_lines(file) if line.removeprefix(_BOM).strip()), b"")
    file.seek(0)
    text = first.removeprefix(_BOM).strip()
    return text.startswith(b"[") or (path.suffix.lower() == ".json" and text.startswith(b"{") and text[-1:] != b"}")


def _lines(path: Path, file: BinaryIO) -> Iterator[Row]:
    for number, (line, _) in enumerate(bounded_lines(file), start=1):
        if content := (line.removeprefix(_BOM) if number == 1 else line).strip():
            place = f"{path}, line {number}"
            yield _object(_decoded(content, place), place)


def _document(path: Path, file: BinaryIO) -> Iterator[Row]:
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UserError(
            f"{path}: is one JSON document of more than {LARGEST >> 20} MiB.",
            "Write it as JSON lines: an object a line.",
            ExitCode.USAGE,
        )
    found = _decoded(content.removeprefix(_BOM), str(path))
    for number, row in enumerate(found if isinstance(found, list) else [found], start=1):
        yield {"text": row} if isinstance(row, str) else _object(row, f"{path}, row {number}")


def _decoded(content: bytes, place: str) -> object:
    try:
        return msgspec.json.decode(content)
    except UNREADABLE as error:
        fault = error
    if b"NaN" in content or b"Infinity" in content:  # no JSON, but Python and pandas write it
        try:
            found: object = json.loads(content)
        except (ValueError, RecursionError):
            pass
        else:
            return found
    raise _no_object(place, str(fault))


def _object(found: object, place: str) -> Row:
    if not isinstance(found, dict):
        raise _no_object(place, f"but {'null' if found is None else type(found).__name__}")
    return found


def _no_object(place: str, why: str) -> UserError:
    return UserError(f"{place}: is not a JSON object ({why}).", "Mend or remove it.", ExitCode.USAGE)
