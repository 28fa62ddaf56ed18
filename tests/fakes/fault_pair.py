"""Two programs that write one sample file at the same time, in front of one ``FaultServer``."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from hegelion_core.dialectic.contract import read_sample
from hegelion_core.errors import ExitCode
from tests.fakes.console import Console
from tests.fakes.fault_run import PATIENCE, Plan, command, prepare_environment, write_prompts
from tests.fakes.fault_server import CANARY, Asked, FaultServer

FAULTS = ("no_block", "overloaded", "rate_told", "cut_stream")
"""Few: after a failure one of the two waits, and the other does all."""


@dataclass
class PairFindings:
    """What came of it; ``faults`` are what must not be."""

    faults: list[str] = field(default_factory=list)
    most_in_flight: int = 0
    requests: int = 0
    shares: tuple[int, int] = (0, 0)
    """Samples that each of the two was answered, as their logs tell."""
    seconds: float = 0.0


def run_pair(plan: Plan) -> PairFindings:
    """Run the same command in two workspaces with the same output, to the end of both."""
    found = PairFindings()
    output = plan.folder / "samples.jsonl"
    began = time.monotonic()
    consoles = [_console(plan.folder / name) for name in ("a", "b")]
    consoles[1].environment["HOME"] = consoles[0].environment["HOME"]  # one user has one Kimi

    def on_request() -> None:
        # First what is accepted, then what is in flight: the other way round an answer would count twice.
        missing = plan.samples - (output.read_bytes().count(b"\n") if output.exists() else 0)
        in_flight = sum(asked.kind != CANARY for asked in server.in_flight) + 1
        found.most_in_flight = max(found.most_in_flight, in_flight)
        if in_flight > max(missing, 1):
            found.faults.append(f"{in_flight} requests in flight, but only {missing} samples missing")

    server = FaultServer(
        requests=plan.samples, seed=plan.seed, seconds=plan.seconds, kinds=FAULTS, on_request=on_request
    )
    write_prompts(plan.folder / "prompts.txt", plan.samples)
    with server:
        processes: list[subprocess.Popen[str]] = []
        for console in consoles:
            prepare_environment(console, plan.program, server.url, plan.folder / "tmp")
            source = ["--prompt-file", str(plan.folder / "prompts.txt"), "--output", str(output)]
            processes.append(console.start(*command(plan), *source, "--workspace", str(console.folder)))
        codes = [process.wait(PATIENCE + 10.0 * plan.samples) for process in processes]
    if codes != [ExitCode.DONE, ExitCode.DONE]:
        said = [(console.folder / "output.txt").read_text()[-800:] for console in consoles]
        found.faults.append(f"exit codes {codes}: {said}")
    for console in consoles:
        console.wait_until_quiet()
    found.requests, found.seconds = len(server.asked), time.monotonic() - began
    found.shares = _shares(consoles)
    found.faults += _sample_faults(output, plan.samples)
    found.faults += _overlaps(server.asked)
    return found


def _console(folder: Path) -> Console:
    folder.mkdir()
    (folder.parent / "tmp").mkdir(exist_ok=True)
    return Console(folder)


def _shares(consoles: list[Console]) -> tuple[int, int]:
    first, second = ((console.folder / "output.txt").read_text().count(" accepted ·") for console in consoles)
    return first, second


def _sample_faults(output: Path, wanted: int) -> list[str]:
    samples = [read_sample(line) for line in output.read_bytes().splitlines()]
    distinct = len({sample.id for sample in samples}), len({sample.instruction for sample in samples})
    if (len(samples), *distinct) == (wanted, wanted, wanted):
        return []
    return [f"{len(samples)} samples, {distinct} distinct ids and prompts; wanted {wanted}"]


def _overlaps(asked: list[Asked]) -> list[str]:
    """Requests for a prompt that began before an earlier one for it was served."""
    last: dict[str, Asked] = {}
    found: list[str] = []
    for each in asked:
        before = last.get(each.prompt)
        if each.kind != CANARY and before is not None and (before.ended is None or before.ended > each.began):
            found.append(f"asked twice at the same time: {before} and {each}")
        last[each.prompt] = each
    return found
