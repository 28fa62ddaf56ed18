"""What a Kimi call leaves in Kimi's home: token counts worth reading, and session folders to be removed.

Every unattended call leaves a session behind. Sessions are filed by the folder in which the program ran, and ours run
in folders with names of their own, so nothing else is ever touched.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hegelion_core.teachers.kimi_output import Dialect
from hegelion_core.unreadable import UNREADABLE

PREFIX = "hegelion-"
"""How the names of our working folders begin."""


@dataclass(frozen=True)
class Usage:
    """What a call cost, as its session tells."""

    prompt_tokens: int
    completion_tokens: int
    truncated: bool
    """The token limit cut the answer; the program's own output does not say so."""
    summarised: bool = False
    """The program found the prompt too long, put a summary in its place and answered that."""


_Tokens = dict[str, int]
"""Token counts: ``output``, and several that begin with ``input`` (fresh, read from a cache, written to it)."""


class _Event(msgspec.Struct, frozen=True):
    type: str = ""
    usage: _Tokens | None = None
    finish_reason: str = msgspec.field(default="", name="finishReason")


class _Payload(msgspec.Struct, frozen=True):
    token_usage: _Tokens | None = None


class _Message(msgspec.Struct, frozen=True):
    payload: _Payload = _Payload()


class _Line(msgspec.Struct, frozen=True):
    type: str = ""
    event: _Event = _Event()
    message: _Message = _Message()


_decoder: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)


def read_usage(wire: Iterable[bytes]) -> Usage | None:
    """The token counts in the lines of a session's ``wire.jsonl``; none where it tells none."""
    counted: list[_Tokens] = []
    truncated = summarised = False
    for line in wire:
        try:
            found = _decoder.decode(line)
        except UNREADABLE:
            continue  # a record of another kind
        summarised |= found.type == "full_compaction.begin" or found.event.type == "full_compaction.begin"
        tokens = found.message.payload.token_usage
        if found.event.type == "step.end":
            tokens = found.event.usage
            truncated = found.event.finish_reason == "max_tokens"
        if tokens is not None:
            counted.append(tokens)
    if not counted:
        return None
    read = sum(count for tokens in counted for name, count in tokens.items() if name.startswith("input"))
    return Usage(read, sum(tokens.get("output", 0) for tokens in counted), truncated, summarised)


def usage_of(home: Path, dialect: Dialect, workdir: Path) -> Usage | None:
    """What the newest session of a working folder cost."""
    pattern = "*/agents/main/wire.jsonl" if dialect == "kimi-code" else "*/wire.jsonl"
    return _newest(wire for folder in _folders(home, dialect, workdir) for wire in folder.glob(pattern))


def _newest(wires: Iterable[Path]) -> Usage | None:
    try:
        with open(max(wires, key=lambda wire: wire.stat().st_mtime_ns), "rb") as file:
            return read_usage(file)
    except (ValueError, OSError):
        return None


def usage_of_session(home: Path, session: str) -> Usage | None:
    """What a session of Kimi Code cost, by the name that the program gave it."""
    if not re.fullmatch(r"[\w-]+", session):
        return None
    return _newest((home / "sessions").glob(f"*/{session}/agents/main/wire.jsonl"))


def remove(home: Path, dialect: Dialect, workdir: Path) -> bool:
    """Delete the sessions of a working folder of ours; whatever cannot be deleted stays. Whether none is left."""
    for folder in _folders(home, dialect, workdir):
        if dialect == "kimi-code":
            for session in folder.glob("session_*"):
                for mark in (home / "sessions" / ".index-dirty").glob(f"{session.name}.*"):
                    mark.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    return not _folders(home, dialect, workdir)


def _folders(home: Path, dialect: Dialect, workdir: Path) -> list[Path]:
    if not workdir.name.startswith(PREFIX):
        return []
    sessions = home / "sessions"
    if dialect == "kimi-code":
        prefix = f"wd_{workdir.name}_"
        try:
            with os.scandir(sessions) as found:
                return [Path(entry.path) for entry in found if entry.name.startswith(prefix)]
        except OSError:
            return []
    name = hashlib.md5(str(workdir).encode(), usedforsecurity=False).hexdigest()
    return [folder for folder in (sessions / name,) if folder.is_dir()]
