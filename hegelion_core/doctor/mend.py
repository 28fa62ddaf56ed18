"""What a remedy does in a process of its own: ``python -m hegelion_core.doctor.mend blas | model SPEC MODELS``."""

from __future__ import annotations

import sys
from pathlib import Path

from hegelion_core.commands.words import size
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.models.blas import examine, prepare_mlx
from hegelion_core.models.loading import locate


def main(arguments: list[str]) -> int:
    """Do it; its exit code. A fault is the last line."""
    try:
        if arguments[:1] == ["blas"]:
            state, line = examine(make=True)
            _say(line)
            return ExitCode.DONE if state == "fast" else ExitCode.FAILED
        _, spec, models = arguments
        _say(prepare_mlx())
        _say(f"The model is in {locate(spec, Path(models), _progress)}.")
    except UserError as error:
        _say(f"{error.message} {error.hint}")
        return error.exit_code
    return ExitCode.DONE


def _progress(what: str, done: int, total: int | None) -> None:
    _say(f"{what}: {size(done)}" + (f" of {size(total)}" if total else ""))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - told to whoever asked for it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
