"""``python -m hegelion_core.scripts.hegelion_cli``: the operations guide's name for ``hegelion-console ask``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command with this process's arguments; returns its exit code."""
    from hegelion_core.commands.ask import ask
    from hegelion_core.commands.entry import run

    return run(sys.argv[1:], ask, "python -m hegelion_core.scripts.hegelion_cli")


if __name__ == "__main__":
    sys.exit(main())
