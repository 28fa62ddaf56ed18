"""What all cases share: a sample file, a student, and training rows. Made once, the same each time."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from hegelion_core.dialectic.contract import make_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.teachers.teacher import Answer
from tests.fakes import training_runs
from tests.fakes.good_answers import good_text
from tests.faults.place import Stock
from tests.faults.warm import Warm

SAMPLES = 400


def make_stock(folder: Path, warm: Warm, *, train: bool) -> Stock:
    """Make it in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / "samples.jsonl"
    samples.write_bytes(b"".join(_line(number) for number in range(SAMPLES)))
    rows = training_runs.write_rows(folder / "rows.jsonl", 14)
    student = folder / "student"
    if train:
        from tests.fakes.tiny_model import make_tiny_model

        make_tiny_model(student)
    return Stock(samples, student, rows)


def _line(number: int) -> bytes:
    query = f"Should town number {number} ban cars from its centre?"
    sample = make_sample(
        query,
        Answer(text=good_text(query)),
        prompt_id=prompt_id(query),
        system="Think.",
        metadata={"made": time.time()},
    )
    return msgspec.json.encode(sample) + b"\n"
