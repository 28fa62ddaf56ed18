"""A whole run in real processes, from prompts to an adapter: interrupted anywhere, finished by the same command.

The teacher is a fake ``kimi`` for speed; the student is tiny but real.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.client import Client
from hegelion_core.errors import ExitCode
from hegelion_core.workspace import Workspace
from tests.fakes.console import Console, count, kill
from tests.fakes.html_pages import Page, assert_loads_nothing


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path)


def assert_complete(console: Console, samples: int) -> None:
    """Everything a finished run promises."""
    done = console.prompts_done()
    assert len(done) == len(set(done)) == samples
    adapter = console.folder / "artifacts" / "adapters" / "hegelion_1.5b_v1"
    assert (adapter / "adapters.safetensors").stat().st_size > 0
    assert (adapter / "weights.safetensors").readlink() == Path("adapters.safetensors")
    assert json.loads((adapter / "adapter_config.json").read_text())["fine_tune_type"] == "lora"
    log = (console.folder / "artifacts" / "logs" / "train.log").read_text()
    assert "Step 12: Loss=" in log
    assert "Training complete." in log
    steps = [json.loads(line)["step"] for line in (console.run_folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 13))
    assert (console.run_folder / "evaluation.json").exists()
    assert list((console.run_folder / "spool" / "calls").iterdir()) == []
    console.wait_until_quiet()


def assert_report(console: Console, output: str) -> None:
    """The page of a whole run: its pictures, its figures, its samples; and the run says where it is."""
    path = console.run_folder / "report.html"
    assert str(path.relative_to(console.folder)) in output
    page = Page(path.read_text())
    assert_loads_nothing(page)
    assert [svg["aria-label"].partition(":")[0] for svg in page.all("svg")] == [
        "Samples over time",
        "Loss",
        "S, the update's share of the whole cost",
        "λ, the strength of the pull",
    ]
    assert "✓ Done." in page.text
    for heading in ("Samples", "Training", "Before and after", "Some samples", "Settings and environment"):
        assert heading in page.text
    rows = [json.loads(line) for line in console.samples.read_text().splitlines()]
    shown = [row for row in rows if row["instruction"] in page.text]
    assert len(shown) == 4
    for row in shown:
        assert all(row["hegelion_trace"][part] in page.text for part in ("thesis", "antithesis", "synthesis"))
    evaluation = json.loads((console.run_folder / "evaluation.json").read_text())
    assert f"{evaluation['adapter_loss_nats_per_token']:.3f}" in page.text
    assert all(result["prompt"] in page.text for result in evaluation["results"])
    assert sum(isinstance(event, e.ReportWritten) for event in console.events()) == 1


def test_a_report_that_cannot_be_written_fails_nothing(console: Console) -> None:
    arguments = ("generate", "--dataset", "bundled", "--limit", "1")
    assert console.run(*arguments).returncode == ExitCode.DONE
    path = console.run_folder / "report.html"
    path.unlink()
    path.mkdir()
    again = console.run(*arguments)
    assert again.returncode == ExitCode.DONE, again.stderr
    assert "The report could not be written" in again.stdout
    assert isinstance(console.events()[-1], e.RunEnded)


def test_from_prompts_to_an_evaluated_adapter_and_again(console: Console) -> None:
    """The whole way; then nothing is left to do; then a change of the samples makes the later stages anew.

    On the way: the user's secrets reach neither child nor file.
    """
    console.environment |= {"AWS_SECRET_ACCESS_KEY": "swordfish-1", "KIMI_MODEL_API_KEY": "swordfish-2"}
    calls = console.folder / "calls"
    console.environment["KIMI_FAKE_CALLS"] = str(calls)
    first = console.run(*console.run_all("--limit", "5"))
    assert first.returncode == ExitCode.DONE, first.stdout + first.stderr
    assert "Summary" in first.stdout
    assert "5 of 5" in first.stdout
    assert_complete(console, 5)
    assert (console.folder / "generator_ultrafeedback.log").read_text()
    assert not (console.folder / "generator_pid.txt").exists()
    assert "swordfish-1" not in calls.read_text()
    assert_report(console, first.stdout)
    for path in (console.folder / "artifacts").rglob("*"):
        assert not path.is_file() or b"swordfish" not in path.read_bytes(), path

    before = {path: path.stat().st_mtime_ns for path in (console.folder / "artifacts").rglob("*.safetensors")}
    again = console.run(*console.run_all("--limit", "5"))
    assert again.returncode == ExitCode.DONE
    for stage in ("check", "generate", "convert", "train", "evaluate"):
        assert f"{stage}: skipped" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before

    lines = console.samples.read_text().splitlines(keepends=True)
    console.samples.write_text("".join(lines[1:]))
    anew = console.run(*console.run_all("--limit", "5"))
    assert anew.returncode == ExitCode.DONE, anew.stderr
    assert "sample 5/5 accepted" in anew.stdout
    assert "skipped" not in anew.stdout
    assert_complete(console, 5)


def test_new_starts_afresh_and_keeps_what_was_made(console: Console) -> None:
    arguments = ("generate", "--dataset", "bundled", "--limit", "2")
    assert console.run(*arguments).returncode == ExitCode.DONE
    kept = console.samples.read_text()
    anew = console.run(*arguments, "--new")
    assert anew.returncode == ExitCode.DONE
    assert "skipped" not in anew.stdout
    runs = sorted((console.folder / "artifacts" / "runs").iterdir())
    assert len(runs) == 2
    assert (runs[0] / "outputs" / console.samples.name).read_text() == kept
    assert len(console.prompts_done()) == 2


def test_json_gives_events_on_standard_output_and_words_on_standard_error(console: Console) -> None:
    result = console.run("generate", "--dataset", "bundled", "--limit", "2", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    events = [e.decode(line) for line in result.stdout.splitlines()]
    assert count(events, e.SampleAccepted) == 2
    assert isinstance(events[-1], e.RunEnded)
    assert "sample 2/2 accepted" in result.stderr


def test_a_dry_run_changes_nothing_and_tells_what_is_done(console: Console) -> None:
    before = sorted(console.folder.rglob("*"))
    fresh = console.run(*console.run_all("--limit", "3", "--dry-run"))
    assert fresh.stdout.count("to do") == 5
    assert sorted(console.folder.rglob("*")) == before
    console.run("generate", "--dataset", "bundled", "--limit", "3")
    later = console.run(*console.run_all("--limit", "3", "--dry-run"))
    assert "generate: done already, 3 of 3 samples are there" in later.stdout


def test_what_was_converted_by_itself_is_not_converted_again(console: Console) -> None:
    """Whoever converted: what counts is that the rows are those that this run would make."""

    def planned() -> str:
        return console.run(*console.run_all("--limit", "2", "--dry-run")).stdout

    rows = console.folder / "artifacts" / "data" / "hegelion_scu_ready.jsonl"
    student = ("--model", str(console.student))
    assert console.run("generate", "--dataset", "bundled", "--limit", "2").returncode == ExitCode.DONE
    assert console.run("convert", str(console.samples), "elsewhere.jsonl", *student).returncode == ExitCode.DONE
    assert "convert: to do" in planned()
    assert sorted(path.name for path in console.folder.glob(".*")) == []
    assert console.run("convert", str(console.samples), str(rows), *student).returncode == ExitCode.DONE
    assert "convert: done already, done before, and its inputs have not changed" in planned()
    lone = console.run("convert", *student)  # the stage of another run
    assert "convert: skipped" in lone.stdout
    assert "2 training rows (student)" in lone.stdout
    with rows.open("a") as file:
        file.write("\n")
    assert "convert: to do" in planned()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_cleanly_and_the_same_command_goes_on(console: Console, number: signal.Signals) -> None:
    console.environment["KIMI_FAKE_SECONDS"] = "0.2"
    arguments = ("generate", "--dataset", "bundled", "--limit", "6")
    process = console.start(*arguments)
    console.wait_for(lambda events: count(events, e.SampleAccepted) >= 2)
    process.send_signal(number)
    assert process.wait(30) == ExitCode.INTERRUPTED
    console.wait_until_quiet()
    assert isinstance(console.events()[-1], e.RunEnded)
    assert not (console.folder / "generator_pid.txt").exists()
    assert console.run(*arguments).returncode == ExitCode.DONE
    done = console.prompts_done()
    assert len(done) == len(set(done)) == 6


def test_killed_during_generation_and_during_training_nothing_is_lost_or_done_twice(console: Console) -> None:
    """Two SIGKILLs; the uninterrupted run on the same samples has the same adapter, byte for byte."""
    console.environment["KIMI_FAKE_SECONDS"] = "0.2"
    arguments = console.run_all("--limit", "6", "--lora-dropout", "0.1")
    process = console.start(*arguments)
    console.wait_for(lambda events: count(events, e.SampleAccepted) >= 2)
    kill(process)
    kept = console.prompts_done()

    process = console.start(*arguments)
    console.wait_for(lambda events: count(events, e.CheckpointSaved) >= 1)
    kill(process)

    end = console.run(*arguments)
    assert end.returncode == ExitCode.DONE, end.stdout + end.stderr
    assert_complete(console, 6)
    assert console.prompts_done()[: len(kept)] == kept
    adapter = console.folder / "artifacts" / "adapters" / "hegelion_1.5b_v1" / "adapters.safetensors"
    interrupted = adapter.read_bytes()

    other = console.folder / "other"
    straight = console.run(
        *("train", "--model", str(console.student), "--data", "artifacts/data/hegelion_scu_ready.jsonl"),
        *("--adapter-path", str(other), "--iters", "12", "--batch-size", "2", "--lora-dropout", "0.1"),
        *("--set", "training.report_every=4", "--set", "training.checkpoint_every=4"),
        *("--set", "training.scu_update_freq=2"),
    )
    assert straight.returncode == ExitCode.DONE, straight.stdout + straight.stderr
    assert (other / "adapters.safetensors").read_bytes() == interrupted


def test_the_children_of_a_killed_core_end_by_themselves(console: Console) -> None:
    """Killed the moment a call is announced, while its process is being born."""
    console.environment["KIMI_FAKE_BEHAVIOUR"] = "stubborn"
    process = console.start("generate", "--dataset", "bundled", "--limit", "2")
    console.wait_for(lambda events: count(events, e.SampleRequested) >= 2)
    kill(process)
    console.wait_until_quiet()


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("quota", ExitCode.COME_BACK_LATER, "usage limit"),
        ("not_logged_in", ExitCode.NOT_READY, "login"),
        ("terminated", ExitCode.FAILED, "terminated"),
    ],
)
def test_a_teacher_that_refuses_ends_the_run_with_its_own_exit_code(
    console: Console, behaviour: str, code: ExitCode, words: str
) -> None:
    console.environment["KIMI_FAKE_BEHAVIOUR"] = behaviour
    arguments = ("generate", "--dataset", "bundled", "--limit", "3", "--quota-wait", "0")
    result = console.run(*arguments)
    assert result.returncode == code, result.stderr
    assert words.lower() in result.stderr.lower()
    console.environment["KIMI_FAKE_BEHAVIOUR"] = "good"
    assert console.run(*arguments).returncode == ExitCode.DONE
    assert len(console.prompts_done()) == 3


def test_bad_answers_are_kept_with_their_reason(console: Console) -> None:
    script = console.folder / "script"
    script.write_text("bad\ngood\nbad\n")
    console.environment["KIMI_FAKE_SCRIPT"] = str(script)
    result = console.run("generate", "--dataset", "bundled", "--limit", "3")
    assert result.returncode == ExitCode.DONE
    rejected = console.samples.with_suffix(".rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in rejected] == ["no_thought_block"] * 2
    assert len(console.prompts_done()) == 3


async def test_a_run_in_one_terminal_is_steered_from_another(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop that ends the core is answered before the core is gone."""
    console.environment["KIMI_FAKE_SECONDS"] = "5"
    process = console.start("generate", "--dataset", "bundled", "--limit", "9")
    console.wait_for(lambda events: count(events, e.SampleRequested) >= 1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", console.environment["XDG_RUNTIME_DIR"])
    client = await Client.connect(Workspace(console.folder))
    assert client is not None
    assert client.state.stages["generate"].status == "running"
    await client.scale(3)
    await client.stop()
    await client.close()
    assert await asyncio.to_thread(process.wait, 30) == ExitCode.INTERRUPTED
    assert [event.count for event in console.events() if isinstance(event, e.InstancesScaled)] == [2, 3]
    console.wait_until_quiet()


def test_a_second_run_in_a_workspace_is_refused_in_words(console: Console) -> None:
    console.environment["KIMI_FAKE_SECONDS"] = "5"
    process = console.start("generate", "--dataset", "bundled", "--limit", "2")
    console.wait_for(lambda events: count(events, e.SampleRequested) >= 1)
    second = console.run("generate", "--dataset", "bundled", "--limit", "2")
    assert second.returncode == ExitCode.NOT_READY
    assert "at work" in second.stderr
    os.kill(process.pid, signal.SIGTERM)
    process.wait(30)
    console.wait_until_quiet()
