"""Text made fit for a terminal. Pure, and light: every command needs it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text of a model, a file or a command line without anything that could steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def printable_json(document: bytes) -> str:
    """A JSON document as a line whose characters steer no terminal: they are escaped, so that nothing is lost."""
    text = document.decode()
    return (text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)) + "\n"


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
