"""``hegelion-console evaluate`` by itself: a model and an adapter from elsewhere, prompts of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hegelion_core.errors import ExitCode
from tests.fakes.adapters import make_adapter
from tests.fakes.console import Console


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = Console(tmp_path)
    make_adapter(made.student, tmp_path / "adapter", layers=2, size=0.5)
    return made


def test_what_another_run_evaluated_is_shown_and_not_computed_again_unless_that_is_wanted(console: Console) -> None:
    done = console.run(*console.run_all("--limit", "3"))
    assert done.returncode == ExitCode.DONE, done.stderr
    sizes = ("--answers", "2", "--max-new-tokens", "8", "--set", "training.batch_size=2")
    alone = ("evaluate", "--model", str(console.student), *sizes)
    shown = console.run(*alone)
    assert shown.returncode == ExitCode.DONE, shown.stderr
    assert "evaluate: skipped" in shown.stdout
    assert " │ adapter: " in shown.stdout
    assert "skipped" not in console.run(*alone, "--new").stdout
    assert "evaluate: skipped" in console.run(*alone).stdout


def test_a_model_an_adapter_and_prompts_are_enough(console: Console) -> None:
    prompts = console.folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Is it {n}?"}) + "\n" for n in range(8)))
    what = ("evaluate", "--model", str(console.student), "--adapter_path", "adapter", "--prompts", "prompts.jsonl")
    told = console.run(*what, "--max-new-tokens", "6", "--json")
    assert told.returncode == ExitCode.DONE, told.stderr
    found = json.loads(told.stdout)
    assert [result["prompt"] for result in found["results"]] == [f"Is it {n}?" for n in range(8)], "all of the file's"
    assert found["base_loss_nats_per_token"] is None
    assert found["adapter_complete_trace_share"] == 0
    assert "no validation loss" in told.stderr
    again = console.run(*what, "--max-new-tokens", "6")
    assert "evaluate: skipped" in again.stdout
    assert "8. Is it 7?" in again.stdout
    assert " │ adapter: no whole trace, 6 tokens" in again.stdout

    (console.folder / "empty.txt").write_text("# nothing\n\n")
    for wrong, words in (
        (("--adapter_path", "nowhere"), "nowhere: holds no adapter"),
        (("--prompts", "empty.txt"), "empty.txt: holds no prompts"),
        (("--data", "none.jsonl"), "none.jsonl: there is no such file"),
    ):
        refused = console.run(*what, *wrong)
        assert refused.returncode == ExitCode.USAGE, (wrong, refused.stderr)
        assert words in refused.stderr
