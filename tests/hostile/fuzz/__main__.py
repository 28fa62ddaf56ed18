"""``python -m tests.hostile.fuzz [TARGET ...] [--time 60] [--work FOLDER] [--again FILE]``; ``make fuzz TIME=60``.

Each target runs for so many seconds, one after the other. The corpus stays in ``FOLDER/corpus``, and the same command
goes on with it. What a target could not take is kept in ``FOLDER/found``, and the command that feeds it again is
printed. Ends with 1 if there is such a thing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.fuzz.stretching import feed
from tests.hostile.fuzz.target import MAX_INPUT, Target
from tests.hostile.fuzz.targets import make_targets

_MEMORY = 3072
"""MiB that a target may take in all; the imports alone take some 300."""
_HANGS = 30
"""Seconds on the clock after which libFuzzer ends an input that hangs."""


_WORDS = (
    *("null", "true", "[]", "{}", '""', "-1", "0", "1e308", "9" * 20, "1e-320", '":', '","', "\\u0000", "\\ud800"),
    *("\x1b[2J", "\x1b]0;", "\x9b", "\u2028", "\u202e", "\ufeff", "\u200d", "\u0301", "\u5b57", "\n\n", "\r\n", "\t"),
    *("<thought>", "</thought>", "**THESIS**:", "**ANTITHESIS**:", "**SYNTHESIS**:", "```", "CONTRADICTION:", "data: "),
)
"""What the fuzzer may put in as a whole."""


@dataclass(frozen=True)
class Result:
    """What became of a target."""

    name: str
    executions: int
    seconds: int
    branches: int
    """Of the product, that some input came through."""
    inputs: int
    """Of the corpus, each of which came through something that none before did."""
    found: tuple[Path, ...]


def main() -> int:
    """Run the targets, or one input again."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        targets = make_targets(Path(scratch))
        names = given.targets or list(targets)
        if unknown := [name for name in names if name not in targets]:
            print(f"{unknown[0]}: no such target; there are {', '.join(targets)}.", file=sys.stderr)
            return 2
        if given.again is not None:
            feed(targets[names[0]], given.again.read_bytes())
            print("It was taken well.")
            return 0
        results = [_run(name, targets[name], given.time, given.work, Path(scratch)) for name in names]
    _tell(results)
    return 1 if any(result.found for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing of what reads hostile bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which; all unless given")
    parser.add_argument("--time", type=int, default=60, help="seconds for each")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / f"hegelion-fuzz-{os.getuid()}")
    parser.add_argument("--again", type=Path, help="feed this file to the target, without atheris")
    return parser.parse_args()


def _run(name: str, target: Target, seconds: int, work: Path, scratch: Path) -> Result:
    corpus, seeds, found = work / "corpus" / name, work / "seeds" / name, work / "found"
    for folder in (corpus, seeds, found):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for seed in target.seeds:
        (seeds / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed[:MAX_INPUT])
    words = work / "words"
    words.write_text("".join(f'"{_escaped(word.encode())}"\n' for word in _WORDS))
    before = set(found.iterdir())
    log = work / f"{name}.log"
    command = [sys.executable, "-m", "tests.hostile.fuzz.drive", name, str(scratch)]
    flags = [
        f"-max_total_time={seconds}",
        f"-dict={words}",
        f"-max_len={MAX_INPUT}",
        f"-rss_limit_mb={_MEMORY}",
        f"-timeout={_HANGS}",
        f"-artifact_prefix={found}/{name}-",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    print(f"{name}: {seconds} s, log in {log}", flush=True)
    with log.open("wb") as file:
        subprocess.run([*command, *flags, str(corpus), str(seeds)], stdout=file, stderr=file, check=False)
    result = _read(name, log.read_text("utf-8", "replace"), tuple(sorted(set(found.iterdir()) - before)))
    for path in result.found:
        print(f"FOUND: {path}\n  again: {sys.executable} -m tests.hostile.fuzz {name} --again {path}")
    return result


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _read(name: str, log: str, found: tuple[Path, ...]) -> Result:
    def last(pattern: str) -> int:
        return int((re.findall(pattern, log) or ["0"])[-1])

    if not re.search(r"^Done \d+ runs", log, re.MULTILINE) and not found:
        raise SystemExit(f"{name}: did not run:\n{log[-2000:]}")
    return Result(
        name,
        executions=last(r"stat::number_of_executed_units:\s*(\d+)"),
        seconds=last(r"Done \d+ runs in (\d+) second"),
        branches=last(r"cov: (\d+)"),
        inputs=last(r"corp: (\d+)"),
        found=found,
    )


def _tell(results: list[Result]) -> None:
    print("\n| target | executions | seconds | branches | inputs kept | found |\n|---|---|---|---|---|---|")
    for each in results:
        print(
            f"| {each.name} | {each.executions:,} | {each.seconds} | {each.branches:,} | {each.inputs} | "
            f"{len(each.found)} |"
        )


if __name__ == "__main__":
    sys.exit(main())
