"""Splits, JSONL and Parquet, and what reads them: ``datasets``, and mlx-lm's own readers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.tuner.datasets import CacheDataset, load_dataset

from hegelion_core.conversion.chat_template import ChatTokenizer, load_tokenizer
from hegelion_core.conversion.rendering import student_format
from hegelion_core.data_sets.build import build
from hegelion_core.data_sets.card import MARK, Details, card
from hegelion_core.data_sets.formats import FORMATS, Format, Recipe, Student
from hegelion_core.data_sets.outputs import Shares, Split, Staging, Target, splits
from hegelion_core.data_sets.rows import ROWS, columns
from hegelion_core.data_sets.source_answers import RejectedAnswers
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.errors import UserError
from hegelion_core.training.standard.data import mlx_text
from tests.fakes.sample_files import row, write
from tests.fakes.tiny_model import make_tiny_model
from tests.unit.data_sets.test_rows import ENTRY

COLUMNS: dict[Format, set[str]] = {
    "dpo": {"prompt", "chosen", "rejected", "metadata"},
    "instruction": {"id", "instruction", "input", "output", "system", "hegelion_trace"},
    "alpaca": {"id", "instruction", "input", "output", "system"},
    "sharegpt": {"id", "conversations"},
    "messages": {"id", "messages"},
    "prompt-completion": {"id", "prompt", "completion"},
    "mlx": {"id", "messages"},
}
"""What the readers' documentation wants, and what we add."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def source(folder: Path, count: int = 12) -> Path:
    samples = [row(f"Question {number}?", source="s") for number in range(count)]
    return write(folder / "in.jsonl", [*samples, {**ENTRY, "rejected": "Worse."}])


def make(folder: Path, target: Target, recipe: Recipe, shares: Shares | None = None) -> dict[Split, tuple[Path, int]]:
    with Staging.beside(folder) as staging:
        build(source(folder), recipe, staging, lambda line: None)
        return staging.deal(target, shares or Shares())


def load(path: Path) -> datasets.Dataset:
    kind = "parquet" if path.suffix == ".parquet" else "json"
    return datasets.load_dataset(kind, data_files=str(path), split="train")


@pytest.mark.parametrize("format_", [format_ for format_ in FORMATS if format_ != "mlx"])
def test_both_forms_load_with_the_same_rows(tmp_path: Path, format_: Format) -> None:
    lines = make(tmp_path, Target.file(tmp_path / "a.jsonl"), Recipe(format=format_))
    table = make(tmp_path, Target.file(tmp_path / "a.parquet"), Recipe(format=format_))
    one, other = load(lines["train"][0]), load(table["train"][0])
    assert set(one.column_names) == set(other.column_names) == COLUMNS[format_]
    assert one.to_list() == other.to_list()
    assert one.to_list() == [json.loads(line) for line in lines["train"][0].read_text().splitlines()]
    assert len(one) == lines["train"][1] == 13


def test_preferences_have_the_types_that_trl_documents(tmp_path: Path) -> None:
    made = make(tmp_path, Target.file(tmp_path / "a.parquet"), Recipe(format="dpo", rejected="both"))
    loaded = load(made["train"][0])
    messages = datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})
    assert [loaded.features[name] for name in ("prompt", "chosen", "rejected")] == [messages] * 3
    assert loaded.features["metadata"]["length_ratio"] == datasets.Value("float64")
    assert {each["chosen"][0]["role"] for each in loaded} == {"assistant"}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_the_same_again_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    target, recipe = Target.file(tmp_path / f"a{suffix}"), Recipe(format="instruction")
    shares = Shares(valid=0.2, test=0.2)
    first = {path: path.read_bytes() for path, _ in make(tmp_path, target, recipe, shares).values()}
    assert [path.name for path in first] == [f"a{suffix}", f"a.valid{suffix}", f"a.test{suffix}"]
    assert {path: path.read_bytes() for path, _ in make(tmp_path, target, recipe, shares).values()} == first
    make(tmp_path, target, recipe)  # what an earlier run made and this one does not is no part of it
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", "in.jsonl"]


@given(st.lists(st.integers(0, 30)), st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 9), st.integers(1, 40))
def test_a_prompt_is_in_one_split_and_training_keeps_one(
    prompts: list[int], valid: float, test: float, seed: int, held: int
) -> None:
    shares = Shares(valid=valid, test=test, seed=seed)
    split_of = splits(prompts, shares, held)
    kinds = [split_of(prompt) for prompt in sorted(set(prompts))]
    assert kinds == [splits(prompts, shares)(prompt) for prompt in sorted(set(prompts))]
    order = sorted(set(prompts), key=lambda prompt: hashlib.sha256(f"{seed}:{prompt}".encode()).digest())
    assert [split_of(prompt) for prompt in order] == sorted(kinds, key=("valid", "test", "train").index)
    assert abs(kinds.count("valid") - valid * len(kinds)) <= 1 or not valid or test
    if prompts:
        assert "train" in kinds
    if valid and len(kinds) > 1:
        assert "valid" in kinds
    if valid and test and len(kinds) > 2 and valid + test < 0.9:
        assert "test" in kinds


@pytest.fixture(scope="module", params=["plain", "thinking"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    folder = make_tiny_model(tmp_path_factory.mktemp("student"), thinking=request.param == "thinking")
    return load_tokenizer(folder)


def test_mlx_reads_a_folder_of_conversations(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    made = make(tmp_path, Target.folder(tmp_path / "mlx"), Recipe(format="mlx"), Shares(valid=0.1))
    train, valid, test = read(tmp_path / "mlx", tokenizer, mask_prompt=True)
    assert (len(train), len(valid), len(test)) == (made["train"][1], made["valid"][1], 0) == (12, 1, 0)
    ids, offset = CacheDataset(train)[0]
    assert "**SYNTHESIS**" in tokenizer.decode(ids[offset:])


def test_mlx_reads_completions(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    make(tmp_path, Target.folder(tmp_path / "mlx"), Recipe(format="prompt-completion"), Shares(valid=0.1))
    train, _, _ = read(tmp_path / "mlx", tokenizer, mask_prompt=True)
    ids, offset = CacheDataset(train)[0]
    assert "**SYNTHESIS**" in tokenizer.decode(ids[offset:])
    assert "Question" in tokenizer.decode(ids[:offset])


def test_mlx_reads_texts_in_the_students_own_form_are_encoded_as_ours(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    format_ = student_format(tokenizer, "tiny")
    student = Student(format=format_, text=lambda text: mlx_text(text, tokenizer))  # type: ignore[arg-type]
    make(tmp_path, Target.folder(tmp_path / "mlx"), Recipe(format="mlx", student=student), Shares(valid=0.1))
    train, _, _ = read(tmp_path / "mlx", tokenizer)
    ids, _ = CacheDataset(train)[0]
    text = tokenizer.decode(ids)
    assert text.startswith(format_.prompt("s", "").split("s")[0])
    assert ("<think>\n**THESIS**" in text) == (format_.name == "thinking")
    assert ids.count(tokenizer.bos_token_id or -1) <= 1


def read(folder: Path, tokenizer: ChatTokenizer, **more: object) -> tuple[list[object], ...]:
    arguments = SimpleNamespace(data=str(folder), train=True, test=False, **more)
    found: tuple[list[object], ...] = load_dataset(arguments, tokenizer)
    return found


@pytest.mark.parametrize("content", [b"mine\n", b'{"a":1}\n', b"PAR1nothing"])
def test_a_file_of_someone_else_is_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    target = Target.file(path)
    with pytest.raises(UserError, match="no data set of ours"):
        target.refuse(tmp_path / "in.jsonl", force=False)
    target.refuse(tmp_path / "in.jsonl", force=True)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_one_of_ours_is_replaced(tmp_path: Path, suffix: str) -> None:
    for format_ in FORMATS[:-1]:
        target = Target.file(tmp_path / f"a{suffix}")
        target.refuse(tmp_path / "in.jsonl", force=False)
        make(tmp_path, target, Recipe(format=format_))


def test_places_that_cannot_be(tmp_path: Path) -> None:
    samples = source(tmp_path)
    with pytest.raises(UserError, match="is the input itself"):
        Target.file(samples).refuse(samples, force=True)
    with pytest.raises(UserError, match=r"Name it \.jsonl or \.parquet"):
        Target.file(tmp_path / "a.csv")
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        Target.file(tmp_path / "d.jsonl").refuse(samples, force=True)
    with pytest.raises(UserError, match="wants a folder"):
        Target.folder(samples)
    with pytest.raises(UserError, match=r"in\.jsonl"), Staging.beside(samples / "below"):
        pass


def test_each_kind_of_row_is_known_by_its_columns() -> None:
    assert len({frozenset(columns(kind)) for kind in ROWS}) == len(ROWS)
    assert all(COLUMNS[format_] in [set(columns(kind)) for kind in ROWS] for format_ in FORMATS)


@pytest.mark.parametrize(
    "told", ["The worse one.", [{"role": "user", "content": "q"}, {"role": "assistant", "content": "The worse one."}]]
)
def test_the_answers_that_the_source_rejects(tmp_path: Path, told: object) -> None:
    path = tmp_path / "prefs.jsonl"
    prefs = [{"prompt": f"Question {n}?", "chosen": "x", "rejected": told} for n in range(4)]
    path.write_text("".join(json.dumps(each) + "\n" for each in prefs))
    wanted = {int(prompt_id(f"QUESTION {n}?")[2:], 16) for n in (1, 2, 9)}
    log: list[str] = []
    with RejectedAnswers() as found, Staging.beside(tmp_path) as staging:
        found.want([*wanted, *wanted])
        found.read(str(path), "train", None, tmp_path, log.append)
        assert sorted(map(found.get, wanted)) == ["", "The worse one.", "The worse one."]
        assert log[-1] == "It has one for 2 of 3 prompts."
        recipe = Recipe(format="dpo", rejected="source")
        made = build(source(tmp_path), recipe, staging, print, worse=found.get)
        assert (len(staging), made.tally.skipped) == (3, {"no_source_answer": 10})


def test_a_source_without_rejected_answers(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt":"a"}\n')
    with RejectedAnswers() as found, pytest.raises(UserError, match="has no column rejected; it has prompt"):
        found.read("p.jsonl", "train", None, tmp_path, print)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_card_says_what_was_counted(tmp_path: Path, format_: Format) -> None:
    recipe = Recipe(format=format_, rejected="both", longest_ratio=3.0)
    with Staging.beside(tmp_path) as staging:
        made = build(source(tmp_path), recipe, staging, print)
    splits = {"train": ("data/train.jsonl", 12), "validation": ("data/valid.jsonl", 1)}
    text = card(made, recipe, splits, Details(name="A <b>set</b>", license="cc-by-4.0", languages=("en",)))
    (tmp_path / "README.md").write_text(text)
    read = DatasetCard.load(tmp_path / "README.md").data
    assert (read.license, read.language) == ("cc-by-4.0", ["en"])
    assert read.configs[0]["data_files"][1] == {"split": "validation", "path": "data/valid.jsonl"}
    assert MARK in text
    assert "| kimi-code | 13 |" in text
    assert str(tmp_path) not in text
