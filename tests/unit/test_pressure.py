from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.pressure import Level, LevelWatch, Memory, judge, parse_psi, read_pressure, within_cgroup

GIB = 1 << 30
MACHINE = Memory(available=12 * GIB, total=16 * GIB)
PSI = "some avg10=12.34 avg60=1.00 avg300=0.50 total=123456\nfull avg10=3.00 avg60=0.20 avg300=0.10 total=23456\n"


def test_psi_is_the_share_of_the_last_ten_seconds() -> None:
    assert parse_psi(PSI) == 12.34


@pytest.mark.parametrize("text", ["", "full avg10=3.00", "some", "some avg10=often", "\n\n"])
def test_psi_that_is_not_told_is_none(text: str) -> None:
    assert parse_psi(text) is None


@given(st.text())
def test_psi_survives_any_text(text: str) -> None:
    value = parse_psi(f"{text}\nsome avg10=")
    assert value is None or value >= 0


@pytest.mark.parametrize(
    ("available", "stalled", "level"),
    [
        (8.0, 0.0, "normal"),
        (8.0, None, "normal"),
        (1.2, 0.0, "warning"),
        (8.0, 15.0, "warning"),
        (0.3, 0.0, "critical"),
        (8.0, 60.0, "critical"),
        (1.2, 60.0, "critical"),
    ],
)
def test_the_worse_of_two_measures_decides(
    available: float, stalled: float | None, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert judge(Memory(int(available * GIB), 16 * GIB), stalled) == level


def test_macos_judges_available_memory_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert judge(Memory(GIB // 10, 16 * GIB), None) == "normal"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_version_2_limit_counts_droppable_files_as_available(tmp_path: Path) -> None:
    write(
        tmp_path / "user" / "job",
        memory__max=str(4 * GIB),
        memory__current=str(3 * GIB),
        memory__stat=f"anon 1\ninactive_file {GIB}\nfile 2\n",
    )
    assert within_cgroup(MACHINE, "0::/user/job\n", tmp_path) == Memory(2 * GIB, 4 * GIB)


def test_the_tightest_limit_above_counts(tmp_path: Path) -> None:
    write(tmp_path / "user", memory__max=str(2 * GIB), memory__current=str(GIB), memory__stat="")
    write(tmp_path / "user" / "job", memory__max="max", memory__current=str(GIB), memory__stat="")
    assert within_cgroup(MACHINE, "0::/user/job\n", tmp_path) == Memory(GIB, 2 * GIB)


def test_version_1_limit(tmp_path: Path) -> None:
    write(
        tmp_path / "memory" / "docker",
        memory__limit_in_bytes=str(8 * GIB),
        memory__usage_in_bytes=str(7 * GIB),
        memory__stat="total_inactive_file 0\n",
    )
    text = "9:cpu:/other\n4:memory:/docker\n0::/\n"
    assert within_cgroup(MACHINE, text, tmp_path) == Memory(GIB, 8 * GIB)


def test_no_limit_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "memory", memory__limit_in_bytes=str(1 << 62), memory__usage_in_bytes="1", memory__stat="")
    assert within_cgroup(MACHINE, "4:memory:/somewhere/else\n", tmp_path) == MACHINE
    assert within_cgroup(MACHINE, "", tmp_path) == MACHINE


def test_a_path_outside_the_mount_falls_back_to_what_is_mounted(tmp_path: Path) -> None:
    write(tmp_path, memory__max=str(GIB), memory__current="0", memory__stat="")
    assert within_cgroup(MACHINE, "0::/not/mounted/here\n", tmp_path) == Memory(GIB, GIB)


def test_a_reading_of_this_machine(tmp_path: Path) -> None:
    reading = read_pressure(tmp_path / "not" / "made" / "yet", interval=0.01)
    assert 0 < reading.available <= reading.total
    assert 0 <= reading.cpu <= 100
    assert reading.disk_free > 0


def test_a_level_is_told_once_when_it_gets_worse_and_again_after_a_time_of_calm() -> None:
    watch = LevelWatch()
    told = [watch.worsened(level) for level in ("normal", "warning", "warning", "normal", "warning", "critical")]
    assert told == [False, True, False, False, False, True]
    assert not any(watch.worsened("warning") for _ in range(LevelWatch.CALM)), "better than what was told"
    assert watch.worsened("critical")
    assert not any(watch.worsened("normal") for _ in range(LevelWatch.CALM))
    assert watch.worsened("warning")


def test_what_the_children_hold_is_part_of_a_reading(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        reading = read_pressure(tmp_path, interval=0, core=os.getpid(), children={"train": child.pid})
        child.kill()
    assert reading.children["train"] > 0
    assert reading.gpus == ()
