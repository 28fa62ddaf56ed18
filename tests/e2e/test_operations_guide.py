"""The README's table "From the operations guide", row by row: every command is run, every path is looked for.

The commands are the guide's own, with the guide's names. Behind them are stand-ins: a fake Kimi, and, in folders with
the names that the hub has for them, a tiny student and a small data set. What would take hours is asked for in small
numbers.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.fakes.console import PATIENCE, PROGRAM, Console
from tests.fakes.tiny_model import make_tiny_model

README = Path(__file__).parent.parent.parent / "README.md"
PROGRAMS = ("hegelion-console", "python", "grep", "tail", "ls", "wc", "echo", "kill")
NOT_NEEDED = "not needed any more: "
SMALL = {"--limit 500": "--limit 4", "--iters 500": "--iters 2"}


@dataclass(frozen=True)
class Row:
    """What the guide says, and what it is here."""

    guide: str
    here: str

    @property
    def spans(self) -> list[str]:
        """What stands in code: commands and paths."""
        return [span.replace("\\|", "|") for span in re.findall(r"`([^`]+)`", self.here)]


def table(text: str) -> Iterator[Row]:
    """The rows of the table, without its headings."""
    _, _, section = text.partition("\n## From the operations guide\n")
    for line in section.partition("\n## ")[0].splitlines():
        if line.startswith("| ") and not line.startswith(("| the guide |", "| **")):
            guide, here = re.split(r"(?<!\\)\|", line.strip("|"))
            yield Row(guide.strip(), here.strip())


class Walk:
    """A user who tries the table in a folder of their own. A command that comes again is not run again."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seen: set[str] = set()
        make_tiny_model(console.folder / "deepseek-ai" / "DeepSeek-R1-Distill-Qwen-1.5B", thinking=True, kind="qwen2")
        data = console.folder / "HuggingFaceH4" / "ultrafeedback_binarized" / "data"
        data.mkdir(parents=True)
        prompts = [f"Should a town of {n} thousand people close its centre to cars?" for n in range(400)]
        pyarrow.parquet.write_table(pyarrow.table({"prompt": prompts}), data / "train_prefs-00000-of-00001.parquet")
        (console.folder / "my_prompts.txt").write_text("Should we ship on Fridays?\nShould tests be random?\n")
        console.environment |= {
            "PATH": f"{console.folder / 'bin'}:{PROGRAM.parent}:{os.environ['PATH']}",
            "HF_HUB_OFFLINE": "1",
            "HEGELION_GENERATION__LIMIT": "8",
            "HEGELION_TRAINING__ITERS": "2",
            "HEGELION_TRAINING__REPORT_EVERY": "1",
            "HEGELION_TRAINING__NUM_LAYERS": "1",
            "HEGELION_EVALUATION__ANSWERS": "1",
            "HEGELION_EVALUATION__MAX_NEW_TOKENS": "8",
        }

    def faults(self, row: Row) -> list[str]:
        """What does not work in a row."""
        if not row.guide or not (row.spans or row.here.startswith(NOT_NEEDED)):
            return [f"{row.guide}: neither works here nor is said to be not needed any more"]
        return [fault for span in row.spans for fault in self._try(span)]

    def _try(self, span: str) -> list[str]:
        if span in self.seen:
            return []
        self.seen.add(span)
        if span.split()[0] not in PROGRAMS:
            found = any((root / span).exists() for root in (self.console.folder, README.parent))
            return [] if found else [f"{span}: is no command, and there is no such path"]
        if span.startswith(("kill ", "hegelion-console stop")):
            return self._stop(span)
        if span.endswith("--watch"):
            return self._watch(span)
        command = self._small(span)
        started = time.monotonic()
        result = self._bash(command)
        print(f"{time.monotonic() - started:5.1f} s  {command}")
        return [] if result.returncode == 0 else [f"{span}: exit code {result.returncode}: {result.stderr[-500:]}"]

    def _small(self, command: str) -> str:
        """Hours become seconds. Once both trainers have trained, other settings are only checked."""
        for long, short in SMALL.items():
            command = command.replace(long, short)
        trained = (self.console.folder / "artifacts" / "adapters" / "hegelion_1.5b_standard").exists()
        again = trained and command.startswith("hegelion-console train") and "--dry-run" not in command
        return f"{command} --dry-run" if again else command

    def _environment(self, command: str) -> dict[str, str]:
        ours = dict(self.console.environment)
        if "--prompt-file" in command:  # without a limit, all of its prompts are asked
            del ours["HEGELION_GENERATION__LIMIT"]
        return ours

    def _bash(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.console.folder,
            env=self._environment(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def _stop(self, span: str) -> list[str]:
        """Stopped is what runs: a generation that would take minutes."""
        usual = self.console.environment
        self.console.environment = usual | {
            "HEGELION_GENERATION__LIMIT": "300",
            "HEGELION_GENERATION__OUTPUT": "artifacts/data/more.jsonl",
            "KIMI_FAKE_SECONDS": "0.5",
        }
        working = self.console.start("generate")
        pids = [self.console.folder / name for name in ("generator_pid.txt", "generator2_pid.txt")]
        deadline = time.monotonic() + PATIENCE
        while not all(path.exists() for path in pids):
            assert time.monotonic() < deadline
            assert working.poll() is None, (self.console.folder / "output.txt").read_text()
            time.sleep(0.02)
        result = self._bash(span)
        code = working.wait(PATIENCE)
        self.console.environment = usual
        return [] if (result.returncode, code) == (0, 130) else [f"{span}: {result.returncode}, generation: {code}"]

    def _watch(self, span: str) -> list[str]:
        with subprocess.Popen(
            span.split(), cwd=self.console.folder, env=self.console.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            code = process.wait(PATIENCE)
        return [] if first.strip() and code == 0 else [f"{span}: exit code {code}, {first!r}"]


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(Console(tmp_path))


def test_every_row_works(walk: Walk) -> None:
    rows = list(table(README.read_text("utf-8")))
    assert len(rows) > 50
    assert [fault for row in rows for fault in walk.faults(row)] == []
    walk.console.wait_until_quiet()


@pytest.mark.parametrize(
    "here",
    [
        *("", "it is better now", "`hegelion-console nonsense`", "`artifacts/nothing.jsonl`", "`nonsense`"),
        *("`hegelion-console train --nonsense 1`", "`python -m hegelion_core.nonsense`", "`grep x artifacts/nothing`"),
    ],
)
def test_a_row_that_does_not_work_is_a_fault(walk: Walk, here: str) -> None:
    (row,) = table(
        f"# X\n\n## From the operations guide\n\n| the guide | here |\n|---|---|\n| `a` | {here} |\n\n## More\n"
    )
    assert len(walk.faults(row)) == 1
