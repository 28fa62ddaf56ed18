"""Is each class of faults able to fail? Bugs are put into a copy of the code, and the cases must find them.

``python -m tests.faults.bugs [NAME ...] [--seed 5] [--most 25]``. For each bug and each class that should find it: the
number of cases until it was found, at most ``--most``. Ends with 1 if one was not found by any.
"""

from __future__ import annotations

# ruff: noqa: E501 - code as it stands in its files
import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.faults import cases
from tests.faults.results import Results

_HERE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Bug:
    """A change to the code, and which classes are to find it."""

    name: str
    groups: tuple[str, ...]
    changes: tuple[tuple[str, str, str], ...]
    """File, what stands there, what stands there instead."""


_WORKSPACE, _STORE = "hegelion_core/workspace.py", "hegelion_core/generation/store.py"
_CHECKPOINT, _ADAPTER = "hegelion_core/training/checkpoint.py", "hegelion_core/training/adapter.py"
BUGS = (
    Bug(
        "an append is not synced",
        ("power",),
        (
            (
                _WORKSPACE,
                "            os.fsync(fd)\n        except OSError as error:",
                "        except OSError as error:",
            ),
        ),
    ),
    Bug(
        "an append that failed is not cut back, and a torn line gets an end",
        ("write", "torn", "disk"),
        (
            (_WORKSPACE, "                os.ftruncate(fd, size)", "                pass"),
            (_STORE, '    if not tail.startswith(b"{"):\n', "    if tail:\n"),
        ),
    ),
    Bug(
        "a torn line of the rejected file is not ended",
        ("torn",),
        (
            (
                _STORE,
                "        _end_last_line(self.rejected_path)\n        workspace.append",
                "        workspace.append",
            ),
            (
                _STORE,
                "            self.settle()\n            _end_last_line(self.rejected_path)\n",
                "            self.settle()\n",
            ),
        ),
    ),
    Bug(
        "an append whose disk is full is passed over",
        ("write", "disk", "fsync"),
        ((_WORKSPACE, "            error.filename = str(path)\n            raise\n", "            pass\n"),),
    ),
    Bug(
        "a file is written anew in place",
        ("torn", "kill", "write", "power", "disk", "train-torn"),
        (
            (_WORKSPACE, 'with open(beside, "wb") as file:', 'with open(path, "wb") as file:'),
            (
                _WORKSPACE,
                "        beside.replace(path)\n    finally:\n        beside.unlink(missing_ok=True)\n    if",
                "    finally:\n        pass\n    if",
            ),
        ),
    ),
    Bug(
        "nothing is salvaged",
        ("kill", "tree", "torn", "stops", "rename", "freeze"),
        (
            (
                "hegelion_core/generation/generator.py",
                "                self._salvage_call(call, folder)\n",
                "                pass\n",
            ),
        ),
    ),
    Bug(
        "a call is over before its answer is kept",
        ("kill", "write", "fsync", "open", "power", "disk"),
        (
            (
                "hegelion_core/generation/generator.py",
                "                failure = self._intake.answered(call, answer, write)\n        if",
                "                attempt.forget()\n                failure = self._intake.answered(call, answer, write)\n        if",
            ),
        ),
    ),
    Bug(
        "a torn line of the event log stays",
        ("torn", "write"),
        (("hegelion_core/event_log.py", "        os.ftruncate(self._fd, reader.offset)\n", ""),),
    ),
    Bug(
        "claims outlive their holder",
        ("kill", "tree", "torn", "power"),
        (
            (
                "hegelion_core/generation/claims.py",
                "        self._held.add(prompt_id)\n        return True",
                "        self._held.add(prompt_id)\n        os.ftruncate(self._fd, os.fstat(self._fd).st_size + 1)\n        return True",
            ),
            (
                "hegelion_core/generation/claims.py",
                "        self._held.discard(prompt_id)\n",
                "        self._held.discard(prompt_id)\n        os.ftruncate(self._fd, max(0, os.fstat(self._fd).st_size - 1))\n",
            ),
            (
                "hegelion_core/generation/claims.py",
                "        count = start = 0\n",
                "        return os.fstat(self._fd).st_size - len(self._held)\n        count = start = 0\n",
            ),
        ),
    ),
    Bug(
        "a terminal that goes away is not heard of",
        ("hangup",),
        (
            (
                "hegelion_core/commands/headless.py",
                "(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)",
                "(signal.SIGINT, signal.SIGTERM)",
            ),
        ),
    ),
    Bug(
        "a second stop ends the process at once",
        ("stops",),
        (
            (
                "hegelion_core/commands/headless.py",
                "        elif number == signal.SIGINT:\n            os._exit(ExitCode.INTERRUPTED)",
                "        else:\n            os._exit(77)",
            ),
        ),
    ),
    Bug(
        "the clock going back is taken for a fault of the log",
        ("clock",),
        (
            (
                "hegelion_core/event_log.py",
                "        self._append(encode(stamped)",
                "        if stamped.at < self.state.updated_at:\n            return\n        self._append(encode(stamped)",
            ),
        ),
    ),
    Bug(
        "a broken connection is not foreseen",
        ("network",),
        (
            (
                "hegelion_core/teachers/openai_api.py",
                "except (httpx2.HTTPError, httpx2.StreamError) as error:",
                "except ZeroDivisionError as error:",
            ),
        ),
    ),
    Bug(
        "a worker's end is not looked at",
        ("child", "kill", "train-child"),
        (("hegelion_core/jobs.py", "        if code != 0:\n", "        if code > 0:\n"),),
    ),
    Bug(
        "a child that is killed is waited for for good",
        ("child",),
        (
            (
                "hegelion_core/supervisor.py",
                "        code = self._process.wait()\n",
                "        code = self._process.wait()\n        if code == -9:\n            return\n",
            ),
        ),
    ),
    Bug(
        "rows that could not be put in place are told as done",
        ("rename",),
        (
            (
                "hegelion_core/conversion/part_file.py",
                "        self._path.replace(self._target)\n",
                "        with contextlib.suppress(OSError):\n            self._path.replace(self._target)\n",
            ),
        ),
    ),
    Bug(
        "a process that is woken takes it for a stop",
        ("freeze",),
        (
            (
                "hegelion_core/commands/headless.py",
                "(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)",
                "(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT)",
            ),
        ),
    ),
    Bug(
        "a run's folder is made in one go or not at all",
        ("kill", "open", "write"),
        (("hegelion_core/run.py", "        _lay_out(found, settings)\n", ""),),
    ),
    Bug(
        "a checkpoint is written in place, and believed",
        ("train-kill", "train-torn", "train-tree", "train-power"),
        (
            ("hegelion_core/training/checkpoint.py", '    beside = folder / f"step-{step}.tmp"', "    beside = final"),
            ("hegelion_core/training/checkpoint.py", "        _remove(final)  # only", "        # only"),
            ("hegelion_core/training/checkpoint.py", "damaged = _damaged(path, manifest)", "damaged = []"),
            (
                "hegelion_core/training/checkpoint.py",
                "damaged = [MANIFEST]",
                "manifest, damaged = Manifest(schema=SCHEMA, identity=identity, environment=environment, files={}), []",
            ),
        ),
    ),
    Bug(
        "the metrics are not cut back",
        ("train-kill", "train-tree"),
        (
            (
                "hegelion_core/training/metrics.py",
                "            if metrics.step <= step:\n",
                "            if metrics.step >= 0:\n",
            ),
        ),
    ),
    Bug(
        "an append that failed is not cut back",
        ("write", "disk"),
        ((_WORKSPACE, "                os.ftruncate(fd, size)", "                pass"),),
    ),
    Bug(
        "a file that could not be put in place stays beside the other",
        ("rename", "write", "train-rename"),
        (
            (
                _WORKSPACE,
                "        beside.replace(path)\n    finally:\n        beside.unlink(missing_ok=True)\n    if",
                "        beside.replace(path)\n    finally:\n        pass\n    if",
            ),
        ),
    ),
    Bug(
        "a stop of a training saves nothing",
        ("train-stops",),
        (
            (
                "hegelion_core/training/loop.py",
                "                if self._around.stop_requested():\n                    self._save()\n",
                "                if self._around.stop_requested():\n",
            ),
            (
                "hegelion_core/training/loop.py",
                "        except _StopAsked:\n            self._save()\n",
                "        except _StopAsked:\n",
            ),
        ),
    ),
    Bug(
        "a trainer is killed where it should be asked to stop",
        ("train-stops",),
        (
            (
                "hegelion_core/supervisor.py",
                "        guard.signal_group(self.pid, signal.SIGTERM)\n        try:",
                "        guard.signal_group(self.pid, signal.SIGKILL)\n        try:",
            ),
        ),
    ),
    Bug(
        "a step's line that cannot be written is passed over",
        ("train-write", "train-fsync", "train-disk"),
        (
            (
                "hegelion_core/training/metrics.py",
                "    except OSError as error:\n        raise UserError(",
                "    except OSError as error:\n        return\n        raise UserError(",
            ),
        ),
    ),
    Bug(
        "a checkpoint that could not be put in place is told as saved",
        ("train-rename",),
        (
            (
                _CHECKPOINT,
                "        beside.rename(final)\n",
                "        try:\n            beside.rename(final)\n        except OSError:\n            pass\n",
            ),
        ),
    ),
    Bug(
        "a checkpoint that cannot be written is told as saved",
        ("train-fsync", "train-write", "train-rename", "train-disk"),
        (
            (
                _CHECKPOINT,
                "    except OSError as error:\n        _remove(beside)\n",
                "    except OSError as error:\n        _remove(beside)\n        return final\n",
            ),
        ),
    ),
    Bug(
        "an adapter that cannot be written is told as done",
        ("train-rename", "train-disk"),
        (
            (
                _ADAPTER,
                "    except OSError as error:\n        raise UserError(",
                "    except OSError as error:\n        return\n        raise UserError(",
            ),
        ),
    ),
    Bug(
        "weights are written in place",
        ("train-disk",),
        (
            (_ADAPTER, '    beside = path.with_name(f".{path.stem}.{os.getpid()}.safetensors")', "    beside = path"),
            (
                _ADAPTER,
                "        beside.unlink(missing_ok=True)\n    workspace.sync",
                "        pass\n    workspace.sync",
            ),
        ),
    ),
)


def main() -> int:
    """Put in one after the other, and tell who found it."""
    parser = argparse.ArgumentParser(description="Bugs that the cases must find.")
    parser.add_argument("names", nargs="*", help="parts of the names of bugs; all unless given")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--most", type=int, default=25, help="cases of a class that are tried")
    given = parser.parse_args()
    wanted = [bug for bug in BUGS if not given.names or any(name in bug.name for name in given.names)]
    print("| bug | class | found after cases |\n|---|---|---|", flush=True)
    missed = [bug.name for bug in wanted if not _tried(bug, given.seed, given.most)]
    for name in missed:
        print(f"NOT FOUND: {name}")
    return 1 if missed else 0


def _tried(bug: Bug, seed: int, most: int) -> bool:
    """Whether any class finds it."""
    with tempfile.TemporaryDirectory(prefix="bug-") as folder:
        copy = Path(folder) / "code"
        for name in ("hegelion_core", "hegelion_tui", "tests"):
            shutil.copytree(_HERE / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file, before, after in bug.changes:
            text = (copy / file).read_text()
            assert before in text, f"{bug.name}: {file} has changed"
            (copy / file).write_text(text.replace(before, after, 1))
        found = False
        for group in bug.groups:
            after_cases = _found_after(copy, Path(folder) / f"hf-{group}", group, seed, most)
            print(f"| {bug.name} | {group} | {after_cases or f'not in {most}'} |", flush=True)
            found |= bool(after_cases)
        return found


def _found_after(copy: Path, work: Path, group: str, seed: int, most: int) -> int:
    """How many cases of a class it took; 0 if none of them found anything."""
    train = group in cases.TRAINING
    last = [n for n in range(100 * most) if cases.make(seed, n, train=train).group == group][most - 1]
    amounts = ("--cases", "0" if train else str(last + 1), "--train-cases", str(last + 1) if train else "0")
    command = [sys.executable, "-m", "tests.faults", "--seed", str(seed), "--work", str(work), "--group", group]
    subprocess.run([*command, *amounts, "--first"], cwd=copy, stdout=subprocess.DEVNULL, check=False)
    results = Results(work / "results.jsonl").all
    shutil.rmtree(Path("/dev/shm") / work.name, ignore_errors=True)
    return len(results) if results and results[-1].faults else 0


if __name__ == "__main__":
    sys.exit(main())
