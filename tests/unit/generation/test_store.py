"""The sample store: the file is the truth, under one lock, whatever others left in it."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import msgspec
import pytest

from hegelion_core.dialectic.contract import make_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.sample import Sample
from hegelion_core.errors import UserError
from hegelion_core.generation.store import Rejected, SampleStore
from hegelion_core.teachers.teacher import Answer

OUTPUT = (
    "<thought>\n**THESIS**: Cars give freedom to people who live far from a station.\n"
    "**ANTITHESIS**: That freedom is paid for by those who breathe the exhaust in the street.\n"
    "**SYNTHESIS**: Freedom of movement is worth having where its costs fall on the mover.\n</thought>\n"
    "Keep cars where nothing else goes, and price them where something does."
)


def sample(query: str) -> Sample:
    return make_sample(
        query, Answer(text=OUTPUT), prompt_id=prompt_id(query), system="s", metadata={"prompt_id": prompt_id(query)}
    )


def test_a_prompt_stands_in_the_file_once_and_the_limit_is_the_total(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "data" / "samples.jsonl")
    assert store.append(sample("Should cities ban cars?"), limit=2) == "accepted"
    assert store.append(sample("should  cities BAN cars?"), limit=2) == "duplicate"
    assert store.append(sample("Should villages ban cars?"), limit=2) == "accepted"
    assert store.append(sample("Should islands ban cars?"), limit=2) == "full"
    assert store.accepted == 2
    assert SampleStore(store.path).done == store.done


def test_two_views_on_one_file_agree(tmp_path: Path) -> None:
    one, two = SampleStore(tmp_path / "s.jsonl"), SampleStore(tmp_path / "s.jsonl")
    assert one.append(sample("Should cities ban cars?"), 9) == "accepted"
    assert two.append(sample("Should cities ban cars?"), 9) == "duplicate"
    assert two.accepted == 1


def kept(path: Path) -> list[Rejected]:
    lines = path.with_suffix(".rejected.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Rejected) for line in lines]


def test_a_torn_last_line_goes_to_the_rejected_file_so_that_every_line_can_be_read(tmp_path: Path) -> None:
    path, torn = tmp_path / "s.jsonl", msgspec.json.encode(sample("Should islands ban cars?"))[:300]
    SampleStore(path).append(sample("Should cities ban cars?"), 9)
    with path.open("ab") as file:
        file.write(torn)
    store = SampleStore(path)
    assert store.append(sample("Should villages ban cars?"), 9) == "accepted"
    assert [json.loads(line)["instruction"] for line in path.read_bytes().splitlines()] == [
        "Should cities ban cars?",
        "Should villages ban cars?",
    ]
    assert [(line.reason, line.text.encode()) for line in kept(path)] == [("torn", torn)]
    assert (SampleStore(path).accepted, SampleStore(path).unusable) == (2, 0)


def test_a_torn_last_line_of_the_rejected_file_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    answer = Rejected(
        at=1, prompt_id="p-1", query="q", reason="refusal", detail="d", attempt=1, text="I can't.", teacher="t"
    )
    SampleStore(path).reject(answer)
    with path.with_suffix(".rejected.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(answer)[:40])  # its writer was killed; the answer is still in its call's folder
    SampleStore(path).reject(answer)
    assert kept(path) == [answer, answer]


def test_an_answer_whose_line_was_torn_is_not_taken_for_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    whole = msgspec.structs.replace(sample("Should cities ban cars?"))
    whole.hegelion_trace.metadata["call"] = "call-1"
    attempt = Rejected(
        at=1, prompt_id="p", query="q", reason="r", detail="d", attempt=1, text="t", teacher="t", call_id="call-2"
    )
    path.write_bytes(msgspec.json.encode(whole)[:-3])
    path.with_suffix(".rejected.jsonl").write_bytes(msgspec.json.encode(attempt)[:-1])
    store = SampleStore(path)
    store.mend()
    assert not store.knows_call("call-1")
    assert not store.knows_call("call-2")
    store.append(whole, 9)
    store.reject(attempt)
    assert store.knows_call("call-1")
    assert store.knows_call("call-2")


@pytest.mark.parametrize("torn", [b"\xff\xfe garbage", b"{}"])
def test_a_last_line_of_others_does_not_spoil_the_next(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "s.jsonl"
    SampleStore(path).append(sample("Should cities ban cars?"), 9)
    with path.open("ab") as file:
        file.write(torn)
    store = SampleStore(path)
    assert store.accepted == 1
    assert store.append(sample("Should villages ban cars?"), 9) == "accepted"
    again = SampleStore(path)
    assert (again.accepted, again.unusable) == (2, 1)
    assert torn in path.read_bytes()


def test_a_whole_last_line_without_a_newline_counts(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(msgspec.json.encode(sample("Should cities ban cars?")))
    store = SampleStore(path)
    assert store.append(sample("Should cities ban cars?"), 9) == "duplicate"
    assert store.accepted == 1


def test_rows_of_another_program_count_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    foreign = {"instruction": "Should cities ban cars?", "output": OUTPUT.replace("thought>", "think>")}
    path.write_bytes(msgspec.json.encode(foreign) + b'\n{"instruction": "x", "output": "no trace"}\nnot json\n\n')
    store = SampleStore(path)
    assert (store.accepted, store.foreign, store.unusable) == (1, 1, 2)
    assert store.append(sample("Should cities ban cars?"), 9) == "duplicate"


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    store = SampleStore(path)
    store.append(sample("Should cities ban cars?"), 9)
    path.rename(tmp_path / "aside.jsonl")
    store.refresh()
    assert store.accepted == 0
    assert store.append(sample("Should villages ban cars?"), 9) == "accepted"
    assert store.accepted == 1


def test_what_is_rejected_is_kept(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "s.jsonl")
    answer = Rejected(
        at=1, prompt_id="p-1", query="q", reason="refusal", detail="d", attempt=1, text="I can't.", teacher="t"
    )
    store.reject(answer)
    assert msgspec.json.decode(store.rejected_path.read_bytes(), type=Rejected) == answer
    assert SampleStore(store.path).rejected == 1


def test_a_folder_as_output_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be used as the sample file"):
        SampleStore(tmp_path)


def _fill(path: Path, worker: int) -> None:
    store = SampleStore(path)
    for number in range(30):
        store.append(sample(f"Should city {number if number % 2 else (worker, number)} ban cars?"), limit=40)


def test_processes_that_append_at_once_keep_to_limit_and_uniqueness(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fill, args=(path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = path.read_bytes().splitlines()
    assert len(lines) == 40
    assert len({msgspec.json.decode(line)["instruction"] for line in lines}) == 40
    assert SampleStore(path).accepted == 40
