"""A part of the cases of ``python -m tests.faults``, always the same ones: 190 without the trainer, and 10 with it.

Each class of faults has its share. A case that fails tells the command that runs it alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import cases
from tests.faults.__main__ import in_memory
from tests.faults.place import Stock
from tests.faults.runs import run_case
from tests.faults.stock import make_stock
from tests.faults.warm import Warm

SEED = 7
CASES, IN_A_BATCH = 190, 10
TRAININGS, TOGETHER = 10, 5  # few batches: each process that runs one needs an undisturbed training first


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm() as running:
        yield running


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    # Not pytest's own: its names are too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="faults-", dir=in_memory()) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def stock(root: Path, warm: Warm) -> Stock:
    return make_stock(root / "stock", warm, train=False)


@pytest.fixture(scope="module")
def trained(root: Path, warm: Warm) -> Stock:
    return make_stock(root / "trained", warm, train=True)


@pytest.mark.parametrize("first", range(0, CASES, IN_A_BATCH))
def test_nothing_is_lost(first: int, root: Path, warm: Warm, stock: Stock) -> None:
    for number in range(first, first + IN_A_BATCH):
        case = cases.make(SEED, number)
        assert run_case(case, root, warm, stock).faults == [], case.command


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, TRAININGS, TOGETHER))
def test_a_training_makes_the_same_bytes(first: int, root: Path, warm: Warm, trained: Stock) -> None:
    for number in range(first, first + TOGETHER):
        case = cases.make(SEED, number, train=True)
        assert run_case(case, root, warm, trained).faults == [], case.command


def test_a_seed_makes_a_case() -> None:
    for train, groups in ((False, cases.GROUPS), (True, cases.TRAINING)):
        whole = sum(share for share, _, _ in groups.values())
        made = [cases.make(3, number, train=train) for number in range(whole)]
        assert made == [cases.make(3, number, train=train) for number in range(whole)]
        for name, (share, _, _) in groups.items():
            assert sum(case.group == name for case in made) == share
    assert cases.make(3, 0) != cases.make(4, 0)
