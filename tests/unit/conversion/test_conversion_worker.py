from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hegelion_core import events
from hegelion_core.conversion import worker as conversion_worker
from hegelion_core.conversion.rendering import TrainingRow
from hegelion_core.errors import UserError
from hegelion_core.settings import ConversionSettings, GenerationSettings, Settings, TrainingSettings
from hegelion_core.worker import Job, Worker
from tests.fakes.tiny_model import make_tiny_model

OUTPUT = (
    "<thought>\n**THESIS**: Cars should leave the city centre for good.\n"
    "**ANTITHESIS**: Many people cannot reach their work without one.\n"
    "**SYNTHESIS**: Close the streets where trams and trains already run.\n"
    "</thought>\nStart in the old town, and see who is left behind."
)


def make_worker(
    root: Path, model: str, conversion: ConversionSettings, *, longest: int = 4096, **arguments: str
) -> Worker:
    settings = Settings(
        generation=GenerationSettings(output=Path("samples.jsonl")),
        conversion=conversion,
        training=TrainingSettings(model=model, max_seq_length=longest),
    )
    job = Job(
        root=str(root),
        demo=False,
        run=str(root),
        reports=str(root / "reports.jsonl"),
        settings=settings.model_dump(mode="json"),
        arguments=arguments,
    )
    return Worker(job)


def write_sample(path: Path) -> None:
    path.write_bytes(msgspec.json.encode({"id": "p-1", "instruction": "Ban cars?", "output": OUTPUT}) + b"\n{\n")


def test_the_students_form_and_the_report(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "student", thinking=True)
    write_sample(tmp_path / "samples.jsonl")
    conversion_worker.work(make_worker(tmp_path, str(model), ConversionSettings(output=Path("rows.jsonl"))))
    row = msgspec.json.decode((tmp_path / "rows.jsonl").read_bytes(), type=TrainingRow)
    assert "<think>\n**THESIS**" in row.text
    assert events.decode((tmp_path / "reports.jsonl").read_bytes()) == events.RowsConverted(
        rows=1, skipped={"broken_line": 1}, path=str(tmp_path / "rows.jsonl"), template="student"
    )


def test_rows_that_training_would_cut_are_told_of(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "student")
    write_sample(tmp_path / "samples.jsonl")
    conversion_worker.work(make_worker(tmp_path, str(model), ConversionSettings(output=Path("rows.jsonl")), longest=64))
    notice, _ = map(events.decode, (tmp_path / "reports.jsonl").read_bytes().splitlines())
    assert isinstance(notice, events.NoticePosted)
    assert "1 row is longer than 64 tokens (line 1): training would cut the beginning." in notice.text


def test_chatml_needs_no_student_and_arguments_name_other_files(tmp_path: Path) -> None:
    write_sample(tmp_path / "mine.jsonl")
    settings = ConversionSettings(template="chatml")
    conversion_worker.work(make_worker(tmp_path, "/nowhere", settings, input="mine.jsonl", output="out.jsonl"))
    assert (tmp_path / "out.jsonl").read_text().startswith('{"text":"<|im_start|>user\\nBan cars?')


def test_a_student_that_is_not_there_is_told(tmp_path: Path) -> None:
    write_sample(tmp_path / "samples.jsonl")
    with pytest.raises(UserError, match="/nowhere"):
        conversion_worker.work(make_worker(tmp_path, "/nowhere", ConversionSettings()))


def test_asked_to_stop_it_writes_nothing(tmp_path: Path) -> None:
    write_sample(tmp_path / "samples.jsonl")
    worker = make_worker(tmp_path, "/nowhere", ConversionSettings(template="chatml", output=Path("rows.jsonl")))
    worker.stop_requested.set()
    conversion_worker.work(worker)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.jsonl"]
