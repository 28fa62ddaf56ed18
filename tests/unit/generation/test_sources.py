"""Where prompts come from: files, data sets, what is left out, and the order in which they are asked."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from datasets import Dataset
from huggingface_hub import HfApi
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core import events
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import sources
from hegelion_core.generation.data_sets import open_data_set
from hegelion_core.generation.prompt_files import SourcePrompt, read_prompt_file
from hegelion_core.generation.prompts import Prompt
from hegelion_core.generation.sources import check_source, evaluation_prompts, open_source, prepare, select
from hegelion_core.settings import EvaluationSettings, GenerationSettings, Settings
from hegelion_core.worker import Job, Worker
from hegelion_core.workspace import Workspace

NONE: frozenset[str] = frozenset()


def found(*texts: str) -> list[SourcePrompt]:
    return [SourcePrompt(text, "s", row) for row, text in enumerate(texts)]


def texts(path: Path) -> list[str]:
    return [prompt.text for prompt in read_prompt_file(path)]


# Prompt files


def test_a_text_file_is_a_prompt_a_line(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes("\ufeff# comment\r\nFirst?\r\n\r\n  Zwei\u2028tens?  \n#x\nLast".encode())
    assert list(read_prompt_file(path)) == [
        SourcePrompt("First?", "p.txt", 2),
        SourcePrompt("Zwei\u2028tens?", "p.txt", 4),
        SourcePrompt("Last", "p.txt", 6),
    ]


def test_json_lines_name_their_prompt_in_several_ways(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows: list[dict[str, object]] = [
        {"prompt": "a", "text": "no"},
        {"instruction": "b"},
        {"query": "c", "prompt": None},
        {"text": "# d"},
    ]
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(json.dumps(row).encode() for row in rows))
    assert texts(path) == ["a", "b", "c", "# d"]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("p.txt", b"good\nb\xff\xfed\n", "p.txt, line 2: is not UTF-8 text"),
        ("p.jsonl", b'{"prompt": "a"}\n\n{"prompt": \n', "p.jsonl, line 3: is not a JSON object"),
        ("p.jsonl", b'{"prompt": ' + b"[" * 100_000, "p.jsonl, line 1: is not a JSON object"),
        ("p.jsonl", b'"a"\n', "p.jsonl, line 1: is not a JSON object"),
        ("p.jsonl", b'{"question": "a"}\n', "p.jsonl, line 1: has no prompt; it holds question"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=fault) as error:
        texts(tmp_path / name)
    assert error.value.hint
    assert error.value.exit_code == ExitCode.USAGE


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.txt: cannot be read"):
        texts(tmp_path / "nowhere.txt")
    with pytest.raises(UserError, match="cannot be read"):
        texts(tmp_path)


# Selection


@given(st.lists(st.text(max_size=6)), st.integers(0, 5))
def test_the_order_follows_from_seed_and_prompts_alone(lines: list[str], seed: int) -> None:
    shuffled = found(*sorted(lines, key=lambda line: prompt_id(line + "x")))
    one = select(found(*lines), seed=seed, max_chars=5, held_out=NONE)
    other = select(shuffled, seed=seed, max_chars=5, held_out=NONE)
    assert [prompt.id for prompt in one.prompts] == [prompt.id for prompt in other.prompts]
    assert len({prompt.id for prompt in one.prompts}) == len(one.prompts)
    assert len(one.prompts) + one.left_out.total() == len(lines)


def test_another_seed_gives_another_order() -> None:
    prompts = found(*(f"Question {n}?" for n in range(50)))
    orders = [[p.id for p in select(prompts, seed=s, max_chars=99, held_out=NONE).prompts] for s in (0, 1)]
    assert orders[0] != orders[1]
    assert set(orders[0]) == set(orders[1])


def test_what_is_left_out_is_counted_by_reason() -> None:
    prompts = found(" Keep me ", "keep  ME", "", " \n", "x" * 11, "Held out?")
    selection = select(prompts, seed=0, max_chars=10, held_out=frozenset({prompt_id("held out?")}))
    assert selection.prompts == [Prompt(id=prompt_id("Keep me"), text="Keep me", source="s", row=0)]
    assert selection.left_out == {"duplicate": 1, "empty": 2, "too_long": 1, "held_out_for_evaluation": 1}


# Data sets


@pytest.fixture
def hub_layout(tmp_path: Path) -> Path:
    """A folder as UltraFeedback's: two splits, a column of prompts among others."""
    (tmp_path / "set" / "data").mkdir(parents=True)
    for split, questions in {"train_prefs": ["One?", "Two?"], "test_prefs": ["Three?"]}.items():
        rows = Dataset.from_dict({"prompt_id": [split] * len(questions), "prompt": questions})
        rows.to_parquet(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet")
    return tmp_path


def test_a_split_of_a_local_folder(hub_layout: Path) -> None:
    name, prompts = open_source(GenerationSettings(dataset="set", split="train_prefs"), Workspace(hub_layout))
    assert name == "set/train_prefs"
    assert list(prompts) == [SourcePrompt("One?", name, 0), SourcePrompt("Two?", name, 1)]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_data_file(tmp_path: Path, suffix: str) -> None:
    rows = Dataset.from_dict({"id": [1, 2], "instruction": ["One?", None]})
    if suffix == "parquet":
        rows.to_parquet(tmp_path / "set.parquet")
    else:
        rows.to_json(tmp_path / "set.jsonl")
    _, prompts = open_source(GenerationSettings(dataset=f"set.{suffix}"), Workspace(tmp_path))
    assert [prompt.text for prompt in prompts] == ["One?", ""]


def test_an_unknown_split_or_column_says_which_exist(hub_layout: Path) -> None:
    with pytest.raises(
        UserError, match=r"no split 'train'\.\nIt has (test_prefs, train_prefs|train_prefs, test_prefs)"
    ):
        open_source(GenerationSettings(dataset="set", split="train"), Workspace(hub_layout))
    (hub_layout / "odd.jsonl").write_text('{"question": "a", "prompt": ["a"]}\n')
    with pytest.raises(UserError, match="no column of prompts; it has question, prompt"):
        open_source(GenerationSettings(dataset="odd.jsonl"), Workspace(hub_layout))


class HubBuilder:
    """As ``datasets`` describes a data set of the hub."""

    def __init__(self, columns: list[str] | None) -> None:
        self.config = SimpleNamespace(columns=columns, data_files={"train_prefs": object()})

    def as_streaming_dataset(self, split: str) -> list[dict[str, object]]:
        row: dict[str, object] = {"messages": [], "prompt": "One?"}
        return [{name: row[name] for name in self.config.columns or row}]


def test_a_hub_data_set_is_read_at_the_commit_that_is_recorded_and_only_its_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def load_builder(path: str, revision: str | None = None, columns: list[str] | None = None) -> HubBuilder:
        asked.append((path, revision))
        return HubBuilder(columns)

    def info(api: object, name: str, revision: str | None, timeout: float) -> SimpleNamespace:
        assert (name, revision) == ("owner/set", "main")
        return SimpleNamespace(sha="c0ffee")

    monkeypatch.setattr("datasets.load_dataset_builder", load_builder)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", info)
    opened = open_data_set("owner/set", "train_prefs", "main", tmp_path)
    assert opened.name == "owner/set@c0ffee/train_prefs"
    assert list(opened.rows) == [{"prompt": "One?"}]
    assert asked == [("owner/set", "c0ffee")] * 2


class _Hub(BaseHTTPRequestHandler):
    """A hub that knows no data set."""

    def do_GET(self) -> None:
        self.send_response(404 if "revision" in self.path or "missing" in self.path else 401)
        error = "RevisionNotFound" if "revision" in self.path else "RepoNotFound"
        self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


@pytest.mark.parametrize(
    ("dataset", "revision", "fault"),
    [
        ("owner/missing", None, "There is no folder or file owner/missing here, and the hub has no such data set"),
        ("owner/set", "nope", "The data set owner/set has no revision 'nope'"),
        ("a b c", None, "There is no folder or file a b c here, and it is no name of the hub's"),
    ],
)
def test_what_the_hub_does_not_have_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, revision: str | None, fault: str
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Hub) as hub:
        threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setattr("huggingface_hub.HfApi", partial(HfApi, endpoint=f"http://127.0.0.1:{hub.server_port}"))
        with pytest.raises(UserError, match=re.escape(fault)) as raised:
            open_data_set(dataset, "train_prefs", revision, tmp_path)
        hub.shutdown()
    assert raised.value.exit_code == ExitCode.USAGE


def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr("huggingface_hub.HfApi", partial(HfApi, endpoint=f"http://127.0.0.1:{port}"))
    with pytest.raises(UserError, match="no folder or file owner/set here, and the hub cannot be reached") as raised:
        open_data_set("owner/set", "train_prefs", None, tmp_path)
    assert raised.value.exit_code == ExitCode.NOT_READY


def test_a_prompt_file_that_is_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UserError, match=r"pipe\.txt: is no regular file"):
        texts(tmp_path / "pipe.txt")


@pytest.mark.parametrize("dataset", ["/nowhere", "./nowhere", "a/b/c", "p.txt", "empty", "broken.parquet"])
def test_a_data_set_that_is_none_is_named(tmp_path: Path, dataset: str) -> None:
    (tmp_path / "p.txt").write_text("Prompt?")
    (tmp_path / "broken.parquet").write_text("not parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=dataset.split("/")[-1]) as error:
        open_source(GenerationSettings(dataset=dataset), Workspace(tmp_path))
    assert error.value.hint


# The bundled prompts, and the worker


def test_the_bundled_prompts_are_enough_and_apart_from_those_of_the_evaluation(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    held_out = [prompt_id(prompt.text) for prompt in evaluation_prompts(EvaluationSettings(), place)]
    _, prompts = open_source(GenerationSettings(dataset="bundled"), place)
    selection = select(prompts, seed=0, max_chars=1000, held_out=frozenset(held_out))
    assert len(set(held_out)) == 24
    assert len(selection.prompts) >= 600
    assert not selection.left_out


def make_worker(root: Path, settings: Settings, **arguments: str) -> Worker:
    run = root / "run"
    run.mkdir(exist_ok=True)
    job = Job(
        root=str(root),
        demo=False,
        run=str(run),
        reports=str(run / "reports.jsonl"),
        settings=settings.model_dump(mode="json"),
        arguments=arguments,
    )
    return Worker(job)


def reports(root: Path) -> list[events.AnyEvent]:
    path = root / "run" / "reports.jsonl"
    return [events.decode(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_the_worker_writes_the_prompts(tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text("One?\nTwo?\nHeld?\none?\n")
    (tmp_path / "held.txt").write_text("held?\n")
    settings = Settings(
        generation=GenerationSettings(prompt_file=Path("my.txt"), limit=2),
        evaluation=EvaluationSettings(prompts=Path("held.txt")),
    )
    worker = make_worker(tmp_path, settings)
    sources.work(worker)
    lines = worker.run.prompts.read_bytes().splitlines()
    prompts = [msgspec.json.decode(line, type=Prompt) for line in lines]
    assert {prompt.text for prompt in prompts} == {"One?", "Two?"}
    assert all(prompt.id == prompt_id(prompt.text) and prompt.source == "my.txt" for prompt in prompts)
    left_out = {"held_out_for_evaluation": 1, "duplicate": 1}
    prepared = events.PromptsPrepared(count=2, source="my.txt", target=2, arguable=0, left_out=left_out)
    assert reports(tmp_path) == [prepared]


def test_a_prompt_file_without_a_limit_is_done_whole(tmp_path: Path) -> None:
    """Samples of other prompts that are there already come on top."""
    (tmp_path / "my.txt").write_text("One?\nTwo?\nThree?\n")
    settings = Settings(generation=GenerationSettings(prompt_file=Path("my.txt")))
    worker = make_worker(tmp_path, settings)
    done = {prompt_id("One?"), prompt_id("Another?")}
    assert prepare(settings, worker.workspace, worker.run, done).target == 4


def test_prompts_that_can_be_argued_come_first(tmp_path: Path) -> None:
    tasks = [f"Translate this word to German: word{n}" for n in range(20)]
    disputes = [f"Should town {n} ban cars from its centre, or would that harm its shops?" for n in range(20)]
    found_ones = found(*(text for pair in zip(tasks, disputes, strict=True) for text in pair))
    preferred = select(found_ones, seed=0, max_chars=99, held_out=NONE, prefer_arguable=True)
    assert {prompt.text for prompt in preferred.prompts[:20]} == set(disputes)
    assert [prompt.arguable for prompt in preferred.prompts] == [True] * 20 + [False] * 20
    alike = select(found_ones, seed=0, max_chars=99, held_out=NONE)
    assert {prompt.text for prompt in alike.prompts[:20]} != set(disputes)
    assert {prompt.arguable for prompt in alike.prompts} == {None}


def test_what_is_there_already_counts_towards_the_limit(tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text("One?\nTwo?\n")
    settings = Settings(generation=GenerationSettings(prompt_file=Path("my.txt"), limit=5))
    worker = make_worker(tmp_path, settings)
    done = {prompt_id(f"Other {number}?") for number in range(3)}
    assert prepare(settings, worker.workspace, worker.run, done).target == 5
    with pytest.raises(UserError, match=r"5 samples are wanted and 1 are there.\nAsk for at most 3"):
        prepare(settings, worker.workspace, worker.run, {prompt_id("Other?")})


@pytest.mark.parametrize("content", ["", "# only a comment\n\n", "held?\n"])
def test_a_prompt_file_without_prompts_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "my.txt").write_text(content)
    (tmp_path / "held.txt").write_text("held?\n")
    settings = Settings(
        generation=GenerationSettings(prompt_file=Path("my.txt")),
        evaluation=EvaluationSettings(prompts=Path("held.txt")),
    )
    worker = make_worker(tmp_path, settings)
    with pytest.raises(UserError, match=r"my\.txt: holds no usable prompt"):
        prepare(settings, worker.workspace, worker.run, set())


def test_too_few_prompts_say_how_many_there_are(tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text("One?\none?\n")
    settings = Settings(generation=GenerationSettings(prompt_file=Path("my.txt"), limit=2))
    worker = make_worker(tmp_path, settings)
    with pytest.raises(UserError, match=r"has 1 usable prompts \(1 duplicate left out\), but 2 samples are wanted"):
        sources.work(worker)
    assert not worker.run.prompts.exists()


def test_a_check_reads_files_whole_and_of_data_sets_the_first_row(hub_layout: Path) -> None:
    place = Workspace(hub_layout)
    assert check_source(GenerationSettings(dataset="set", limit=9), place, NONE) == "set/train_prefs"
    with pytest.raises(UserError, match="samples are wanted"):
        check_source(GenerationSettings(dataset="bundled", limit=1_000_000), place, NONE)
