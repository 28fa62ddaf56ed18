"""What all cases share: a sample file, a student, training rows and what they make. The same each time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec

from hegelion_core.dialectic.contract import make_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.teachers.teacher import Answer
from tests.fakes import training_runs
from tests.fakes.good_answers import good_text
from tests.faults.cases import Case
from tests.faults.place import STOCK, Stock
from tests.faults.runs import CaseRun
from tests.faults.trained import training_left
from tests.faults.warm import Warm


def make_stock(folder: Path, warm: Warm, *, train: bool) -> Stock:
    """Make it in ``folder``; with ``train`` a training too."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / "samples.jsonl"
    samples.write_bytes(b"".join(sample_line(number) for number in range(STOCK)))
    stock = Stock(samples, folder / "student", training_runs.write_rows(folder / "rows.jsonl", 14))
    if not train:
        return stock
    from tests.fakes.tiny_model import make_tiny_model

    make_tiny_model(stock.student)
    return replace(stock, training=_undisturbed(folder / "whole", warm, stock))


def _undisturbed(folder: Path, warm: Warm, stock: Stock) -> dict[str, object]:
    shutil.rmtree(folder, ignore_errors=True)
    case = Case(seed=0, number=-1, group="", scene="train", samples=0, instances=1, answers=(), strikes=())
    run = CaseRun(case, folder, warm, stock)
    outcome = run.run()
    left = training_left(run.place)
    assert left
    assert not outcome.faults, outcome.faults
    return left


def sample_line(number: int) -> bytes:
    """A line of a sample file."""
    query = f"Should town number {number} ban cars from its centre?"
    answer = Answer(text=good_text(query))
    made = make_sample(query, answer, prompt_id=prompt_id(query), system="Think.", metadata={"row": number})
    return msgspec.json.encode(made) + b"\n"
