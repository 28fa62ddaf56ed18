"""``python -m hegelion_core.scripts.convert_for_scu IN OUT``: the guide's name for ``hegelion-console convert``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command with this process's arguments; returns its exit code."""
    from hegelion_core.commands.convert import convert
    from hegelion_core.commands.entry import run

    return run(sys.argv[1:], convert, "python -m hegelion_core.scripts.convert_for_scu")


if __name__ == "__main__":
    sys.exit(main())
