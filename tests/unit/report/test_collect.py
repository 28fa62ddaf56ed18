"""What is read of a run's files: those of this product, and those that are damaged or gone."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from hegelion_core import events as e
from hegelion_core.generation.by_hand import decide
from hegelion_core.generation.decisions import Text
from hegelion_core.generation.store import SampleStore
from hegelion_core.report.collect import EXAMPLES, collect
from hegelion_core.report.page import page
from hegelion_core.report.write import write
from hegelion_core.settings import Settings
from hegelion_core.workspace import RunFolder, Workspace
from tests.fakes.html_pages import Page
from tests.fakes.sample_files import row, text
from tests.fakes.sample_files import write as write_samples


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def folder(place: Workspace) -> RunFolder:
    folder = place.run("20260101-000000-run-all-01234567")
    folder.path.mkdir(parents=True)
    return folder


def tell(folder: RunFolder, *events: e.Event) -> None:
    with open(folder.events, "ab") as file:
        file.writelines(e.encode(event) for event in events)


def opened(samples: Path, core_pid: int = 0) -> list[e.Event]:
    return [
        e.RunOpened(
            at=1, run_id="r", folder="f", target=9, teacher="t", student="s", source="p", core_pid=core_pid, version="0"
        ),
        e.WorkRequested(at=1, stages=("generate",)),
        e.SamplesCounted(at=1, path=str(samples), accepted=9),
    ]


def test_examples_are_spread_over_the_file_and_follow_what_was_decided_by_hand(
    place: Workspace, folder: RunFolder, tmp_path: Path
) -> None:
    prompts = [f"Why {text(number, 8)[:-1]}?" for number in range(12)]
    samples = write_samples(tmp_path / "s.jsonl", [b"{", *(row(prompt) for prompt in prompts)])
    store = SampleStore(samples)
    first, third = store.line(1), store.line(3)
    decide(store, first, "reject")
    edited = Text(
        thesis=text("a", 9), antithesis=text("b", 9), synthesis=text("c", 9), answer="By hand: " + text("d", 9)
    )
    decide(store, third, "edit", text=edited)
    tell(folder, *opened(samples))
    found = collect(place, folder, 9.0).examples
    assert len(found) == EXAMPLES
    assert prompts[0] not in [example.prompt for example in found]
    assert found[0].prompt == prompts[1]
    assert found[0].origin == "kimi-code 2.1.0"
    assert "By hand" in [example.answer[:7] for example in found]
    assert all(example.thesis and example.antithesis and example.synthesis for example in found)


def test_samples_that_a_later_run_moved_into_the_run_folder_are_found(
    place: Workspace, folder: RunFolder, tmp_path: Path
) -> None:
    (folder.path / "outputs").mkdir()
    write_samples(folder.path / "outputs" / "s.jsonl", [row("Why so?")])
    write_samples(tmp_path / "s.jsonl", [row("What then?")])
    tell(folder, *opened(tmp_path / "s.jsonl"))
    assert [example.prompt for example in collect(place, folder, 9.0).examples] == ["Why so?"]


def test_damaged_files_are_left_out(place: Workspace, folder: RunFolder, tmp_path: Path) -> None:
    samples = tmp_path / "s.jsonl"
    tell(folder, *opened(samples))
    garbage = b'\xff\x00{"a": [' + b"[" * 5000 + b"\n"
    with open(folder.events, "ab") as file:
        file.write(garbage)
    for path in (samples, folder.metrics, folder.evaluation, folder.settings):
        path.write_bytes(garbage)
    report = collect(place, folder, 9.0)
    assert (report.examples, report.evaluation, report.settings) == ((), None, ())
    assert "9of 9 wanted" in Page(page(report)).text


def test_settings_tell_what_differs_and_no_credential(
    place: Workspace, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = msgspec.json.decode(Settings().model_dump_json())
    tree["teacher"]["url"] = "https://user:swordfish-12@localhost/v1"
    tree["generation"]["output"] = str(place.root / "data.jsonl")
    folder.settings.write_bytes(msgspec.json.encode(tree))
    tell(folder, *opened(Path("nowhere")))
    report = collect(place, folder, 9.0)
    changed = {setting.name: setting.value for setting in report.settings if setting.changed}
    assert changed == {"teacher.url": "https://[redacted]@localhost/v1", "generation.output": "data.jsonl"}
    assert all(setting.meaning for setting in report.settings)
    assert "swordfish" not in page(report)


def test_a_run_is_at_work_while_its_core_lives(place: Workspace, folder: RunFolder) -> None:
    tell(folder, *opened(Path("nowhere"), core_pid=os.getpid()))
    assert collect(place, folder, 9.0).at_work
    assert not collect(place, folder, 9.0, ended=e.RunEnded(at=9, exit_code=0)).at_work


def test_the_file_is_replaced_in_one_step(place: Workspace, folder: RunFolder) -> None:
    tell(folder, *opened(Path("nowhere")))
    folder.report.write_text("old")
    inode = folder.report.stat().st_ino
    assert write(place, folder, exit_code=0) == folder.report
    assert folder.report.stat().st_ino != inode
    assert "✓ Done." in Page(folder.report.read_text()).text
    assert sorted(path.name for path in folder.path.iterdir()) == ["events.jsonl", "report.html"]
