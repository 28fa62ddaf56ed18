"""What can be done at once. Each may be done again; none deletes data."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hegelion_core import workspace
from hegelion_core.doctor.finding import Remedy, Say
from hegelion_core.errors import ExitCode, UserError


def make_folder(path: Path, shown: str) -> Remedy:
    """Make a folder and those above it; ``shown`` is how it is called."""

    def do(say: Say) -> str:
        workspace.make_folder(path)
        return f"{shown} is there now."

    return Remedy(f"Make the folder {shown}.", do)


def install(requirements: Sequence[str]) -> Remedy:
    """Install packages for the Python that runs this program."""
    command = install_command(requirements)

    def do(say: Say) -> str:
        run(command, say)
        return f"Installed {', '.join(requirements)}. What runs already has to be started again."

    return Remedy(f"Run {shlex.join(command)}", do, asks=True)


def install_command(requirements: Sequence[str], *, has_pip: bool | None = None) -> list[str]:
    """The command that installs them, with uv where this Python has no pip."""
    if has_pip is None:
        has_pip = importlib.util.find_spec("pip") is not None
    program = (
        [sys.executable, "-m", "pip", "install"] if has_pip else ["uv", "pip", "install", "--python", sys.executable]
    )
    return [*program, *requirements]


def get_model(spec: str, models: Path, what: str) -> Remedy:
    """Make or download a model, in a process of its own."""

    def do(say: Say) -> str:
        run([sys.executable, "-m", "hegelion_core.doctor.mend", "model", spec, str(models)], say)
        return f"{spec} is there now."

    return Remedy(what, do, asks=True)


def make_blas() -> Remedy:
    """Make the copy of the fast BLAS that MLX can load."""

    def do(say: Say) -> str:
        run([sys.executable, "-m", "hegelion_core.doctor.mend", "blas"], say)
        return "The fast BLAS is ready."

    return Remedy("Make the copy of the fast BLAS in the cache folder; it takes seconds.", do)


def run(command: Sequence[str], say: Say) -> None:
    """Run a command; it is told, and so is every line that it writes.

    Raises:
        UserError: it cannot be started, or fails; with its last line.
    """
    say(f"$ {shlex.join(command)}")
    last = ""
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                for line in process.stdout or ():
                    if line.strip():
                        last = line.strip()
                        say(last)
            except BaseException:  # whoever asked does not want it any more
                process.kill()
                raise
    except OSError as error:
        raise UserError(f"{command[0]} cannot be started: {error.strerror}.", "Install it first.") from None
    if process.returncode:
        raise UserError(f"It failed: {last[:300]}", "Mend that, or run the command by hand.", ExitCode.FAILED)
