"""Is each target able to find anything? A bug is put into a copy of the code, and its target must find it.

``python -m tests.hostile.fuzz.bugs [TARGET ...] [--time 60]``; wants atheris, as ``make fuzz`` does. Ends with 1 if a bug
was not found in so many seconds.
"""

from __future__ import annotations

# ruff: noqa: E501 - code as it stands in its files
import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Bug:
    """A change to the code, and the target that is to find it."""

    target: str
    name: str
    file: str
    before: str
    after: str


BUGS = (
    Bug(
        "answer",
        "the time to clean a turn grows with the square of its blank lines",
        "hegelion_core/dialectic/turns.py",
        r'r"\n[^\S\n]*+(?:claim|question)\s*+:.*"',
        r'r"\n\s*(?:claim|question)\s*:.*"',
    ),
    Bug(
        "row",
        "a prompt keeps its control characters",
        "hegelion_core/dialectic/contract.py",
        "if part and not (text := clean(part)).isspace() and text",
        "if part and not (text := part).isspace() and text",
    ),
    Bug(
        "kimi",
        "half a character in what Kimi prints is not foreseen",
        "hegelion_core/teachers/kimi_output.py",
        "except (*UNREADABLE, UnicodeEncodeError):",
        "except UNREADABLE:",
    ),
    Bug(
        "stream",
        "of several events in one piece only the first is read in time",
        "hegelion_core/teachers/openai_stream.py",
        'self._rest.rfind(b"\\n", known) + 1',
        'self._rest.find(b"\\n", known) + 1',
    ),
    Bug(
        "terminal",
        "half a character reaches the terminal",
        "hegelion_tui/disarming.py",
        '_SURROGATE.sub("\\N{REPLACEMENT CHARACTER}", _STEERS.sub("", segment.text))',
        '_STEERS.sub("", segment.text)',
    ),
    Bug(
        "events",
        "an event may be of any time",
        "hegelion_core/events.py",
        "Moment = Annotated[float, msgspec.Meta(ge=0, le=2e11)]",
        "Moment = float",
    ),
    Bug(
        "socket",
        "an exit code of another version is not foreseen",
        "hegelion_core/client.py",
        "ExitCode(reply.exit_code) if reply.exit_code in set(ExitCode) else ExitCode.FAILED",
        "ExitCode(reply.exit_code)",
    ),
    Bug(
        "decisions",
        "a damaged verdict is believed",
        "hegelion_core/generation/verdicts.py",
        "if _RECORDED.fullmatch(record) is None:",
        "if not record:",
    ),
    Bug(
        "weights",
        "a model's config is taken for an object",
        "hegelion_core/training/export/source.py",
        "if not isinstance(config, dict):",
        "if config is None:",
    ),
    Bug(
        "settings",
        "a setting's name without end is told whole",
        "hegelion_core/settings.py",
        "name = name if len(name) <= _LONGEST_NAME else",
        "name = name if name else",
    ),
    Bug(
        "files",
        "a training row that is no JSON is not foreseen",
        "hegelion_core/training/batching.py",
        "except UNREADABLE",
        "except msgspec.ValidationError",
    ),
)


def main() -> int:
    """Put in one after the other, and tell which were found."""
    parser = argparse.ArgumentParser(description="Bugs that the fuzzer must find.")
    parser.add_argument("targets", nargs="*", help="whose bugs; all unless given")
    parser.add_argument("--time", type=int, default=60, help="seconds for each, at most")
    given = parser.parse_args()
    print("| target | bug | found after executions |\n|---|---|---|", flush=True)
    missed = 0
    for bug in BUGS:
        if not given.targets or bug.target in given.targets:
            executions = _tried(bug, given.time)
            missed += not executions
            print(f"| `{bug.target}` | {bug.name} | {executions or f'not in {given.time} s'} |", flush=True)
    return 1 if missed else 0


def _tried(bug: Bug, seconds: int) -> str:
    """After how many executions it was found; empty if it was not."""
    with tempfile.TemporaryDirectory(prefix="bug-") as folder:
        copy = Path(folder) / "code"
        for name in ("hegelion_core", "hegelion_tui", "tests"):
            shutil.copytree(_HERE / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / bug.file).read_text()
        assert bug.before in text, f"{bug.name}: {bug.file} has changed"
        (copy / bug.file).write_text(text.replace(bug.before, bug.after, 1))
        command = [sys.executable, "-m", "tests.hostile.fuzz", bug.target, "--time", str(seconds)]
        ended = subprocess.run(
            [*command, "--work", f"{folder}/work"], cwd=copy, stdout=subprocess.PIPE, text=True, check=False
        )
        told = re.search(rf"^\| {bug.target} \| ([\d,]+) \|.* [1-9]\d* \|$", ended.stdout, re.MULTILINE)
        return told[1] if told else ""


if __name__ == "__main__":
    sys.exit(main())
