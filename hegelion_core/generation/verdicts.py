"""What the sample contract said of each line that was ever looked at: a cache beside the sample file.

To check 100,000 rows takes a minute, to hash them less than a second. So a verdict is kept under the hash of its line:
a line that was changed, moved or added by anyone is found out, and the file stays the only truth. The cache may be
deleted at any time; one that was written by another version of the contract is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from hegelion_core import workspace
from hegelion_core.dialectic.contract import fingerprint
from hegelion_core.regular import open_regular, read_regular

DIGEST = 16
"""Bytes of a line's hash."""
_ID = 16  # hex digits of a prompt id
_NO_ID = b"-" * _ID
_RECORD = 2 * DIGEST + _ID + 1


class Verdict(msgspec.Struct, frozen=True):
    """What a line holds."""

    prompt_id: str = ""
    """Of the prompt whose sample it is; empty: no usable sample."""
    foreign: bool = False
    """Another program wrote it."""
    by_hand: bool = False
    """A person made it of a rejected answer: it counts only while a decision says so."""
    canonical: bool = False
    """Its output stands in the line as ``render_output`` writes it: nothing has to be parsed to use it."""


UNUSABLE = Verdict()


def digest(line: bytes) -> bytes:
    """What a line is known by, whatever stands around it: white space, an end of either kind, or none."""
    return hashlib.blake2b(line.strip(), digest_size=DIGEST).digest()


def cache_path(samples: Path) -> Path:
    """Where the cache of a sample file lies."""
    return samples.with_name(f".{samples.name}.verdicts")


def load(path: Path) -> dict[bytes, Verdict]:
    """The verdicts by ``digest``; empty where there are none, or of another contract. Torn records are left out."""
    try:
        head, *records = read_regular(path).split(b"\n")
    except OSError:
        return {}
    if head != _head():
        return {}
    found: dict[bytes, Verdict] = {}
    with contextlib.suppress(ValueError):  # damaged from here on
        for record in records:
            if len(record) == _RECORD:
                found[bytes.fromhex(record[: 2 * DIGEST].decode("ascii"))] = _decode(record[2 * DIGEST :])
    return found


class Following:
    """The verdicts of a cache as they are wanted line by line: they lie in the order of the sample file.

    Two blocks of them are held, so memory does not grow with the file. A line that was moved far is not found, which
    costs only time: whoever asks judges it anew.
    """

    def __init__(self, path: Path) -> None:
        """The cache of a file, or none."""
        self._records = _records(path)
        self._blocks = [self._block(), self._block()]

    def get(self, name: bytes) -> Verdict | None:
        """What is known of a line."""
        record = self._blocks[0].get(name)
        if record is None and (record := self._blocks[1].get(name)) is not None:
            self._blocks = [self._blocks[1], self._block()]
        with contextlib.suppress(ValueError):  # damaged: judged anew
            return None if record is None else _decode(record)
        return None

    def _block(self) -> dict[bytes, bytes]:
        return dict(itertools.islice(self._records, _BLOCK))


_BLOCK = 4096


def _records(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The records of a cache as they stand there, by ``digest``."""
    with contextlib.suppress(OSError, ValueError), open_regular(path) as file:  # not hexadecimal: damaged from here on
        if file.readline(len(_head()) + 2).rstrip(b"\n") == _head():
            while len(record := file.read(_RECORD + 1)) == _RECORD + 1:
                yield bytes.fromhex(record[: 2 * DIGEST].decode("ascii")), record[2 * DIGEST : _RECORD]


def save(path: Path, verdicts: Iterable[tuple[bytes, Verdict]]) -> None:
    """Write the cache anew. Whatever keeps it from being written is no fault of the samples."""
    with contextlib.suppress(OSError):
        records = (_encode(name, verdict) for name, verdict in verdicts)
        workspace.replace(path, b"\n".join([_head(), *records, b""]), durable=False)


def add(path: Path, name: bytes, verdict: Verdict) -> None:
    """Append a verdict."""
    add_all(path, [(name, verdict)])


def add_all(path: Path, found: Sequence[tuple[bytes, Verdict]]) -> None:
    """Append verdicts; a cache of another contract is left as it is."""
    try:
        fd = workspace.open_own(path, os.O_WRONLY | os.O_APPEND, make=False)
    except FileNotFoundError:
        save(path, found)
        return
    except OSError:
        return
    with contextlib.suppress(OSError):
        os.write(fd, b"".join(_encode(name, verdict) + b"\n" for name, verdict in found))
    os.close(fd)


def is_there(path: Path) -> bool:
    """Whether a cache of this contract lies there, whole or not."""
    with contextlib.suppress(OSError), open_regular(path) as file:
        return file.readline(len(_head()) + 2).rstrip(b"\n") == _head()
    return False


def _head() -> bytes:
    return f"verdicts 3 {fingerprint()}".encode()


def _encode(name: bytes, verdict: Verdict) -> bytes:
    prompt = verdict.prompt_id.removeprefix("p-").encode() or _NO_ID
    origin = b"h" if verdict.by_hand else b"f" if verdict.foreign else b"o"
    return name.hex().encode() + prompt + (origin.upper() if verdict.canonical else origin)


_RECORDED = re.compile(rb"(?:[0-9a-f]{16}|-{16})[ohfOHF]")


def _decode(record: bytes) -> Verdict:
    """Raises ``ValueError`` where it is no verdict."""
    if _RECORDED.fullmatch(record) is None:
        raise ValueError("no verdict")
    prompt = record[:_ID]
    if prompt == _NO_ID:
        return UNUSABLE
    mark = record[_ID:]
    origin = mark.lower()
    return Verdict(
        f"p-{prompt.decode('ascii')}", foreign=origin == b"f", by_hand=origin == b"h", canonical=origin != mark
    )
