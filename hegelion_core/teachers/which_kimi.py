"""Which ``kimi`` is installed: Kimi Code, the legacy kimi-cli, or an archived one that no longer works."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hegelion_core.dialectic.parsing import clean
from hegelion_core.supervisor import Child, Supervisor
from hegelion_core.teachers.faults import classify
from hegelion_core.teachers.kimi_output import Dialect
from hegelion_core.teachers.teacher import TeacherFault

PROBE_TIMEOUT = 60.0
"""Seconds for ``kimi --version``; a first start on a busy machine takes long."""
FIRST_ARCHIVED = (1, 52)
"""From this version on the legacy program only prints that it is archived."""

INSTALL = "npm install -g @moonshot-ai/kimi-code (Node 22.19 or later), then run 'kimi' and sign in with /login"
WITHOUT = "'--teacher local' needs no account."
_MAX_READ = 4096
_MAX_WRITTEN = 1 << 20  # bytes; a version is a line


@dataclass(frozen=True)
class Kimi:
    """An installed program that can be used."""

    path: Path
    version: str
    dialect: Dialect


def read_version(path: Path, text: str) -> Kimi:
    """What ``kimi --version`` says: ``2.1.0`` is Kimi Code, ``kimi, version 1.51.0`` the legacy program.

    Raises:
        TeacherFault: an archived release, or words that are not understood.
    """
    text = clean(text).strip()
    if (legacy := re.search(r"^kimi(?:-cli)?, version (\d+)\.(\d+)(\S*)", text, re.MULTILINE)) is not None:
        version = f"{legacy[1]}.{legacy[2]}{legacy[3]}"
        if (int(legacy[1]), int(legacy[2])) >= FIRST_ARCHIVED:
            raise _archived(path, version)
        return Kimi(path, version, "kimi-legacy")
    if (code := re.search(r"^v?(\d+\.\d+\.\d+\S*)$", text, re.MULTILINE)) is not None:
        return Kimi(path, code[1], "kimi-code")
    if "archived" in text.lower():
        raise _archived(path, "1.52 or later")
    shown = text.splitlines()[0][:80] if text else "nothing"
    raise TeacherFault("protocol", f"{path} --version said {shown!r}, so this is no known Kimi.", f"{INSTALL}.")


class Memory(Protocol):
    """What is known of programs from earlier."""

    def version(self, program: Path) -> Kimi | None:
        """What a program is, if that is known."""

    def learn_version(self, kimi: Kimi) -> None:
        """A program said what it is."""


async def find_kimi(
    name: str,
    path: str,
    supervisor: Supervisor,
    environment: Mapping[str, str],
    seconds: float = PROBE_TIMEOUT,
    known: Memory | None = None,
) -> Kimi:
    """The first ``kimi`` that can be used and is the wanted one.

    Args:
        name: ``kimi-cli`` (whichever is there), ``kimi-code`` or ``kimi-legacy``.
        path: folders to look in, as in ``PATH``.
        supervisor: runs ``kimi --version``.
        environment: the whole environment of that child.
        seconds: how long each probe may take.
        known: is asked before a program, and told what it says.

    Raises:
        TeacherFault: none is there, or why each that is there can't be used.
    """
    faults: list[TeacherFault] = []
    for candidate in _candidates(path):
        try:
            kimi = known.version(candidate) if known is not None else None
            if kimi is None:
                kimi = await _probe(candidate, supervisor, environment, seconds)
                if known is not None:
                    known.learn_version(kimi)
        except TeacherFault as fault:
            faults.append(fault)
            continue
        if name in ("kimi-cli", kimi.dialect):
            return kimi
        other = f"{candidate} is {kimi.dialect} {kimi.version}, not {name}."
        faults.append(TeacherFault("protocol", other, f"Use --teacher {kimi.dialect}, or kimi-cli for whichever."))
    if faults:
        raise faults[0]
    if (lame := next(_not_executable(path), None)) is not None:
        raise TeacherFault("protocol", f"{lame} is there, but is no program that can be run.", f"chmod +x {lame}")
    raise TeacherFault("protocol", "No 'kimi' was found on PATH.", f"{INSTALL}. {WITHOUT}")


def _candidates(path: str) -> Iterator[Path]:
    return (found for found in _found(path) if os.access(found, os.X_OK))


def _not_executable(path: str) -> Iterator[Path]:
    return (found for found in _found(path) if not os.access(found, os.X_OK))


def _found(path: str) -> Iterator[Path]:
    for folder in dict.fromkeys(path.split(os.pathsep)):
        candidate = Path(folder or ".") / "kimi"
        if candidate.is_file():
            yield candidate.absolute()


async def _probe(path: Path, supervisor: Supervisor, environment: Mapping[str, str], seconds: float) -> Kimi:
    with tempfile.TemporaryDirectory(prefix="hegelion-") as scratch:
        folder = Path(scratch)
        out, err = folder / "out", folder / "err"
        try:
            child = await supervisor.spawn(
                "kimi-version",
                [str(path), "--version"],
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=err,
                max_file=16 * _MAX_WRITTEN,
            )
        except OSError as error:
            raise TeacherFault("protocol", f"{path} cannot be run: {error.strerror}.", f"{INSTALL}.") from None
        try:
            code = await asyncio.wait_for(_short_answer(child, out, err), seconds)
        except TimeoutError:
            raise TeacherFault("timeout", f"{path} --version did not end in {seconds:.0f} s.", f"{INSTALL}.") from None
        finally:
            await child.stop(grace=1.0)
        output, errors = _head(out), _head(err)
    if code != 0:
        fault = classify("kimi-code", code, output, errors or output)
        raise TeacherFault(fault.kind, f"{path} --version: {fault.message}", fault.hint)
    return read_version(path, output or errors)


async def _short_answer(child: Child, *outputs: Path) -> int:
    """The exit code of a program that says what it is, and no more.

    Raises:
        TeacherFault: it prints without end.
    """
    while child.running:
        if any(path.stat().st_size > _MAX_WRITTEN for path in outputs):
            raise TeacherFault("protocol", "kimi --version prints without end and was stopped.", f"{INSTALL}.")
        await asyncio.wait([asyncio.ensure_future(child.wait())], timeout=0.1)
    return await child.wait()


def _head(path: Path) -> str:
    with open(path, "rb") as file:
        return file.read(_MAX_READ).decode("utf-8", "replace")


def _archived(path: Path, version: str) -> TeacherFault:
    return TeacherFault(
        "protocol",
        f"{path} is kimi-cli {version}: archived by its makers, it answers nothing any more.",
        f"Install Kimi Code: {INSTALL}. Or the last one that works: pip install 'kimi-cli==1.51.*'. {WITHOUT}",
    )
