"""``python -m tests.faults.native [--cases 40] [--seed 0] [--work FOLDER]``: failing calls of MLX's own code.

MLX writes weights with calls that the injector of the other cases never sees. So ``strace`` fails some calls of a
training, in the core and in the trainer, whoever makes them; then the command is given again to the end, and audited
as every case. Needs ``strace``, and is slow: some ten seconds a case.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults import between
from tests.faults.audit import audit
from tests.faults.cases import Case, Strike
from tests.faults.runs import PATIENCE, CaseRun
from tests.faults.stock import make_stock
from tests.faults.trained import training_faults
from tests.faults.warm import Warm

_CALLS = (("write,writev,pwrite64", 60), ("fsync,fdatasync", 16), ("rename,renameat,renameat2", 12))
"""Calls that change files, and the most of them that a process of the training makes."""
_CONSOLE = "import sys; from hegelion_tui.cli import run; sys.exit(run(sys.argv[1:]))"
_ERRORS = ("ENOSPC", "EIO", "EINTR", "EACCES")


def main() -> int:
    """Run the cases, and tell what does not hold."""
    parser = argparse.ArgumentParser(description="Failing calls of the system in a training, whoever makes them.")
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    if shutil.which("strace") is None:
        print("strace is not installed.", file=sys.stderr)
        return 3
    work = Path(tempfile.mkdtemp(prefix="hegelion-native-", dir=given.work))
    struck = broken = 0
    with Warm() as warm:
        stock = make_stock(work / "stock", warm, train=True)
        for number in range(given.cases):
            case = Case(given.seed, number, "native", "train", 0, 1, (), ())
            run = CaseRun(case, work / str(number), warm, stock)
            spec = _fault(random.Random(f"{given.seed}/{number}"))
            try:
                code, hit = _strike(run, spec)
                faults = between.check(run.place, Strike(act="EIO"), code, b"")
                faults += [f"exit code 0, but {text}" for text in training_faults(run.place)] if code == 0 else []
                faults += run.run().faults + audit(run)
            finally:
                run.close()
            struck += hit
            broken += bool(faults)
            told = f"{number}: {spec}: exit code {code}{'' if hit else ', not reached'}"
            print(told, *faults, sep="\n  ", flush=True)
            if not faults:
                shutil.rmtree(run.place.folder)
    print(f"{given.cases} cases, {struck} struck, {broken} broken")
    if not broken:
        shutil.rmtree(work)
    return bool(broken)


def _fault(chance: random.Random) -> str:
    calls, most = chance.choice(_CALLS)
    lasting = "+" if chance.random() < 0.3 else ""
    return f"{calls}:error={chance.choice(_ERRORS)}:when={chance.randint(1, most)}{lasting}"


def _strike(run: CaseRun, spec: str) -> tuple[int | None, bool]:
    """Run the command with its calls failing: its exit code, and whether one failed."""
    place, trace = run.place, run.place.folder.with_suffix(".trace")
    (command,) = place.commands
    tracing = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), "-e", f"trace={spec.partition(':')[0]}"]
    started = subprocess.Popen(
        [*tracing, "-e", f"inject={spec}", sys.executable, "-c", _CONSOLE, *command],
        cwd=place.folder,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        code = started.wait(3 * PATIENCE)
        return code, "INJECTED" in trace.read_text("utf-8", "replace")
    except subprocess.TimeoutExpired:
        run.outcome.faults.append(f"does not end with {spec}")
        return None, True
    finally:
        started.kill()
        started.wait()
        trace.unlink()


if __name__ == "__main__":
    sys.exit(main())
