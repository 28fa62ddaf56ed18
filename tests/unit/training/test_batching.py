"""Reading rows, splitting them, token ids, and the plan of batches."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.training.batching import (
    MAX_SHAPES,
    WIDTH_UNIT,
    BatchPlan,
    Row,
    TokenRow,
    best_widths,
    encode_rows,
    read_rows,
    split_rows,
)


def by_character(row: Row) -> tuple[list[int], int]:
    """An encoder with a token for each character."""
    return [ord(character) for character in row.text], row.answer_start


def token_rows(*lengths: int) -> list[TokenRow]:
    """Rows with distinct ids, of which the second half is supervised."""
    return [
        TokenRow(np.arange(1000 * n, 1000 * n + length, dtype=np.int32), max(1, length // 2))
        for n, length in enumerate(lengths)
    ]


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def test_rows_are_read_with_and_without_id_and_answer_start(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", "\ufeff", {"text": "ab", "id": 7, "answer_start": 1}, "\n", {"text": "cd"})
    first, second = read_rows(path)
    assert (first.id, first.text, first.answer_start) == ("7", "ab", 1)
    assert (second.text, second.answer_start) == ("cd", 0)
    assert second.id


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a"', "line 2"),
        ('{"prompt": "a"}', "text"),
        ('{"text": 3}', "line 2"),
        ('{"text": "abc", "answer_start": 4}', "outside the text of 3"),
        ('{"text": "abc", "answer_start": -1}', "outside"),
        ("[]", "line 2"),
        ("\x00", "line 2"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "rows.jsonl", {"text": "fine"}, line + "\n")
    with pytest.raises(UserError) as caught:
        read_rows(path)
    assert said in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_missing_an_empty_file_and_a_folder_are_user_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", write(tmp_path / "empty.jsonl", "\n"), tmp_path):
        with pytest.raises(UserError, match=str(path)):
            read_rows(path)


prompted_rows = st.lists(
    st.builds(
        lambda prompt, answer, name: Row(name, prompt + answer, len(prompt)),
        st.sampled_from(["a?", "b?", "c?", "dd?", ""]),
        st.text("xyz", min_size=1, max_size=3),
        st.sampled_from(["1", "2", "3", "4", "5", "6"]),
    ),
    max_size=12,
)


@given(prompted_rows, st.floats(0, 0.99), st.integers(0, 5))
def test_a_split_keeps_prompts_apart_and_loses_nothing(rows: list[Row], share: float, seed: int) -> None:
    train, held_out = split_rows(rows, share, seed)
    assert sorted(map(str, train + held_out)) == sorted(map(str, rows))
    assert not {row.id for row in train} & {row.id for row in held_out}
    prompts = [{row.text[: row.answer_start] for row in part if row.answer_start} for part in (train, held_out)]
    assert not prompts[0] & prompts[1]
    assert train or not rows
    assert not held_out or share > 0


def test_a_split_holds_out_the_share_at_least_one_and_follows_the_seed_alone() -> None:
    rows = [Row(str(n), f"question {n}? answer", 12) for n in range(12)]
    assert [len(split_rows(rows, share, 0)[1]) for share in (0, 0.01, 0.17, 0.5, 0.99)] == [0, 1, 2, 6, 11]
    assert len(split_rows(rows[:2], 0.1, 0)[1]) == 1
    assert split_rows(rows[:1], 0.5, 0) == (rows[:1], [])
    backwards = split_rows(rows[::-1], 0.5, 3)[1]
    assert backwards[::-1] == split_rows(rows, 0.5, 3)[1]
    assert len({tuple(row.id for row in split_rows(rows, 0.5, seed)[1]) for seed in range(8)}) > 4


def test_a_long_row_loses_its_beginning_but_not_its_first_and_end_token() -> None:
    encoded = encode_rows([Row("1", "<prompt>answer.", 8)], by_character, 10)
    (row,) = encoded.rows
    assert bytes(row.ids.tolist()) == b"<t>answer."
    assert (row.start, encoded.cut, encoded.skipped) == (3, 1, 0)


def test_rows_without_a_supervised_token_are_counted() -> None:
    rows = [Row("1", "prompt", 6), Row("2", "x"), Row("3", ""), Row("4", "ok")]
    encoded = encode_rows(rows, by_character, 100)
    assert (len(encoded.rows), encoded.skipped, encoded.cut) == (1, 3, 0)
    assert encoded.supervised == 1  # the first token has no context to be predicted from


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


@given(st.lists(st.integers(2, 700), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 3), st.integers(0, 2))
def test_an_epoch_takes_every_row_once_in_few_shapes(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    rows = token_rows(*lengths)
    plan = BatchPlan(rows, batch_size, seed)
    first = 1 + epoch * plan.batches_per_epoch
    batches = [batch for step in range(first, first + plan.batches_per_epoch) for batch in plan.step(step)]
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(rows)))
    assert len({(batch.inputs.shape, batch.positions.shape) for batch in batches}) <= MAX_SHAPES
    for batch in batches:
        assert len(batch.rows) <= batch_size
        assert batch.inputs.shape[1] % WIDTH_UNIT == 0
        real = batch.weights > 0
        followed = batch.inputs.reshape(-1)[batch.positions[real]] + 1  # ids of a test row count up
        np.testing.assert_array_equal(followed, batch.targets[real])
        assert batch.tokens == sum(rows[index].supervised for index in batch.rows)
    assert sum(batch.tokens for batch in batches) == plan.tokens_per_epoch


def test_a_plan_depends_on_the_step_alone() -> None:
    rows = token_rows(*range(10, 90, 3))
    straight = BatchPlan(rows, 4, seed=1)
    batches = [straight.step(step)[0] for step in range(1, 30)]
    again = BatchPlan(rows, 4, seed=1)
    for step in (29, 3, 17, 8):
        np.testing.assert_array_equal(again.step(step)[0].inputs, batches[step - 1].inputs)
    orders = [tuple(BatchPlan(rows, 4, seed).step(1)[0].rows) for seed in range(6)]
    assert len(set(orders)) > 3


def test_rows_of_one_batch_have_similar_lengths() -> None:
    plan = BatchPlan(token_rows(*([40] * 8 + [400] * 8)), 4, seed=0)
    padded = sum(plan.step(step)[0].inputs.size for step in range(1, 5))
    assert padded == 8 * 64 + 8 * 416
