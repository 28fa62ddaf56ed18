"""Benchmarks of sample files: appending, opening 100,000 samples, and a quality report of them."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hegelion_core.dialectic.contract import make_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.generation.store import SampleStore
from hegelion_core.generation.verdicts import cache_path
from hegelion_core.teachers.teacher import Answer
from tests.benchmarks.generation import ANSWER
from tests.fakes.sample_files import row

Cells = tuple[str, str, str]
COUNT = 100_000
MIB = 1 << 20
OPEN = """
import resource, sys, time
from pathlib import Path
from hegelion_core.generation.store import SampleStore
begun = time.perf_counter()
store = SampleStore(Path(sys.argv[1]))
unit = 1 if sys.platform == "darwin" else 1024
print(store.accepted, time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""
QUALITY = """
import resource, sys, time
from pathlib import Path
from hegelion_core.generation.quality import assess
begun = time.perf_counter()
found = assess(Path(sys.argv[1]), Path(sys.argv[1] + ".rejected"), ["Why is the sky blue?"])
unit = 1 if sys.platform == "darwin" else 1024
print(found.accepted, time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


def append() -> Iterator[Cells]:
    """Row: appending a sample, with lock, check and fsync."""
    count = 500
    with tempfile.TemporaryDirectory() as folder:
        store = SampleStore(Path(folder) / "samples.jsonl")
        made = [
            make_sample(query, Answer(text=ANSWER), prompt_id=prompt_id(query), system="", metadata={})
            for query in (f"Should city number {number} ban cars?" for number in range(count))
        ]
        begun = time.perf_counter()
        for sample in made:
            store.append(sample, count)
        seconds = time.perf_counter() - begun
    yield "append a sample", f"{1000 * seconds / count:.2f} ms", f"{count} samples, lock, check and fsync"


def large() -> Iterator[Cells]:
    """Rows: opening a file of 100,000 samples of some 4 KB for the first time and again, and its quality report."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.jsonl"
        write_samples(path, COUNT)
        size = f"{COUNT:,} samples, {path.stat().st_size / MIB:.0f} MiB"
        for name in ("open a sample file, never seen before", "open it again"):
            accepted, seconds, peak = _run(OPEN, path)
            yield name, f"{seconds:.2f} s", f"{accepted:,.0f} of {size}, peak {peak / MIB:.0f} MiB"
        cache_path(path).unlink()
        accepted, seconds, peak = _run(QUALITY, path)
        yield "quality report", f"{seconds:.0f} s", f"{accepted:,.0f} of {size}, peak {peak / MIB:.0f} MiB"


def _run(code: str, path: Path) -> tuple[float, float, float]:
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    accepted, seconds, peak = map(float, done.stdout.split())
    return accepted, seconds, peak


def write_samples(path: Path, count: int) -> None:
    """Samples of words as frequent as in a language; every hundredth nearly repeats the one before it."""
    rng = random.Random(7)
    names = ["".join(rng.choices("abcdefghijklmnoprstuvwy", k=rng.randint(2, 9))) for _ in range(20_000)]
    frequencies = list(itertools.accumulate(1 / rank for rank in range(1, len(names) + 1)))

    def prose(words: int) -> str:
        chosen = rng.choices(names, cum_weights=frequencies, k=words)
        return " ".join(" ".join(chosen[at : at + 15]).capitalize() + "." for at in range(0, words, 15))

    def body() -> str:
        return (
            f"<thought>\n**THESIS**: {prose(90)}\n**ANTITHESIS**: {prose(90)}\nCONTRADICTION: {prose(8)}\n"
            f"**SYNTHESIS**: {prose(90)}\n</thought>\n{prose(120)}"
        )

    with path.open("wb") as file:
        last = ""
        for number in range(count):
            last = f"{last[:-1]} indeed." if number % 100 == 99 else body()
            sample = row(f"Why {prose(18)[:-1]} {number}?", last, completion_tokens=600)
            file.write(json.dumps(sample).encode() + b"\n")
