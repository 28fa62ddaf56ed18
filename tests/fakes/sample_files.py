"""Sample files for tests: rows whose texts share no more than they are told to."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hegelion_core.dialectic.identity import prompt_id

Row = dict[str, object]


def text(seed: object, words: int) -> str:
    """Words that no text of another seed has; one sentence."""
    rng = random.Random(str(seed))
    return " ".join("".join(rng.choices("bcdfghjklmnpqrstvwxz", k=8)) for _ in range(words)).capitalize() + "."


def output(seed: object, *, answer: str | None = None, words: int = 12) -> str:
    """An output that meets the contract."""
    return (
        f"<thought>\n**THESIS**: {text((seed, 't'), words)}\n"
        f"**ANTITHESIS**: {text((seed, 'a'), words)}\nCONTRADICTION: {text((seed, 'c'), 6)}\n"
        f"**SYNTHESIS**: {text((seed, 's'), words)}\n</thought>\n{answer or text((seed, 'answer'), words)}"
    )


def row(prompt: str, answer: str | None = None, /, **metadata: object) -> Row:
    """A row of ours; ``metadata`` joins or replaces what is usual, None removes it."""
    facts = {
        "prompt_id": prompt_id(prompt),
        "source": "prompts.txt",
        "row": 1,
        "teacher": "kimi-code",
        "teacher_version": "2.1.0",
        "attempts": 1,
        **metadata,
    }
    return {
        "id": prompt_id(prompt),
        "instruction": prompt,
        "input": "",
        "output": output(prompt) if answer is None else answer,
        "system": "s",
        "hegelion_trace": {
            "query": prompt,
            "mode": "single",
            "metadata": {k: v for k, v in facts.items() if v is not None},
        },
    }


def write(path: Path, rows: Iterable[Row | bytes]) -> Path:
    """Write rows, or lines as they are given, a line each."""
    lines = [each if isinstance(each, bytes) else msgspec.json.encode(each) for each in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path
