from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_tui.logs.search import BadPattern, Hunt, Pattern, Spot
from hegelion_tui.logs.volume import Volume
from tests.unit.tui.logs.small_blocks import blocks_of

PATTERNS = st.sampled_from(
    ["a", "bc", "cA", " b", "ab+", "^a", "b$", "[ab]c", "a|bc", r"\d", "A", "x*", r"\bc", "é", "."]
)
CONTENT = st.one_of([st.text(st.sampled_from(list(some)), max_size=120) for some in ("abcA1 é\n", "abcA \n")])


def volume_of(folder: str, text: str) -> Volume:
    path = Path(folder) / "log"
    path.write_text(text)
    volume = Volume([path])
    volume.look()
    return volume


def spans_by_re(pattern: str, text: str) -> list[tuple[int, int]]:
    flags = 0 if "A" in pattern else re.IGNORECASE
    return [match.span() for match in re.finditer(pattern, text, flags) if match.group()]


@given(CONTENT, CONTENT, PATTERNS, st.integers(40, 80))
def test_counts_and_ways_are_those_of_re_over_the_whole_file(text: str, more: str, pattern: str, size: int) -> None:
    text, more = f"{text}\n", f"{more}\n"
    with tempfile.TemporaryDirectory() as folder, blocks_of(size):
        volume = volume_of(folder, text)
        hunt = Hunt(volume, Pattern(pattern))
        while not hunt.advance(1):
            assert hunt.behind
        expected = [span for line in text.split("\n") for span in spans_by_re(pattern, line)]
        assert hunt.total == len(expected)
        with volume.files[0].path.open("a") as file:
            file.write(more)
        volume.look()
        while not hunt.advance(1):
            pass
        expected = [span for line in (text + more).split("\n") for span in spans_by_re(pattern, line)]
        assert hunt.total == len(expected)
        assert walk(hunt, 1) == expected
        assert walk(hunt, -1) == expected[::-1]


def walk(hunt: Hunt, step: int) -> list[tuple[int, int]]:
    """All matches, one after the other; their numbers are right."""
    found: list[tuple[int, int]] = []
    spot: Spot | None = None
    while True:
        spot = hunt.forward(hunt.volume.start, spot) if step > 0 else hunt.backward(hunt.volume.whole_end(), spot)
        if spot is None:
            return found
        found.append(spot.span)
        assert hunt.ordinal(spot) == (len(found) if step > 0 else hunt.total - len(found) + 1)


def test_what_is_not_shown_is_not_found(tmp_path: Path) -> None:
    volume = volume_of(str(tmp_path), "\x1b[31mred\x1b[0m\nsecret\rshown\n")
    for pattern, count in (("31m", 0), ("red", 1), ("secret", 0), ("shown", 1)):
        hunt = Hunt(volume, Pattern(pattern))
        assert hunt.advance(9)
        assert hunt.total == count


def test_a_search_in_a_filtered_log_finds_what_the_filter_leaves(tmp_path: Path) -> None:
    volume = volume_of(str(tmp_path), "a 1\nb 1\na 2 1\n")
    hunt = Hunt(volume, Pattern("1"), Pattern("a").holds)
    assert hunt.advance(9)
    assert hunt.total == 2
    assert len(walk(hunt, 1)) == 2


@pytest.mark.parametrize("bad", ["(", "[a", "*", "(?P<n", "a{2,1}"])
def test_a_bad_pattern_says_what_is_wrong_on_one_line(bad: str) -> None:
    with pytest.raises(BadPattern) as error:
        Pattern(bad)
    assert str(error.value)
    assert "\n" not in str(error.value)


def test_capitals_matter_if_there_are_any() -> None:
    assert Pattern("error").holds("An ERROR")
    assert not Pattern("Error").holds("An ERROR")
    assert Pattern(r"\Serror").holds("xERROR")


def test_a_pattern_that_takes_too_long_is_given_up() -> None:
    pattern = Pattern("(a|aa)+$")
    with pytest.raises(BadPattern, match="takes too long"):
        pattern.spans("a" * 60 + "b")
    assert pattern.holds("anything")


def test_matches_are_found_in_time_order_over_several_logs(tmp_path: Path) -> None:
    (tmp_path / "1").write_text("10:00:00 hit a\n10:00:04 hit d hit\n")
    (tmp_path / "2").write_text("10:00:01 hit b\n10:00:03 miss\n10:00:05 hit e\n")
    volume = Volume([tmp_path / "1", tmp_path / "2"])
    volume.look()
    assert volume.learn(9)
    hunt = Hunt(volume, Pattern("hit"))
    assert hunt.advance(9)
    assert hunt.total == 5
    assert len(walk(hunt, 1)) == len(walk(hunt, -1)) == 5
