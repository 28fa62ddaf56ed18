"""The targets of ``make fuzz`` on their seeds and on some hundreds of inputs near them, so that they cannot rot."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hegelion_core.events import encode
from tests.hostile.evil_events import everything
from tests.hostile.fuzz import stretching
from tests.hostile.fuzz.target import MAX_INPUT, SPLIT, Target
from tests.hostile.fuzz.targets import make_targets

NAMES = (
    *("answer", "row", "kimi", "stream", "terminal"),
    *("events", "socket", "decisions", "weights", "settings", "files"),
)
INPUTS = 150
_PIECES = st.sampled_from(
    (b"", b"\n", b'"', b"[", b"{", b"]", b"}", b":", b"-1", b"9" * 30, b"1e308", b"\\u0000", b"\x1b[2J", b"\xff", SPLIT)
)


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Target]]:
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=shared if shared.is_dir() else None) as folder:
        yield make_targets(Path(folder))


def test_every_target_is_tried(targets: dict[str, Target]) -> None:
    assert set(targets) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_takes_what_the_real_thing_looks_like(name: str, targets: dict[str, Target]) -> None:
    assert len(targets[name].seeds) > 4
    for seed in targets[name].seeds:
        targets[name].feed(seed)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_takes_what_is_near_that(name: str, targets: dict[str, Target]) -> None:
    seeds = [seed for seed in targets[name].seeds if len(seed) < 4000]

    @given(
        st.sampled_from(seeds),
        st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 40), _PIECES | st.binary(max_size=4)), max_size=4),
    )
    @settings(max_examples=INPUTS)
    def feed(seed: bytes, edits: list[tuple[int, int, bytes]]) -> None:
        for at, length, piece in edits:
            begin = at % (len(seed) + 1)
            seed = seed[:begin] + piece + seed[begin + length :]
        targets[name].feed(seed)

    feed()


@pytest.mark.parametrize("extreme", [1e308, -1e308, 5e-324, 2e11, 2**53, -(2**53), 10_000])
def test_whatever_numbers_events_hold_the_run_can_be_told(extreme: float, targets: dict[str, Target]) -> None:
    told = everything("x")
    for index, event in enumerate(told):
        numbers = {
            name: extreme
            for name in event.__struct_fields__
            if isinstance(value := getattr(event, name), int | float) and not isinstance(value, bool)
        }
        lines = [encode(each) for each in (*told[:index], replace(event, **numbers), *told[index:])]
        targets["events"].feed(b"".join(lines))


def test_what_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretching, "BUDGET", -1.0)
    with pytest.raises(stretching.TooSlowError, match="3 bytes took"):
        stretching.feed(Target(len, ()), b"abc")  # type: ignore[arg-type]


@given(st.binary(min_size=1, max_size=300))
def test_an_input_is_stretched_to_the_longest_there_is_and_always_alike(data: bytes) -> None:
    long = stretching.stretched(data)
    assert MAX_INPUT - 256 - len(data) < len(long) <= MAX_INPUT
    assert stretching.stretched(data) == long
    assert long.endswith(data[-1:])
