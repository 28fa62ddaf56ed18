"""Reading rows, splitting them, and token ids."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.training.batching import Row, encode_rows, read_rows, split_rows


def by_character(row: Row) -> tuple[list[int], int]:
    """An encoder with a token for each character."""
    return [ord(character) for character in row.text], row.answer_start


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
    encoded = encode_rows([Row("1", "<prompt>answer.", 8, 5)], by_character, 10)
    (row,) = encoded.rows
    assert bytes(row.ids.tolist()) == b"<t>answer."
    assert (row.start, encoded.cut, encoded.skipped) == (3, (5,), ())
    assert (encoded.answers_cut, encoded.longest) == (0, 15)
    assert encode_rows([Row("1", "<prompt>answer.", 8, 5)], by_character, 8).answers_cut == 0
    assert encode_rows([Row("1", "<prompt>answer.", 8, 5)], by_character, 7).answers_cut == 1


def test_rows_without_a_supervised_token_are_counted() -> None:
    rows = [Row("1", "prompt", 6, 1), Row("2", "x", 0, 2), Row("3", "", 0, 3), Row("4", "ok", 0, 4)]
    encoded = encode_rows(rows, by_character, 100)
    assert (len(encoded.rows), encoded.skipped, encoded.cut) == (1, (1, 2, 3), ())
    assert encoded.supervised == 1  # the first token has no context to be predicted from
