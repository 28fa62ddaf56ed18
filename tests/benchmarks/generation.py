"""Benchmarks of generation: how near to the ideal rate many instances come, and what the core spends on a sample.

The teacher is a shell script that speaks as Kimi Code does and takes as long as it is told, so that what is measured
is this program and not a model.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from hegelion_core import events as e
from hegelion_core.event_log import EventReader

BIN = Path(sys.executable).parent
TAKES = 2.0
"""Seconds that the teacher takes for an answer."""
ANSWER = (
    "<thought>\n**THESIS**: The plain view is right, since it rests on what most people can see for themselves.\n"
    "**ANTITHESIS**: That view leaves out those who bear the cost, and what is plain to some is hidden from others.\n"
    "CONTRADICTION: What looks evident is shared by few.\nEVIDENCE: Those who pay are seldom those who are asked.\n"
    "**SYNTHESIS**: Evidence should lead, but only once the people who bear its price have been heard as well.\n"
    "</thought>\nIt depends on who pays. Start from the evidence, ask the people concerned, and then decide."
)
# Only what the shell does by itself, but for the sleep: what the teacher costs would be measured too.
SCRIPT = f"""#!/bin/sh
if [ "$1" = --version ]; then echo 2.1.0; exit 0; fi
echo '{{"role":"meta","type":"system.version","version":"2.1.0"}}'
sleep "$KIMI_FAKE_SECONDS"
printf '%s\\n' '{json.dumps({"role": "assistant", "content": ANSWER})}'
echo '{{"role":"meta","type":"session.resume_hint","session_id":"s"}}'
"""


@dataclass(frozen=True)
class Figures:
    """What one generation took."""

    samples: int
    seconds: float
    """From the first request to the last accepted sample."""
    first_request: float
    """Seconds from the command to the first request."""
    cpu: float
    """Processor seconds of the core alone, from start to end."""
    peak: int
    """Bytes, resident, of the core alone."""


@contextmanager
def workspace(prompts: int, script: str = SCRIPT) -> Iterator[Path]:
    """A folder with prompts, the scripted teacher, and its canary passed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bin").mkdir()
        kimi = folder / "bin" / "kimi"
        kimi.write_text(script)
        kimi.chmod(0o755)
        lines = (f"Should town {number} ban cars from its centre?\n" for number in range(prompts))
        (folder / "prompts.txt").write_text("".join(lines))
        generate(folder, limit=1, instances=1, takes=0.0)
        yield folder


def generate(folder: Path, *, limit: int, instances: int, takes: float) -> Figures:
    """Run ``generate`` to its end and look at the core on the way."""
    command = [str(BIN / "hegelion-console"), "generate", "--prompt-file", "prompts.txt"]
    command += ["--limit", str(limit), "--instances", str(instances)]
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "HOME": str(folder), "KIMI_MODEL_NAME": "m", "KIMI_FAKE_SECONDS": str(takes)}
    begun = time.time()
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=subprocess.DEVNULL)
    core, peak, cpu = psutil.Process(process.pid), 0, 0.0
    while process.poll() is None:
        with_core = core.as_dict(["memory_info", "cpu_times"])
        peak = max(peak, with_core["memory_info"].rss if with_core["memory_info"] else 0)
        if with_core["cpu_times"]:
            cpu = with_core["cpu_times"].user + with_core["cpu_times"].system
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"generate ended with exit code {process.returncode}")
    newest = max((folder / "artifacts" / "runs").iterdir(), key=lambda run: run.stat().st_mtime)
    log = EventReader(newest / "events.jsonl").read()
    asked = [event.at for event in log if isinstance(event, e.SampleRequested)]
    accepted = [event.at for event in log if isinstance(event, e.SampleAccepted)]
    return Figures(len(accepted), accepted[-1] - asked[0], asked[0] - begun, cpu, peak)


def rate() -> Iterator[tuple[str, str, str]]:
    """Rows: the rate of 16 and of 64 instances, processor time and memory."""
    for instances, waves in ((16, 15), (64, 15)):
        with workspace(instances * waves + 2) as folder:
            start = generate(folder, limit=2, instances=instances, takes=0.0).cpu
            found = generate(folder, limit=instances * waves + 2, instances=instances, takes=TAKES)
        ideal = instances / TAKES
        reached = found.samples / found.seconds
        name = f"{instances} instances, teacher takes {TAKES:.0f} s"
        yield name, f"{reached / ideal:.1%} of the ideal rate", f"{reached:.1f} samples/s, {found.samples} samples"
        yield (
            f"core, {instances} instances",
            f"{1000 * (found.cpu - start) / found.samples:.1f} ms a sample, {found.peak / 2**20:.0f} MiB",
            f"processor time of the core alone, start-up ({start:.2f} s) apart; resident size",
        )


def first_request() -> Iterator[tuple[str, str, str]]:
    """Row: how long until the teacher is asked; version and canary are remembered."""
    with workspace(200) as folder:
        times = sorted(generate(folder, limit=2 + number, instances=1, takes=0.0).first_request for number in range(7))
    spread = f"{times[3]:.2f} s ({times[0]:.2f} to {times[-1]:.2f})"
    yield "first request after the command", spread, "7 runs, local file"


if __name__ == "__main__":
    for benchmark in (rate, first_request):
        for cells in benchmark():
            print(f"| {' | '.join(cells)} |", flush=True)
