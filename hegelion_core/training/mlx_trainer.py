"""``python -m hegelion_core.training.mlx_trainer``: the guide's name for ``hegelion-console train --standard``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command with this process's arguments; returns its exit code."""
    from hegelion_core.commands.entry import run
    from hegelion_core.commands.stage import train

    return run(["--standard", *sys.argv[1:]], train, "python -m hegelion_core.training.mlx_trainer")


if __name__ == "__main__":
    sys.exit(main())
