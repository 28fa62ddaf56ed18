"""``python -m hegelion_core.training.generator``: the operations guide's name for ``hegelion-console generate``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command with this process's arguments; returns its exit code."""
    from hegelion_core.commands.entry import run
    from hegelion_core.commands.stage import generate

    return run(sys.argv[1:], generate, "python -m hegelion_core.training.generator")


if __name__ == "__main__":
    sys.exit(main())
