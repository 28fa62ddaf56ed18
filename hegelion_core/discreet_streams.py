"""Streams on which no credential is written: tracebacks and logs of libraries say what they like."""

from __future__ import annotations

import io
import os
import sys
from typing import Literal


class _Discreet(io.TextIOWrapper):
    """Writes where another stream does, without credentials of this process's environment."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        raw = os.fdopen(os.dup(stream.fileno()), "wb", buffering=0)
        super().__init__(raw, encoding=stream.encoding, errors=stream.errors, line_buffering=True, write_through=True)

    def write(self, text: str) -> int:
        from hegelion_core.redaction import Redactor  # most processes say nothing here, and start sooner

        super().write(Redactor(os.environ)(text))
        return len(text)


def keep_credentials_from(*names: Literal["stdout", "stderr"]) -> None:
    """From here on this process's own streams of these names are discreet; others' that stand in for them are left."""
    for name in names:
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _Discreet(stream))
