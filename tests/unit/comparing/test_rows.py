from __future__ import annotations

from pathlib import Path

from hegelion_core.comparing import exchange
from hegelion_core.comparing.exchange import Loading
from hegelion_core.comparing.rows import Rows
from hegelion_core.workspace import RunFolder
from tests.fakes.compared import evaluation, lay_down


def test_questions_the_newest_first_then_the_evaluations_prompts(tmp_path: Path) -> None:
    run, adapter = RunFolder(tmp_path), tmp_path / "adapter"
    rows = Rows(run, adapter)
    assert rows.refresh() is False
    assert rows.all() == []
    adapter.mkdir()
    (adapter / "adapter_config.json").touch()
    assert rows.refresh()
    assert rows.adapter_there
    run.evaluation.write_bytes(evaluation(2))
    lay_down(exchange.folder_of(run), 1, "Is it so?")
    lay_down(exchange.folder_of(run), 2, "And this?")
    exchange.write_line(exchange.folder_of(run), 2, Loading())
    assert rows.refresh()
    assert not rows.refresh()
    assert [(row.key, row.prompt, row.progress) for row in rows.all()] == [
        (("asked", 2), "And this?", "loading"),
        (("asked", 1), "Is it so?", "waiting"),
        (("evaluation", 1), "Should city 1 ban cars?", "ended"),
        (("evaluation", 2), "Should city 2 ban cars?", "ended"),
    ]
    assert rows.all()[2].adapter.complete_trace
    assert rows.all()[2].base.ending == "cut"


def test_an_evaluation_of_another_version_is_left_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    rows = Rows(run, tmp_path)
    run.evaluation.write_text('{"student": 3}')
    assert not rows.refresh()
    run.evaluation.unlink()
    run.evaluation.write_bytes(evaluation(1))
    assert rows.refresh()
    assert len(rows.all()) == 1
