"""The Step line, its means, and the metrics file."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.errors import UserError
from hegelion_core.training.metrics import StepMetrics, append_step, cut_back, plain, step_line, summarise


def metrics(step: int, *, loss: float = 1.0, tokens: int = 100, param: float = 0.01, lam: float = 1.0) -> StepMetrics:
    return StepMetrics(
        step=step,
        loss=loss,
        data_bpt=loss / math.log(2),
        param_bpt=param,
        s=0.01,
        s_hat=0.01,
        lam=lam,
        lambda_after=2 * lam,
        lr=1e-4,
        grad_norm=1.0,
        tokens=tokens,
        seconds=0.5,
    )


def test_the_line_is_the_guides() -> None:
    line = step_line(summarise([metrics(19, lam=0.5), metrics(20, loss=2.0, tokens=300, param=0.03)], iters=20))
    assert line == "Step 20: Loss=1.750, DataBPT=2.525, ParamBPT=0.02000, S=0.79%, λ=0.5000 -> 2.0000"


def test_a_log_may_tell_of_a_negative_strength() -> None:
    assert plain(-1.5) == "-1.5000"


@given(st.floats(1e-12, 1e6))
def test_numbers_are_plain_with_four_significant_digits(value: float) -> None:
    text = plain(value)
    assert re.fullmatch(r"\d+\.\d{4,}", text)
    assert float(text) == pytest.approx(value, rel=5.1e-4)


def test_zero_is_plain() -> None:
    assert plain(0.0) == "0.0000"


def test_the_file_is_cut_back_to_a_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in range(1, 6):
        append_step(path, metrics(step))
    with path.open("a") as file:
        file.write('{"step": 6, "lo')
    assert [kept.step for kept in cut_back(path, 3)] == [1, 2, 3]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[0]["lambda"] == 1.0
    assert "validation" not in lines[0]
    assert cut_back(tmp_path / "new.jsonl", 3) == []


def test_a_file_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="step 3 cannot be written"):
        append_step(tmp_path / "none" / "metrics.jsonl", metrics(3))
