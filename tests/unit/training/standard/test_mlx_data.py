"""The rows for ``mlx_lm.lora`` by hand: mlx-lm's own dataset classes make the ids of them that this product makes."""

from __future__ import annotations

import json
import types
from pathlib import Path

import pytest
from mlx_lm.tuner.datasets import create_dataset, load_local_dataset
from mlx_lm.utils import load_tokenizer

from hegelion_core.conversion.rendering import student_format
from hegelion_core.dialectic.sample import Sample, SampleTrace
from hegelion_core.training.batching import Row
from hegelion_core.training.standard.data import Prepared, left_out, prepare, words
from tests.fakes.tiny_model import CHATML, make_tiny_model

THESIS, ANTITHESIS, SYNTHESIS = "Cities should ban cars.", "People need them.", "Ban them where trams run."
OUTPUT = (
    f"<thought>\n**THESIS**: {THESIS}\n**ANTITHESIS**: {ANTITHESIS}\n**SYNTHESIS**: {SYNTHESIS}\n</thought>\n"
    "Begin with the centre."
)


def samples() -> list[Sample]:
    trace = SampleTrace(query="q", mode="single", thesis=THESIS, antithesis=ANTITHESIS, synthesis=SYNTHESIS)
    questions = ["Ban cars?", "Ban all the cars in the centre of the city?", "Cars?"]
    return [
        Sample(id=str(n), instruction=question, output=OUTPUT, system="Reason.", hegelion_trace=trace)
        for n, question in enumerate(questions)
    ]


def student(folder: Path, kind: str) -> Path:
    """A model folder: plain ChatML, thinking with a begin token, or a begin token that the template does not write."""
    made = make_tiny_model(folder / kind, thinking=kind != "plain")
    if kind == "unwritten":
        path = made / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": CHATML}))
    return made


def rows_of(folder: Path) -> list[Row]:
    format_ = student_format(load_tokenizer(folder), folder.name)
    made = [format_.row(sample) for sample in samples()]
    return [Row(row.id, row.text, row.answer_start) for row in made]


@pytest.mark.parametrize("kind", ["plain", "thinking", "unwritten"])
def test_mlx_lm_makes_the_same_ids(tmp_path: Path, kind: str) -> None:
    folder = student(tmp_path, kind)
    tokenizer, rows = load_tokenizer(folder), rows_of(folder)
    assert prepare(tmp_path / "mlx", rows[:2], rows[2:], tokenizer, 4096) == Prepared(2, 1, (), 0)
    train, valid, test = load_local_dataset(tmp_path / "mlx", tokenizer, types.SimpleNamespace())
    assert (len(train), len(valid), len(test)) == (2, 1, 0)
    made = [train.process(train[i])[0] for i in range(2)] + [valid.process(valid[0])[0]]
    assert made == [tokenizer.encode(row.text, add_special_tokens=False) for row in rows]
    for ids in made:
        assert ids.count(tokenizer.bos_token_id) == (0 if kind == "plain" else 1)
        assert ids.count(tokenizer.eos_token_id) >= 1
        assert all(part in tokenizer.decode(ids) for part in (THESIS, ANTITHESIS, SYNTHESIS, "Begin with the centre."))


def test_why_it_is_text_the_other_forms_lose_the_trace_and_a_plain_text_has_two_begin_tokens(tmp_path: Path) -> None:
    """If mlx-lm mends this one day, a form that masks the prompt can take its place."""
    folder = student(tmp_path, "thinking")
    tokenizer, sample = load_tokenizer(folder), samples()[0]
    answer = OUTPUT.replace("thought>", "think>")
    messages = [{"role": "user", "content": sample.instruction}, {"role": "assistant", "content": answer}]
    for row in ({"messages": messages}, {"prompt": sample.instruction, "completion": answer}):
        dataset = create_dataset([row], tokenizer, types.SimpleNamespace())
        assert THESIS not in tokenizer.decode(dataset.process(dataset[0])[0])
    text = create_dataset([{"text": rows_of(folder)[0].text}], tokenizer, types.SimpleNamespace())
    assert text.process(text[0])[0][:2] == [tokenizer.bos_token_id] * 2


def test_an_end_token_that_is_not_the_tokenizers_is_counted(tmp_path: Path) -> None:
    folder = student(tmp_path, "plain")
    rows = rows_of(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token": "<|endoftext|>"}))
    assert prepare(tmp_path / "mlx", rows, [], load_tokenizer(folder), 4096).different == 3


def test_rows_are_sorted_long_ones_left_out_and_an_old_file_goes(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(student(tmp_path, "plain"))
    rows = [Row(str(n), "x" * n + "<|im_end|>", 0, line) for line, n in enumerate((30, 10, 50, 20), start=1)]
    mlx = tmp_path / "mlx"
    prepare(mlx, rows, rows[:1], tokenizer, 100)
    assert (mlx / "valid.jsonl").exists()
    prepared = prepare(mlx, rows, [], tokenizer, 31)
    assert prepared == Prepared(3, 0, (3,), 0)
    assert "1 rows of more than 31 tokens (line 3) are left out" in left_out(prepared, mlx, 31)
    lengths = [len(json.loads(line)["text"]) - len("<|im_end|>") for line in (mlx / "train.jsonl").open()]
    assert lengths == [10, 20, 30]
    assert not (mlx / "valid.jsonl").exists()


def test_if_no_row_fits_it_says_so_and_names_no_command(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(student(tmp_path, "plain"))
    rows = [Row(str(n), "x" * 30 + "<|im_end|>", 0, n) for n in range(1, 6)]
    prepared = prepare(tmp_path / "mlx", rows, [], tokenizer, 20)
    assert prepared == Prepared(0, 0, (1, 2, 3, 4, 5), 0)
    assert "(lines 1, 2, 3, ...)" in left_out(prepared, tmp_path, 20)
    assert "no row is left" in left_out(prepared, tmp_path, 20)
    assert "mlx_lm.lora" not in "".join(words(prepared, tmp_path))
