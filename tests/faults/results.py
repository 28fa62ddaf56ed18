"""The results of cases: a file that is only appended to, so that whoever stops a series goes on with it later."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the file: what became of a case."""

    seed: int
    number: int
    group: str
    train: bool = False
    struck: int = 0
    strikes: int = 0
    starts: int = 0
    seconds: float = 0.0
    faults: tuple[str, ...] = ()


class Results:
    """The results in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.all: list[Result] = []
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    self.all.append(msgspec.json.decode(line, type=Result))

    def of(self, seed: int, *, train: bool) -> dict[int, Result]:
        """By the number of the case; a case that was run twice counts as it went last."""
        return {found.number: found for found in self.all if (found.seed, found.train) == (seed, train)}

    def add(self, result: Result) -> None:
        """Keep one."""
        self.all.append(result)
        with open(self._path, "ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")


@dataclass
class _Line:
    cases: int = 0
    strikes: int = 0
    struck: int = 0
    starts: int = 0
    seconds: float = 0.0
    broken: int = 0


def summary(results: list[Result]) -> str:
    """A table by class."""
    lines: defaultdict[str, _Line] = defaultdict(_Line)
    for result in results:
        for name in (result.group, "all"):
            line = lines[name]
            line.cases += 1
            line.strikes += result.strikes
            line.struck += result.struck
            line.starts += result.starts
            line.seconds += result.seconds
            line.broken += bool(result.faults)
    head = "| class | cases | faults planned | came in time | starts | seconds a case | broken |\n" + "|---" * 7 + "|\n"
    names = sorted(lines, key=lambda name: (name == "all", name))
    return head + "\n".join(
        f"| {name} | {line.cases} | {line.strikes} | {line.struck} | {line.starts} "
        f"| {line.seconds / line.cases:.2f} | {line.broken} |"
        for name in names
        if (line := lines[name])
    )
