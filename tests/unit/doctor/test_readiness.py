"""The readiness checklist and the troubles of a run, on real files and event logs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.doctor import packages, readiness, remedies, troubles
from hegelion_core.doctor.case import Case, settings_of
from hegelion_core.doctor.examine import _look, exit_code
from hegelion_core.doctor.finding import Finding, Section
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import EventLog
from hegelion_core.settings import Settings
from hegelion_core.workspace import Workspace
from tests.tui.fake_operations import answered, ended, generating, opened, training


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def settings(**sections: dict[str, object]) -> Settings:
    return Settings.model_validate(sections)


def case(place: Workspace, given: Settings | None = None) -> Case:
    return Case.open(place, given or Settings())


def happened(place: Workspace, *events: e.AnyEvent) -> Case:
    """A run in which these things have happened; no core answers."""
    run = place.run("20251122-run-all-x")
    run.spool.mkdir(parents=True, exist_ok=True)
    log = EventLog(run.events)
    for event in events:
        log.publish(event)
    log.close()
    return case(place)


def at_work(found: Case) -> Case:
    """The same, with a core that answers."""
    return Case(found.place, found.settings, found.environment, found.now, os.getpid(), found.run, found.state)


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {one.name: one for one in findings}


def test_what_to_type_is_meant_for_the_demo_in_the_demo(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.root)
    demo = case(Workspace(place.root, demo=True))
    hints = [
        readiness.samples(demo).mend,
        readiness.rows(demo).mend,
        troubles.adapter(demo).mend,
        troubles.core(demo).mend,
    ]
    assert [hint.partition("hegelion-console ")[2] for hint in hints] == [
        "generate --demo",
        "convert --demo",
        "train --demo",
        "--run-all --demo",
    ]


# Packages


def test_what_this_program_needs_is_installed(place: Workspace) -> None:
    found = packages.packages(case(place))
    assert found.level == "ok", found
    assert "mlx-lm 0.32" in found.found


def test_missing_and_wrong_packages_are_named_and_installed_by_one_command() -> None:
    have = {"mlx-lm": "0.30.1", "click": "8.3.1"}
    required = [
        *("mlx-lm>=0.32,<0.33", "click>=8", "datasets>=4.4,<6", "mlx[cpu]>=0.32; sys_platform != 'nowhere'"),
        *("never>=1; sys_platform == 'nowhere'", "pytest>=9; extra == 'test'", "not a requirement!"),
    ]
    found = packages.judge(required, have.get)
    assert found.level == "failed"
    assert found.found == "not installed: datasets, mlx; of another version than needed: mlx-lm 0.30.1 (<0.33,>=0.32)."
    assert found.remedy is not None
    assert found.remedy.asks
    assert found.mend.startswith(
        f"Run {sys.executable} -m pip install 'datasets<6,>=4.4' 'mlx[cpu]>=0.32' 'mlx-lm<0.33"
    )


def test_without_pip_uv_installs_for_this_python() -> None:
    command = remedies.install_command(["datasets"], has_pip=False)
    assert command == ["uv", "pip", "install", "--python", sys.executable, "datasets"]


def test_a_tracker_that_is_wanted(place: Workspace) -> None:
    assert packages.tracker(case(place)) is None
    there = packages.tracker(case(place, settings(training={"track": "tensorboard"})))
    assert there is not None
    assert there.level == "ok"
    absent = packages.tracker(case(place, settings(training={"track": "wandb"})))
    assert absent is not None
    assert absent.level == "failed"
    assert absent.mend.endswith("-m pip install wandb")


# Data


def test_prompts(place: Workspace) -> None:
    assert readiness.prompts(case(place)).level == "note"
    assert readiness.prompts(case(place, settings(generation={"dataset": "bundled"}))).level == "ok"
    own = settings(generation={"prompt_file": "my.txt"})
    assert readiness.prompts(case(place, own)).found == "my.txt: no such file."
    (place.root / "my.txt").write_text("Why?\n")
    assert readiness.prompts(case(place, own)).level == "ok"
    (place.root / "set").mkdir()
    assert readiness.prompts(case(place, settings(generation={"dataset": "set"}))).found == "local: set"


def test_samples_and_rows_are_counted_and_the_next_step_is_named(place: Workspace) -> None:
    few = settings(generation={"limit": 2})
    assert readiness.samples(case(place, few)).found.startswith("none yet")
    data = place.artifacts / "data"
    data.mkdir(parents=True)
    source, target = data / "hegelion_kimi_training_data.jsonl", data / "hegelion_scu_ready.jsonl"
    source.write_text("{}\n")
    found = readiness.samples(case(place, few))
    assert (found.level, found.found) == ("note", f"1 of 2 lines in {source.relative_to(place.root)}")
    source.write_text("{}\n{}\n")
    assert readiness.samples(case(place, few)).level == "ok"
    assert readiness.rows(case(place)).found.startswith("none yet")
    target.touch()
    assert readiness.rows(case(place)).level == "warning"
    target.write_text("{}\n")
    assert readiness.rows(case(place)).level == "ok"
    os.utime(source, (time.time() + 60, time.time() + 60))
    assert "older than the samples" in readiness.rows(case(place)).found
    told = happened(place, *opened(), e.SamplesCounted(path=str(source), accepted=7))
    assert readiness.samples(told).found.startswith("7 of 20 samples")


# Folders and machine


def test_folders_are_not_made_by_looking_but_by_the_remedy(place: Workspace) -> None:
    findings = by_name(readiness.folders(case(place)))
    assert list(findings) == ["data folder", "adapter folder", "runs folder", "logs folder"]
    assert not place.artifacts.exists()
    for one in findings.values():
        assert one.level == "note"
        assert one.remedy is not None
        assert not one.remedy.asks
        for _ in range(2):  # again does no harm
            assert one.remedy.apply(lambda line: None).endswith("is there now.")
    findings = by_name(readiness.folders(case(place)))
    assert {one.level for one in findings.values()} == {"ok"}
    assert {"sample file", "training rows' file"} < set(findings)


def test_folders_that_cannot_be_made_or_written(place: Workspace) -> None:
    (place.root / "file").touch()
    bad = settings(
        generation={"output": "file/data.jsonl"}, training={"adapter_path": "file"}, conversion={"output": "."}
    )
    findings = by_name(readiness.folders(case(place, bad)))
    assert findings["training rows' file"].level == "failed"
    assert findings["data folder"].level == findings["adapter folder"].level == "failed"
    assert all(one.mend for one in findings.values() if one.level == "failed")


def test_a_folder_that_cannot_be_made_after_all_says_why(place: Workspace) -> None:
    (place.root / "file").touch()
    with pytest.raises(UserError, match="file"):
        remedies.make_folder(place.root / "file" / "x", "file/x").apply(lambda line: None)


def test_the_machine(place: Workspace) -> None:
    findings = by_name(readiness.machine(case(place)))
    assert {"disk", "memory"} <= set(findings)


# The run


def test_a_run_at_work_ended_in_order_and_without_a_word(place: Workspace) -> None:
    assert troubles.core(case(place)).level == "note"
    working = happened(place, *opened(), *generating())
    assert troubles.core(at_work(working)).level == "ok"
    died = troubles.core(working)
    assert died.level == "warning"
    assert "ended without warning" in died.found
    assert troubles.core(happened(place, e.RunEnded(exit_code=0))).level == "ok"


def test_a_generator_that_failed_leads_to_its_log(place: Workspace) -> None:
    place.logs.mkdir(parents=True)
    place.generator_log(1).write_text("what it said\n")
    failed = e.StageFailed(stage="generate", message="kimi is not logged in.", hint="Sign in.", exit_code=3)
    (found,) = troubles.failure(happened(place, *opened(), *generating(), failed))
    assert (found.name, found.level, found.found) == ("generate failed", "failed", "kimi is not logged in.")
    assert found.mend == "Sign in. What was said: artifacts/logs/generator_1.log."


def test_what_the_check_stage_found_is_told_until_it_is_run_again(place: Workspace) -> None:
    bad = e.CheckFailed(name="prompts", detail="The hub does not answer.", fix="Look at the network.")
    ended = e.StageFailed(stage="check", message="prompts: The hub does not answer.", hint="", exit_code=3)
    good = e.CheckPassed(name="disk", detail="much")
    (found,) = troubles.failure(happened(place, *opened(), e.StageStarted(stage="check"), good, bad, ended))
    assert (found.level, found.found) == ("warning", "prompts, last time: The hub does not answer.")
    assert found.mend == "Look at the network. Then run the same command again."


def test_training_that_ran_out_of_memory_names_what_needs_less(place: Workspace) -> None:
    failed = e.StageFailed(stage="train", message="train ran out of memory: 7 GiB.", hint="", exit_code=1)
    (found,) = troubles.failure(happened(place, *opened(), *training(), failed))
    for word in ("artifacts/logs/train.log", "--micro_batch_size 1", "--max_seq_length", "smaller student"):
        assert word in found.mend
    restarted = e.TrainingRestarted(
        reason="Memory ran out.", step=4, micro_batch_size=1, accumulation=4, max_seq_length=4096
    )
    told = troubles.memory(happened(place, restarted))
    assert told is not None
    assert "1 rows at a time" in told.found
    assert troubles.memory(case(Workspace(place.root / "other"))) is None


def test_a_silent_generator_is_told_from_one_that_speaks(place: Workspace) -> None:
    asked = e.SampleRequested(instance=2, prompt_id="p")
    found = at_work(happened(place, *opened(), *generating(), asked))
    assert by_name(troubles.generators(found))["generators"].level == "ok"
    limit = found.settings.generation.silence_timeout
    later = Case(found.place, found.settings, found.environment, found.now + limit + 60, 1, found.run, found.state)
    silent = by_name(troubles.generators(later))["generator 2"]
    assert silent.level == "warning"
    assert "artifacts/logs/generator_2.log" in silent.mend
    log = place.generator_log(2)
    log.parent.mkdir(parents=True)
    log.touch()
    os.utime(log, (later.now - 5, later.now - 5))
    assert "generators" in by_name(troubles.generators(later)), "its log grew a moment ago"
    assert not list(troubles.generators(happened(place))), "without a core nothing is silent"


def test_slow_generation_is_explained(place: Workspace) -> None:
    found = at_work(happened(place, *opened(), *generating(), *answered(2)))
    slow = Case(found.place, found.settings, found.environment, found.now + 600, 1, found.run, found.state)
    told = by_name(troubles.generators(slow))["speed"]
    assert told.level == "note"
    assert "no fault" in told.mend
    fast = Case(found.place, found.settings, found.environment, found.now + 20, 1, found.run, found.state)
    assert by_name(troubles.generators(fast))["speed"].level == "ok"


def test_a_wait_is_told(place: Workspace) -> None:
    paused = e.GenerationPaused(reason="the quota is used up", until=None, kind="quota", advice="Wait.")
    found = at_work(happened(place, *opened(), *generating(), paused))
    assert by_name(troubles.generators(found))["generation waits"].found == "the quota is used up"


def test_an_adapter_whole_half_and_lost(place: Workspace) -> None:
    assert troubles.adapter(case(place)).level == "note"
    trained = replace(
        next(event for event in ended() if isinstance(event, e.TrainingFinished)),
        adapter_path=str(place.artifacts / "adapters" / "hegelion_1.5b_v1"),
    )
    lost = troubles.adapter(happened(place, *opened(), *training(), trained))
    assert lost.level == "failed"
    assert "Training finished" in lost.found
    folder = place.artifacts / "adapters" / "hegelion_1.5b_v1"
    folder.mkdir(parents=True)
    (folder / "adapters.safetensors").write_bytes(b"x" * 2048)
    assert troubles.adapter(case(place)).found.endswith("lacks adapter_config.json.")
    (folder / "adapter_config.json").write_text("{}")
    assert troubles.adapter(case(place)).level == "ok"


# All together


def test_a_check_that_breaks_is_a_finding(place: Workspace) -> None:
    def a_check(case: Case) -> Finding:
        raise PermissionError(13, "Permission denied", "/secret")

    (found,) = _look(a_check, case(place))
    assert (found.name, found.level) == ("a check", "failed")
    assert "/secret" in found.found


@pytest.mark.parametrize(("level", "code"), [("failed", ExitCode.NOT_READY), ("warning", ExitCode.DONE)])
def test_only_what_must_be_mended_makes_the_exit_code(level: str, code: ExitCode) -> None:
    one = Finding("x", "failed" if level == "failed" else "warning", "")
    assert exit_code([Section("A", (one,))]) == code


def test_a_runs_own_settings_are_looked_at(place: Workspace) -> None:
    found = happened(place, *opened())
    assert found.run is not None
    state = replace(found.state, folder=str(found.run.path))
    assert settings_of(place, state) == Settings()
    found.run.settings.write_text(settings(training={"iters": 7}).model_dump_json())
    assert settings_of(place, state).training.iters == 7


def test_a_command_tells_what_it_does_and_why_it_failed() -> None:
    said: list[str] = []
    remedies.run([sys.executable, "-c", "print('one'); print(); print('two')"], said.append)
    assert said[1:] == ["one", "two"]
    with pytest.raises(UserError, match="It failed: no"):
        remedies.run([sys.executable, "-c", "import sys; sys.exit('no')"], said.append)
    with pytest.raises(UserError, match="cannot be started"):
        remedies.run(["/no/such/program"], said.append)


def test_a_command_is_ended_once_nobody_wants_it_any_more() -> None:
    def say(line: str) -> None:
        if line.isdigit():
            pids.append(int(line))
            raise UserError("left")

    pids: list[int] = []
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(UserError, match="left"):
        remedies.run([sys.executable, "-c", code], say)
    assert subprocess.run(["kill", "-0", str(pids[0])], capture_output=True, check=False).returncode != 0
