"""The plan of batches: which rows a step sees, in which shapes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hegelion_core.training.batching import TokenRow
from hegelion_core.training.plan import (
    MAX_SHAPES,
    PACKED_UNIT,
    PADDED_UNIT,
    Batch,
    BatchPlan,
    balanced,
    best_widths,
)


def token_rows(*lengths: int) -> list[TokenRow]:
    """Rows with distinct ids, of which the second half is supervised."""
    return [
        TokenRow(np.arange(1000 * n, 1000 * n + length, dtype=np.int32), max(1, length // 2))
        for n, length in enumerate(lengths)
    ]


def shapes(batches: list[Batch]) -> set[tuple[int, ...]]:
    """What a compiled step would be traced for; packed batches are not compiled, and their P is free."""
    return {(*batch.inputs.shape, 0 if batch.spans else len(batch.positions)) for batch in batches}


def padding(batches: list[Batch], rows: list[TokenRow]) -> float:
    """The share of positions that are none of a row's."""
    real = sum(len(rows[index].ids) - 1 for batch in batches for index in batch.rows)
    return 1 - real / sum(batch.inputs.size for batch in batches)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 4))
def test_widths_are_the_best_there_are(lengths: list[int], count: int) -> None:
    widths = best_widths(np.array(lengths), count)
    assert list(widths) == sorted(set(widths))
    assert len(widths) <= count

    def padded(candidate: tuple[int, ...]) -> int:
        return sum(min(width for width in candidate if width >= length) for length in lengths)

    choices = itertools.chain.from_iterable(
        itertools.combinations(sorted(set(lengths)), size) for size in range(1, count + 1)
    )
    assert padded(widths) == min(padded(choice) for choice in choices if max(choice) >= max(lengths))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(2, 700), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 3),
    st.integers(0, 2),
    st.booleans(),
)
def test_an_epoch_takes_every_row_once_in_few_shapes(
    lengths: list[int], batch_size: int, micro_batch_size: int, seed: int, epoch: int, packed: bool
) -> None:
    rows = token_rows(*lengths)
    plan = BatchPlan(rows, batch_size, seed, micro_batch_size, packed=packed)
    first = 1 + epoch * plan.batches_per_epoch
    steps = [plan.step(step) for step in range(first, first + plan.batches_per_epoch)]
    sizes = {sum(len(batch.rows) for batch in step) for step in steps}
    assert max(sizes) <= batch_size
    whole = BatchPlan(rows, batch_size, seed, packed=packed)
    for step, parts in enumerate(steps, start=first):  # micro-batches change nothing but the split
        assert sorted(i for part in parts for i in part.rows) == sorted(whole.step(step)[0].rows)
    assert max(sizes) - min(sizes) <= 1
    batches = list(itertools.chain.from_iterable(steps))
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(rows)))
    assert len(shapes(batches)) <= MAX_SHAPES
    for batch in batches:
        assert len(batch.rows) <= micro_batch_size
        assert batch.inputs.shape[1] % (PACKED_UNIT if packed else PADDED_UNIT) == 0
        real = batch.weights > 0
        followed = batch.inputs.reshape(-1)[batch.positions[real]] + 1  # ids of a test row count up
        np.testing.assert_array_equal(followed, batch.targets[real])
        assert batch.tokens == sum(rows[index].supervised for index in batch.rows)
    assert sum(batch.tokens for batch in batches) == plan.tokens_per_epoch


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 700), min_size=1, max_size=20), st.integers(1, 6), st.integers(1, 6))
def test_packed_rows_stand_one_after_another(lengths: list[int], batch_size: int, micro_batch_size: int) -> None:
    rows = token_rows(*lengths)
    plan = BatchPlan(rows, batch_size, 0, micro_batch_size, packed=True)
    for batch in plan.every_row_once():
        end = 0
        for index, span in zip(batch.rows, batch.spans, strict=True):
            row = rows[index]
            assert span.start == end
            np.testing.assert_array_equal(batch.inputs[0, span.start : span.end], row.ids[:-1])
            assert (span.length - span.context, span.context) == (row.supervised, row.start - 1)
            end = span.end
        assert not batch.inputs[0, end:].any()


@pytest.mark.parametrize("packed", [True, False])
def test_a_plan_depends_on_the_step_alone(packed: bool) -> None:
    rows = token_rows(*range(10, 90, 3))
    straight = BatchPlan(rows, 4, seed=1, packed=packed)
    batches = [straight.step(step)[0] for step in range(1, 30)]
    again = BatchPlan(rows, 4, seed=1, packed=packed)
    for step in (29, 3, 17, 8):
        np.testing.assert_array_equal(again.step(step)[0].inputs, batches[step - 1].inputs)
    orders = [tuple(BatchPlan(rows, 4, seed, packed=packed).step(1)[0].rows) for seed in range(6)]
    assert len(set(orders)) > 3


def test_rows_of_one_padded_batch_have_similar_lengths() -> None:
    plan = BatchPlan(token_rows(*([40] * 8 + [400] * 8)), 4, seed=0)
    padded = sum(plan.step(step)[0].inputs.size for step in range(1, 5))
    assert padded == 8 * 64 + 8 * 416


MIXED = np.random.default_rng(0).integers(10, 1001, 500)
"""Lengths in tokens."""
DEMO = (421, 437, 448, 466, 489, 502, 517, 530, 588, 655)
"""As the demo's: ten rows, one a step."""


@pytest.mark.parametrize(
    ("lengths", "batch_size", "micro_batch_size"),
    [(MIXED, 4, 4), (MIXED, 8, 4), (MIXED[:50], 4, 4), (DEMO, 1, 1), (DEMO, 4, 4), (DEMO, 4, 1)],
)
def test_500_steps_have_few_shapes_and_little_padding(
    lengths: tuple[int, ...], batch_size: int, micro_batch_size: int
) -> None:
    rows = token_rows(*lengths)
    plan = BatchPlan(rows, batch_size, 0, micro_batch_size, packed=True)
    batches = [batch for step in range(1, 501) for batch in plan.step(step)]
    assert len(shapes(batches)) <= MAX_SHAPES
    assert padding(batches, rows) < 0.03


def test_rows_meet_others_in_each_epoch() -> None:
    lengths = MIXED[:40]
    met = [{tuple(sorted(batch)) for batch in balanced(lengths, 10, np.random.default_rng(seed))} for seed in (1, 2)]
    assert len(met[0] & met[1]) <= 2
    totals = [lengths[batch].sum() for batch in balanced(lengths, 10, np.random.default_rng(1))]
    assert max(totals) - min(totals) < 0.15 * np.mean(totals)
