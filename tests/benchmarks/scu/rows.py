"""Rows to train on: 36 short dialectical answers, written for this, and docstrings of Python's own library. Pure."""

from __future__ import annotations

import ast
import inspect
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START, END = "<|im_start|>", "<|im_end|>"
LEFT_OUT = (
    *("asyncio", "collections", "configparser", "datetime", "difflib", "email", "ipaddress", "mailbox"),
    *("pathlib", "random", "shutil", "statistics", "tarfile", "threading", "urllib", "zipfile"),
)
"""Modules whose docstrings no student sees in pretraining: the trainings' rows are taken from them."""


@dataclass(frozen=True)
class Entry:
    """A question and its answer."""

    name: str
    question: str
    text: str

    @property
    def prompt(self) -> str:
        """The question, in ChatML, up to where the answer begins."""
        return f"{START}user\n{self.question}{END}\n{START}assistant\n"

    def row(self) -> dict[str, object]:
        """A line of a training file."""
        return {"id": self.name, "text": f"{self.prompt}{self.text}{END}\n", "answer_start": len(self.prompt)}


def dialectic_rows() -> list[Entry]:
    """The 36 answers, each to another question."""
    lines = Path(__file__).with_name("dialectic_rows.jsonl").read_text("utf-8").splitlines()
    return [_dialectic(number, json.loads(line)) for number, line in enumerate(lines)]


def _dialectic(number: int, parts: dict[str, str]) -> Entry:
    thought = "\n".join(f"**{name.upper()}**: {parts[name]}" for name in ("thesis", "antithesis", "synthesis"))
    return Entry(f"dialectic-{number}", parts["query"], f"<thought>\n{thought}\n</thought>\n{parts['answer']}")


def entries() -> list[Entry]:
    """The docstrings of Python's library, of 40 to 1,000 characters, by name."""
    library = Path(inspect.getfile(ast)).parent
    found: dict[str, Entry] = {}
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        module = ".".join(path.relative_to(library).with_suffix("").parts)
        if module.startswith(("test", "lib2to3", "idlelib", "site-packages", "_")):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        found.update((entry.name, entry) for entry in _documented(tree, module))
    return sorted(found.values(), key=lambda entry: entry.name)


def _documented(node: ast.AST, name: str) -> Iterator[Entry]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef):
            continue
        inner = f"{name}.{child.name}"
        text = (ast.get_docstring(child) or "").strip()
        if 40 <= len(text) <= 1000 and text.isascii():
            yield Entry(inner, f"What does {inner} do?", text)
        yield from _documented(child, inner)


def docstring_rows(count: int, seed: int) -> list[Entry]:
    """``count`` entries of the modules that pretraining leaves out, the same for the same seed."""
    fitting = [entry for entry in entries() if entry.name.split(".")[0] in LEFT_OUT]
    return random.Random(seed).sample(fitting, count)
