"""Deaths of the trainer and what follows; limits, pressure, and failed allocations."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core import events as e
from hegelion_core import pressure
from hegelion_core.errors import UserError
from hegelion_core.settings import TrainingSettings, memory_bytes, resolve
from hegelion_core.training import memory
from hegelion_core.training.restarts import MIN_LENGTH, Cause, Restarts, Sizes, cause_of

GIB = 1 << 30


@pytest.mark.parametrize(
    ("code", "said_so", "pressed", "cause"),
    [
        (1, True, False, "memory"),
        (1, False, True, "other"),
        (-signal.SIGABRT, False, False, "memory"),
        (-signal.SIGKILL, False, True, "memory"),
        (-signal.SIGKILL, False, False, "unclear"),
        (-signal.SIGSEGV, False, False, "unclear"),
        (-signal.SIGTERM, False, True, "other"),
    ],
)
def test_the_cause_of_a_death(code: int, said_so: bool, pressed: bool, cause: Cause) -> None:
    assert cause_of(code, said_so=said_so, pressed=pressed) == cause


def test_each_death_of_memory_halves_down_to_one_row_and_then_the_length_if_allowed() -> None:
    settings = TrainingSettings(batch_size=6, max_seq_length=500)
    seen: list[tuple[int, int, int]] = []
    restarts = Restarts(Sizes.of(settings), allow_shorter=True)
    while restarts.after("memory", 0):
        sizes = restarts.sizes
        seen.append((sizes.micro_batch, sizes.accumulation(settings.batch_size), sizes.length))
    assert seen == [(3, 2, 500), (1, 6, 500), (1, 6, 250), (1, 6, MIN_LENGTH)]
    strict = Restarts(Sizes(2, 500), allow_shorter=False)
    assert [strict.after("memory", 0), strict.after("memory", 0)] == [True, False]
    assert Sizes.of(settings).applied_to(settings) is settings
    applied = Sizes(1, 250).applied_to(settings)
    assert (applied.micro_batch_size, applied.max_seq_length, applied.batch_size) == (1, 250, 6)


def test_a_kill_without_a_sign_of_shortage_changes_nothing_the_first_time() -> None:
    restarts = Restarts(Sizes(4, 500), allow_shorter=False)
    assert restarts.after("unclear", 10)
    assert restarts.sizes == Sizes(4, 500)
    assert restarts.after("unclear", 20)  # it got further
    assert restarts.sizes == Sizes(4, 500)
    assert restarts.after("unclear", 20)
    assert restarts.sizes == Sizes(2, 500)
    assert not restarts.after("other", 30)


@given(
    rows=st.integers(1, 1024),
    length=st.integers(16, 100_000),
    allow=st.booleans(),
    causes=st.iterables(st.sampled_from(["memory", "unclear"]), max_size=200),
)
def test_deaths_without_a_new_checkpoint_come_to_an_end(
    rows: int, length: int, allow: bool, causes: Iterator[Cause]
) -> None:
    restarts, starts = Restarts(Sizes(rows, length), allow_shorter=allow), 0
    for cause in causes:
        before = restarts.sizes
        if not restarts.after(cause, 7):
            break
        assert restarts.sizes == before.within(restarts.sizes)
        starts += 1
    assert starts <= 1 + rows.bit_length() + length.bit_length()


@pytest.mark.parametrize(
    ("limit", "size"), [("12", 12 * GIB), ("1.5GiB", 3 * GIB // 2), ("75%", 12 * GIB), ("100%", 16 * GIB)]
)
def test_a_limit_is_gib_or_a_share(limit: str, size: int) -> None:
    assert memory_bytes(limit, 16 * GIB) == size


@pytest.mark.parametrize("limit", ["0", "0%", "101%", "-3", "much", "", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(limit: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.memory_limit"):
        resolve(tmp_path, {"training.memory_limit": limit}, environment={})


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (MemoryError(), True),
        (RuntimeError("[malloc] Unable to allocate 123 bytes."), True),
        (RuntimeError("[METAL] Command buffer execution failed: Insufficient Memory (00000008)"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("[matmul] Last dimension of first input must match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_failed_allocations_are_known(error: Exception, ran_out: bool) -> None:
    assert memory.ran_out(error) is ran_out


def reading(level: pressure.Level) -> pressure.Pressure:
    return pressure.Pressure(level=level, available=GIB, total=16 * GIB, stalled=None, cpu=0, disk_free=1)


def test_a_change_of_pressure_is_said_once_and_looks_are_rare() -> None:
    levels: Iterator[pressure.Level] = iter(["normal", "warning", "warning", "critical", "normal"])
    said: list[str] = []
    reported: list[e.Event] = []
    now = [0.0]
    watch = memory.Watch(
        Path(),
        None,
        said.append,
        reported.append,
        clock=lambda: now[0],
        read=lambda _: reading(next(levels)),
        resident=lambda: 0,
    )
    for _ in range(13):
        watch()
        now[0] += 2
    assert [line.split(":")[0] for line in said] == [
        "Memory is getting short",
        "Memory is about to run out",
        "Memory is no longer short",
    ]
    assert [event.level for event in reported if isinstance(event, e.NoticePosted)] == ["warning", "error", "info"]
    assert "1.0 of 16.0 GiB are available" in said[0]


def test_a_trainer_over_its_limit_ends(tmp_path: Path) -> None:
    size = iter([GIB, 3 * GIB])
    watch = memory.Watch(tmp_path, 2 * GIB, print, lambda _: None, resident=lambda: next(size))
    watch()
    with pytest.raises(MemoryError, match=r"holds 3.00 GiB, its limit is 2.00 GiB"):
        watch()


def test_this_machines_kernel_tells_its_kills_or_nothing() -> None:
    kills = pressure.oom_kills()
    assert kills is None or kills >= 0
