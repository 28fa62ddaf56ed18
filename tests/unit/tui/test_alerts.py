"""What is told to someone who is not looking: what, once, and how it gets there."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.event_log import EventReader
from hegelion_core.fold import fold
from hegelion_core.run_state import RunState
from hegelion_core.workspace import RunFolder, Workspace
from hegelion_tui import alerts, desktop, hearing
from tests.tui.fake_operations import answered, ended, generating, opened, training


def told(before: RunState, *events: e.AnyEvent) -> list[tuple[str, str]]:
    return [(alert.kind, alert.text) for alert in alerts.happened(before, fold(events, before))]


def test_stages_and_the_end_are_told_each_once() -> None:
    state = fold([*opened(), *generating()])
    assert told(state) == []
    after = training()
    assert told(state, *after) == [("stage_ended", "generate and convert done. The run goes on.")]
    state = fold(after, state)
    assert told(state, *ended()) == [("stage_ended", "The run is done.")]
    assert told(fold(ended(), state)) == []
    assert told(fold(ended(), state), e.NoticePosted(text="later")) == []


def test_the_last_stage_is_told_by_the_end_of_the_run_alone() -> None:
    state = fold([*opened(), *generating(), *training()])
    assert told(state, *ended()[:-1]) == []
    assert told(fold(ended()[:-1], state), ended()[-1]) == [("stage_ended", "The run is done.")]


def test_a_stage_that_failed_is_named_without_the_words_of_what_failed() -> None:
    state = fold([*opened(), *generating()])
    failed: list[e.AnyEvent] = [e.StageFailed(stage="generate", message="a teacher's words"), e.RunEnded(exit_code=1)]
    assert told(state, *failed) == [("stage_ended", "generate ended in an error. The console says why.")]


def test_a_quota_is_told_when_it_is_out_and_not_what_a_person_stopped() -> None:
    state = fold([*opened(), *generating()])
    pause = e.GenerationPaused(reason="words of the provider", until=None, kind="quota")
    assert told(state, pause) == [("quota_out", "The teacher's quota is used up.")]
    assert told(fold([pause], state), pause) == []
    assert told(state, e.GenerationPaused(reason="x", kind="rate")) == []
    assert told(state, e.StageStopped(stage="generate"), e.RunEnded(exit_code=130)) == []
    (end,) = told(state, e.StageFailed(stage="generate", message="x", exit_code=75), e.RunEnded(exit_code=75))
    assert end[0] == "quota_out"


def asked(*instances: int) -> RunState:
    requests = [e.SampleRequested(instance=number, prompt_id=f"p{number}", at=1000.0) for number in instances]
    return fold([*opened(), *generating(), *requests])


def test_a_teacher_is_silent_when_neither_call_nor_log_is_young() -> None:
    state = asked(1, 2)
    assert alerts.silences(state, {}, 1100.0, 150.0) == []
    assert alerts.silences(state, {2: 1200.0}, 1300.0, 150.0) == [alerts.Silence(1, 300.0)]
    assert alerts.silences(fold(answered(1), RunState()), {}, 9999.0, 1.0) == [], "it waits for nothing"


def test_a_silence_is_told_once_until_there_was_an_answer() -> None:
    watch, state, silence = alerts.SilenceWatch(), asked(1), [alerts.Silence(1, 151.0)]
    assert watch.new(state, silence) == silence
    assert watch.new(state, [alerts.Silence(1, 153.0)]) == []
    ended_by_watchdog = e.RequestFailed(instance=1, prompt_id="p1", kind="timeout", message="silent")
    state = fold([ended_by_watchdog, e.SampleRequested(instance=1, prompt_id="p1", at=1400.0)], state)
    assert watch.new(state, silence) == [], "asked anew, and silent still"
    state = fold(answered(1), state)
    assert watch.new(state, silence) == silence


def test_several_silences_are_one_alert() -> None:
    found = [alerts.Silence(1, 151.0), alerts.Silence(3, 180.0)]
    assert alerts.silent(found, 300.0).text == (
        "Generators 1, 3 have heard nothing from the teacher for 3m 00s. "
        "A call is ended by itself after 5m 00s of silence, and asked anew."
    )


def test_listening_goes_by_the_runs_own_timeout_and_the_logs(tmp_path: Path) -> None:
    place, folder = Workspace(tmp_path), RunFolder(tmp_path / "run")
    folder.path.mkdir()
    place.logs.mkdir(parents=True)
    opening = [replace(event, folder=str(folder.path)) for event in opened() if isinstance(event, e.RunOpened)]
    state = fold([*opening, *generating(1), e.SampleRequested(instance=1, prompt_id="p", at=1000.0)])
    assert hearing.listen(place, state, 1200.0) == ([alerts.Silence(1, 200.0)], 300.0)
    folder.settings.write_text('{"generation": {"silence_timeout": 1000, "more": []}, "other": {}}')
    assert hearing.listen(place, state, 1200.0) == ([], 1000.0)
    folder.settings.write_text("{")
    log = place.generator_log(1)
    log.write_text("10:00:00 asks: something\n")
    os.utime(log, (1150.0, 1150.0))
    assert hearing.listen(place, state, 1200.0) == ([], 300.0)
    assert EventReader(folder.events).read() == []


# How it gets there


def program(folder: Path, name: str, code: int = 0) -> dict[str, str]:
    """A program that writes its arguments down, and an environment in which it is the only one."""
    path = folder / name
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/said\nexit {code}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": str(folder), "DISPLAY": ":0", "TERM": "xterm-256color"}


def test_programs_are_used_where_the_desktop_is_here(tmp_path: Path) -> None:
    here = program(tmp_path, "notify-send")
    assert desktop.command("t", "x", here, "linux") == ["notify-send", "--app-name=hegelion", "--", "t", "x"]
    assert desktop.command("t", "x", {**here, "SSH_CONNECTION": "1"}, "linux") == []
    assert desktop.command("t", "x", {"PATH": str(tmp_path)}, "linux") == []
    assert desktop.command("t", "x", here, "darwin") == []
    assert desktop.command("t", "x", program(tmp_path, "osascript"), "darwin")[-2:] == ["x", "t"]


def test_the_sequence_is_harmless(tmp_path: Path) -> None:
    assert desktop.sequence("done", {"TERM": "xterm-256color"}) == "\x1b]9;done\x07"
    assert desktop.sequence("done", {"TERM": "tmux-256color", "TMUX": "x"}) == "\x1bPtmux;\x1b\x1b]9;done\x07\x1b\\"
    assert desktop.sequence("a\x1b\x07\nb", {"TERM": "xterm"}).count("\x1b") == 1
    assert desktop.sequence("done", {"TERM": "linux"}) == desktop.sequence("done", {}) == ""


@pytest.mark.parametrize(("code", "written"), [(0, []), (1, ["\x1b]9;t: x\x07"])])
async def test_the_terminal_is_told_where_the_program_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, written: list[str]
) -> None:
    for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in program(tmp_path, "notify-send", code).items():
        monkeypatch.setenv(name, value)
    sent: list[str] = []
    async with asyncio.timeout(10):
        await desktop.tell("t", "x", sent.append)
    assert sent == written
    assert (tmp_path / "said").read_text().splitlines()[-2:] == ["t", "x"]
