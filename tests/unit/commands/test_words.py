"""What a person reads on a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core import events as e
from hegelion_core.commands import status_words
from hegelion_core.commands.text import printable, printable_json
from hegelion_core.commands.words import (
    amount,
    counts,
    describe,
    duration,
    generation_facts,
    nearby,
    size,
    still,
    summary,
)
from hegelion_core.fold import fold
from hegelion_core.run_state import RunState
from tests.fakes.glances import glance


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (75, "1m 15s"), (3600, "1h 00m"), (9000, "2h 30m")],
)
def test_durations_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (9 << 40, "9216.0 GiB")]
)
def test_sizes_are_binary(count: int, text: str) -> None:
    assert size(count) == text


def test_nothing_that_could_steer_a_terminal_is_printed() -> None:
    assert printable("a\x1b[2Jb\x07\u202ec\n\td") == "a�[2Jb��c\n\td"


@given(st.text(max_size=40))
def test_json_steers_no_terminal_and_loses_nothing(text: str) -> None:
    line = printable_json(msgspec.json.encode({text: text}))
    assert line.removesuffix("\n").isprintable()
    assert json.loads(line) == {text: text}


def test_paths_below_the_current_folder_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert nearby(str(tmp_path / "a" / "b")) == "a/b"
    assert nearby("/elsewhere/b") == "/elsewhere/b"


OPENED = e.RunOpened(
    at=0, run_id="r-1", folder="f", target=4, teacher="local", student="s", source="bundled", core_pid=1
)
ACCEPTED = e.SampleAccepted(at=30, instance=1, prompt_id="p", sample_id="s", accepted=1, seconds=1)


def test_while_nothing_is_told_it_is_said_what_is_at_work() -> None:
    begun = [OPENED, e.WorkRequested(at=1, stages=("generate", "train"))]
    generating = fold([*begun, e.StageStarted(at=2, stage="generate"), ACCEPTED])
    training = fold([*begun, e.StageStarted(at=2, stage="train")])
    waiting = fold([*begun, e.StageStarted(at=2, stage="generate"), e.GenerationPaused(at=3, reason="quota", until=9)])
    assert still(generating) == "  still at work, generate: 1 of 4 samples, 0 in flight"
    assert still(training) == "  still at work, train"
    assert still(waiting) == still(fold(begun)) == ""


def test_an_accepted_sample_tells_rate_eta_and_share() -> None:
    state = fold([OPENED, e.StageStarted(at=0, stage="generate"), ACCEPTED])
    assert describe(ACCEPTED, state) == "  sample 1/4 accepted · 2.0/min · ETA 1m 30s · 100% of answers accepted"


def test_every_event_can_be_described() -> None:
    """An event without words of its own gives an empty line, never an error."""
    assert describe(e.ChildStarted(name="train", pid=1), RunState()) == ""
    assert (
        describe(e.CheckFailed(name="disk", detail="full.", fix="Make room."), RunState())
        == "  FAIL  disk: full. Make room."
    )


def test_a_wait_is_told_with_its_reason_its_end_and_what_to_do() -> None:
    paused = e.GenerationPaused(
        at=30, reason="The plan's quota is used up (403)", until=3630, kind="quota", advice="Go."
    )
    events = [OPENED, e.WorkRequested(at=0, stages=("generate",)), e.StageStarted(at=0, stage="generate"), paused]
    state = fold(events)
    assert "(for 1h 00m): The plan's quota is used up (403)" in describe(paused, state)
    lines = status_words.lines(glance(state, now=1830, core=1))
    assert "Waiting:   The plan's quota is used up (403), 30m 00s left. Go." in lines


def test_the_facts_of_generation_begin_with_what_is_under_way() -> None:
    events = [
        OPENED,
        e.WorkRequested(at=0, stages=("generate",)),
        e.StageStarted(at=0, stage="generate"),
        e.InstancesScaled(at=0, count=2),
        e.PaceChanged(at=1, allowed=1, maximum=2),
        e.SampleRequested(at=1, instance=1, prompt_id="p"),
        e.SampleRejected(at=2, instance=1, prompt_id="p", reason="refusal", tokens=1500, prompt_tokens=12_345),
        e.RequestFailed(at=3, instance=2, prompt_id="q", kind="rate", message="slow", counted=False),
        e.SampleRequested(at=4, instance=1, prompt_id="p"),
    ]
    state = fold(events)
    assert generation_facts(state) == [
        "1 in flight of 1 allowed",
        "rejected 1 refusal",
        "failed 1 rate",
        "2 requests",
        "12k tokens read, 1.5k written",
    ]
    lines = status_words.lines(glance(state, now=9, core=1, instances={1: (7,)}))
    assert "  generator 1 (process 7): asked 5s ago · 1 rejected" in lines
    assert "  generator 2: failed: rate 6s ago · 1 failed" in lines


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1.0k"), (12_345, "12k"), (3_400_000, "3.4M"), (5e12, "5000G")]
)
def test_amounts_are_short(count: float, text: str) -> None:
    assert amount(count) == text


def test_counts_name_the_largest_first_and_sum_up_the_rest() -> None:
    assert counts({"a": 1, "b": 30, "c": 2, "d": 4}, 2) == "30 b, 4 d, 3 other"


def test_prompts_are_told_with_what_was_left_out() -> None:
    prepared = e.PromptsPrepared(count=61_000, source="set@abc/train", arguable=40_000, left_out={"duplicate": 135})
    assert describe(prepared, RunState()) == (
        "  61,000 prompts from set@abc/train; 40,000 of them can be argued and come first; left out: 135 duplicate"
    )


def test_the_report_of_this_end_is_told_and_not_that_of_an_earlier_one() -> None:
    def told(state: RunState) -> str:
        return "\n".join(summary(state, rows=Path("/w/rows"), adapter=Path("/w/adapter"), base=Path("/w")))

    written = fold(
        [e.RunOpened(run_id="r", folder="/w/runs/r", target=1, teacher="t", student="s", source="p", core_pid=1)]
    )
    counted = e.SamplesCounted(path="/w/samples", accepted=1)
    written = fold([counted, e.ReportWritten(path="/w/runs/r/report.html")], written)
    assert "  report       runs/r/report.html" in told(written)
    assert "report.html" not in told(fold([e.WorkRequested(stages=("generate",))], written))
