"""What a person reads on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.commands.status import report
from hegelion_core.commands.text import printable
from hegelion_core.commands.words import describe, duration, nearby, size
from hegelion_core.fold import fold
from hegelion_core.run_state import RunState
from hegelion_core.workspace import RunFolder


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


def test_paths_below_the_current_folder_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert nearby(str(tmp_path / "a" / "b")) == "a/b"
    assert nearby("/elsewhere/b") == "/elsewhere/b"


OPENED = e.RunOpened(
    at=0, run_id="r-1", folder="f", target=4, teacher="local", student="s", source="bundled", core_pid=1
)
ACCEPTED = e.SampleAccepted(at=30, instance=1, prompt_id="p", sample_id="s", accepted=1, seconds=1)


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


def test_status_of_a_core_that_died_says_what_to_do() -> None:
    working = e.WorkRequested(at=1, stages=("generate",))
    state = fold([OPENED, working, e.StageStarted(at=1, stage="generate"), ACCEPTED])
    alive = "\n".join(report(state, RunFolder(Path("f")), 60, core_alive=True))
    assert "at work, core 1" in alive
    assert "1/4" in alive
    dead = "\n".join(report(state, RunFolder(Path("f")), 60, core_alive=False))
    assert "not running" in dead
    assert "ended without warning" in dead
