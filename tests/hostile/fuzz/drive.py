"""One target under atheris, as a process: ``python -m tests.hostile.fuzz.drive NAME FOLDER [flags of libFuzzer]``.

``FOLDER`` is for what the target writes. Only the product is instrumented.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

ADDRESSES = 16 << 30
"""Bytes: whoever wants more gets a ``MemoryError``, which is a finding."""


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    _, name, folder, *flags = sys.argv
    with atheris.instrument_imports(include=["hegelion_core", "hegelion_tui"]):
        from tests.hostile.fuzz.stretching import feed
        from tests.hostile.fuzz.targets import make_targets
    target = make_targets(Path(folder))[name]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    atheris.Setup([sys.argv[0], *flags], lambda data: feed(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
