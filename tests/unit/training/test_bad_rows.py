"""Rows and students that training cannot use: one clear line for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlx.nn.layers.base import Module
from mlx.nn.layers.normalization import RMSNorm

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.events import NoticePosted
from hegelion_core.settings import TrainingSettings
from hegelion_core.training.batching import read_rows
from hegelion_core.training.lora import add_lora
from tests.fakes.tiny_model import make_tiny_model
from tests.fakes.training_runs import Here, metrics


def refused(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_rows(path)
    assert caught.value.exit_code == ExitCode.USAGE
    assert len(str(caught.value).splitlines()) == 2
    return caught.value


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_no_rows(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    assert f"{path}: holds no rows" in refused(path).message


@pytest.mark.parametrize(
    "row", [{"messages": []}, {"prompt": "a", "completion": "b"}, {"text": None}, {"text": 3}, ["text"]]
)
def test_rows_without_text(tmp_path: Path, row: object) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "one"}) + "\n" + json.dumps(row) + "\n")
    error = refused(path)
    assert f"{path}, line 2: is not a training row" in error.message
    assert "convert" in error.hint


def test_a_folder_in_place_of_a_file_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    assert "Give a JSONL file" in refused(folder).hint
    (folder / "data-00000-of-00001.arrow").touch()
    assert "save_to_disk" in refused(folder).hint
    (folder / "test.jsonl").touch()
    assert refused(folder).hint == f"Give the file itself: {folder / 'test.jsonl'}"
    (folder / "train.jsonl").touch()
    assert refused(folder).hint == f"Give the file itself: {folder / 'train.jsonl'}"


def test_one_row_is_trained_on_without_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "Why? Because.", "answer_start": 4}\n')
    training = Here(tmp_path / "run", make_tiny_model(tmp_path / "student"), data)
    training.train(iters=4)
    said = capsys.readouterr().out
    assert "none is held out, so there is no validation, and the last weights are kept" in said
    assert "The adapter is that of the last step, 4: there was no validation." in said
    assert len(metrics(training.folder)) == 4
    assert (training.adapter / "adapters.safetensors").exists()


def test_rows_that_do_not_fit_are_counted_named_and_told_what_to_do(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    long = "Why? " + "Because. " * 20
    rows = [("Why? Because.", 4), (long, 4), ("Why?", 4), (long + "So.", len(long))] * 2
    data.write_text("".join(json.dumps({"text": text, "answer_start": start}) + "\n" for text, start in rows))
    training = Here(tmp_path / "run", make_tiny_model(tmp_path / "student"), data)
    training.train(iters=1, max_seq_length=40)
    told = [event.text for event in training.reported() if isinstance(event, NoticePosted)]
    assert told == [
        "4 of 8 rows are longer than 40 tokens (lines 2, 4, 6, ...): they lose their beginning, 2 of them part of the"
        " answer. If memory allows: --max-seq-length 188.",
        "2 of 8 rows have no supervised token (lines 3, 7) and are left out: see their answer_start, or convert the"
        " samples again.",
    ]


def test_if_no_row_is_left_that_is_one_error(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "Why?", "answer_start": 4}\n' * 3)
    with pytest.raises(UserError, match="none of its 3 rows has a supervised token") as caught:
        Here(tmp_path / "run", make_tiny_model(tmp_path / "student"), data).train(iters=1)
    assert caught.value.exit_code == ExitCode.USAGE


class NoLinears(Module):
    """A model whose layers hold nothing that LoRA could adapt."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers = [RMSNorm(4)]


def test_a_model_without_targets() -> None:
    with pytest.raises(UserError, match="some/model: its layers hold no linear modules") as caught:
        add_lora(NoLinears(), TrainingSettings(model="some/model"))
    assert caught.value.exit_code == ExitCode.USAGE
