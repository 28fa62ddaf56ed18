"""What the sample contract said of each line that was ever looked at: a cache beside the sample file.

To check 100,000 rows takes a minute, to hash them less than a second. So a verdict is kept under the hash of its line:
a line that was changed, moved or added by anyone is found out, and the file stays the only truth. The cache may be
deleted at any time; one that was written by another version of the contract is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hegelion_core import workspace
from hegelion_core.dialectic.contract import fingerprint

DIGEST = 16
"""Bytes of a line's hash."""
_ID = 16  # hex digits of a prompt id
_NO_ID = b"-" * _ID
_RECORD = 2 * DIGEST + _ID + 1


@dataclass(frozen=True)
class Verdict:
    """What a line holds."""

    prompt_id: str = ""
    """Of the prompt whose sample it is; empty: no usable sample."""
    foreign: bool = False
    """Another program wrote it."""
    by_hand: bool = False
    """A person made it of a rejected answer: it counts only while a decision says so."""


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
        head, *records = path.read_bytes().split(b"\n")
    except OSError:
        return {}
    if head != _head():
        return {}
    found: dict[bytes, Verdict] = {}
    with contextlib.suppress(ValueError):  # not hexadecimal: damaged from here on
        for record in records:
            if len(record) == _RECORD:
                found[bytes.fromhex(record[: 2 * DIGEST].decode("ascii"))] = _decode(record[2 * DIGEST :])
    return found


def save(path: Path, verdicts: Iterable[tuple[bytes, Verdict]]) -> None:
    """Write the cache anew. Whatever keeps it from being written is no fault of the samples."""
    with contextlib.suppress(OSError):
        records = (_encode(name, verdict) for name, verdict in verdicts)
        workspace.replace(path, b"\n".join([_head(), *records, b""]), durable=False)


def add(path: Path, name: bytes, verdict: Verdict) -> None:
    """Append a verdict."""
    record = _encode(name, verdict) + b"\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        save(path, [(name, verdict)])
        return
    except OSError:
        return
    with contextlib.suppress(OSError):
        os.write(fd, record)
    os.close(fd)


def _head() -> bytes:
    return f"verdicts 2 {fingerprint()}".encode()


def _encode(name: bytes, verdict: Verdict) -> bytes:
    prompt = verdict.prompt_id.removeprefix("p-").encode() or _NO_ID
    return name.hex().encode() + prompt + (b"h" if verdict.by_hand else b"f" if verdict.foreign else b"o")


def _decode(record: bytes) -> Verdict:
    prompt = record[:_ID]
    if prompt == _NO_ID:
        return UNUSABLE
    return Verdict(f"p-{prompt.decode('ascii')}", foreign=record[_ID:] == b"f", by_hand=record[_ID:] == b"h")
