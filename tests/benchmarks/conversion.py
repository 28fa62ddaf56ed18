"""Benchmark of conversion: the product beside one ``apply_chat_template`` and ``json.dump`` a row in plain Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hegelion_core.generation.verdicts import cache_path
from hegelion_core.models.loading import locate
from tests.benchmarks.sample_files import write_samples

Cells = tuple[str, str, str]
COUNT = 61_135
"""Rows of UltraFeedback's ``train_prefs``."""
ROUNDS = 3
MIB = 1 << 20
PRODUCT = """
from hegelion_core.conversion.convert import Hooks, convert_file
from hegelion_core.conversion.rendering import load_format
format_ = load_format(model, "student")
begin()
convert_file(source, target, format_, Hooks(log=print))
"""
PLAIN = """
import json
from hegelion_core.conversion.chat_template import load_tokenizer
tokenizer = load_tokenizer(model)
begin()
with open(source) as lines, open(target, "w") as out:
    for line in lines:
        sample = json.loads(line)
        messages = [
            {"role": "system", "content": sample["system"]},
            {"role": "user", "content": sample["instruction"]},
            {"role": "assistant", "content": sample["output"]},
        ]
        json.dump({"text": tokenizer.apply_chat_template(messages, tokenize=False)}, out)
        out.write("\\n")
"""
AROUND = """
import resource, sys, time
from pathlib import Path
source, target, model = map(Path, sys.argv[1:])
def begin():
    global wall, cpu
    wall, cpu = time.perf_counter(), time.process_time()
{work}
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(time.perf_counter() - wall, time.process_time() - cpu, peak)
"""


def convert() -> Iterator[Cells]:
    """Rows: a file that was never seen before, and again, beside plain Python, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = place / "samples.jsonl"
        write_samples(source, COUNT)
        model = locate("bundled", place / "models")
        size = f"{COUNT:,} samples, {source.stat().st_size / MIB:.0f} MiB"
        first = _run(PRODUCT, source, place / "ours.jsonl", model)
        assert cache_path(source).exists()
        ours, plain = [], []
        for _ in range(ROUNDS):
            plain.append(_run(PLAIN, source, place / "plain.jsonl", model))
            ours.append(_run(PRODUCT, source, place / "ours.jsonl", model))
    wall, cpu, peak = (statistics.median(figures) for figures in zip(*ours, strict=True))
    plain_wall, plain_cpu, plain_peak = (statistics.median(figures) for figures in zip(*plain, strict=True))
    yield (
        "convert, verdicts known",
        f"{plain_cpu / cpu:.2f} x",
        f"{size}: {cpu:.2f} s of processor time against {plain_cpu:.2f} s in plain Python; by the clock "
        f"{plain_wall / wall:.2f} x ({wall:.2f}, {plain_wall:.2f} s); medians of {ROUNDS}, in turn",
    )
    yield (
        "convert, never seen before",
        f"{plain_cpu / first[1]:.2f} x",
        f"{first[1]:.1f} s of processor time, {first[0]:.1f} s by the clock; one run",
    )
    most = max(peak, first[2])
    yield "peak memory of a conversion", f"{most / MIB:.0f} MiB", f"resident; plain Python {plain_peak / MIB:.0f} MiB"


def _run(work: str, source: Path, target: Path, model: Path) -> tuple[float, float, float]:
    command = [sys.executable, "-c", AROUND.format(work=work), str(source), str(target), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, cpu, peak = map(float, done.stdout.splitlines()[-1].split())
    return wall, cpu, peak
