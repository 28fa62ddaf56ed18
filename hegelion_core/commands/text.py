"""Text made fit for a terminal. Pure, and light: every command needs it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text of a model, a file or a command line without anything that could steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
