"""``python -m hegelion_core.scripts.hegelion_dataset IN OUT``: the guide's name for ``hegelion-console dataset``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command with this process's arguments; returns its exit code."""
    from hegelion_core.commands.dataset import dataset
    from hegelion_core.commands.entry import run

    return run(sys.argv[1:], dataset, "python -m hegelion_core.scripts.hegelion_dataset")


if __name__ == "__main__":
    sys.exit(main())
