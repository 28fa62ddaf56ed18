"""Near duplicates: what is reported is above the threshold, what is above it is found, in whatever order it comes."""

from __future__ import annotations

import hashlib
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.generation import near_duplicates
from hegelion_core.generation.held_out import HeldOutPrompts, Match
from hegelion_core.generation.near_duplicates import SLOTS, Clusters, NearDuplicates, band_width
from hegelion_core.generation.shingles import jaccard, shingles, words

Set = frozenset[str]
SETS = st.lists(st.frozensets(st.sampled_from("abcdefghijkl"), min_size=1), min_size=1, max_size=25, unique=True)
THRESHOLDS = st.sampled_from([0.5, 0.7, 0.8, 0.9, 1.0])


def find(sets: list[Set], threshold: float) -> Clusters:
    found = NearDuplicates()
    for each in sets:
        found.add(key(each), each)
    return found.find(threshold, sets.__getitem__)


def key(each: Set) -> int:
    return int.from_bytes(hashlib.blake2b(" ".join(sorted(each)).encode(), digest_size=8).digest(), "big")


def connected(count: int, links: list[tuple[int, int]]) -> list[int]:
    """Sizes of what links connect."""
    label = list(range(count))
    for one, other in links:
        old, new = label[other], label[one]
        label = [new if each == old else each for each in label]
    return sorted((size for each in set(label) if (size := label.count(each)) > 1), reverse=True)


def pair_at(rng: random.Random, shared: int, own: int) -> tuple[Set, Set]:
    """Two sets whose Jaccard is shared / (shared + 2 own)."""
    names = [f"w{rng.getrandbits(48)}" for _ in range(shared + 2 * own)]
    return frozenset(names[: shared + own]), frozenset(names[:shared] + names[shared + own :])


@given(SETS, THRESHOLDS)
def test_what_is_linked_is_at_the_threshold_by_its_exact_jaccard(sets: list[Set], threshold: float) -> None:
    found = find(sets, threshold)
    for link in found.links:
        assert link.jaccard == jaccard(sets[link.one], sets[link.other]) >= threshold
    assert connected(len(sets), [(link.one, link.other) for link in found.links]) == found.sizes
    assert found.complete


@given(SETS, THRESHOLDS, st.randoms(use_true_random=False))
def test_the_order_of_the_texts_plays_no_part(sets: list[Set], threshold: float, rng: random.Random) -> None:
    shuffled = rng.sample(sets, len(sets))
    one, other = find(sets, threshold), find(shuffled, threshold)
    assert one.sizes == other.sizes
    assert [{sets[link.one], sets[link.other]} for link in one.links] == [
        {shuffled[link.one], shuffled[link.other]} for link in other.links
    ]


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
def test_pairs_at_the_threshold_are_found_among_many_texts(threshold: float) -> None:
    rng = random.Random(5)
    own = {0.5: 50, 0.8: 10, 0.9: 5}[threshold]
    shared = round(2 * own * threshold / (1 - threshold))
    near = [pair_at(rng, shared, own) for _ in range(400)]
    apart = [pair_at(rng, shared, round(own * 1.5) + 10) for _ in range(400)]
    found = find([each for pair in near + apart for each in pair], threshold)
    assert all(link.one // 2 == link.other // 2 < len(near) for link in found.links)
    assert len(found.links) >= 396


def test_a_chain_of_near_texts_is_one_cluster() -> None:
    alphabet = [f"w{number}" for number in range(60)]
    chain = [frozenset(alphabet[start : start + 40]) for start in range(0, 20, 2)]
    assert find(chain, 0.9).sizes == [len(chain)]
    assert jaccard(chain[0], chain[-1]) < 0.5


def test_more_equal_bands_than_are_compared_are_one_cluster_all_the_same() -> None:
    common = {f"w{number}" for number in range(400)}
    sets = [frozenset(common | {f"own{number}"}) for number in range(3 * near_duplicates.WINDOW)]
    found = find(sets, 0.8)
    assert found.sizes == [len(sets)]
    assert found.complete


def test_texts_that_share_their_bands_with_too_many_to_compare_are_not_called_apart() -> None:
    common = {f"w{number}" for number in range(300)}
    sets = [
        frozenset(common | {f"{number} {own}" for own in range(60)}) for number in range(4 * near_duplicates.WINDOW)
    ]
    found = find(sets, 0.8)
    assert found.sizes == []
    assert not found.complete


def test_a_search_that_is_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MAX_CHECKS", 10)
    rng = random.Random(1)
    pairs = [pair_at(rng, 90, 5) for _ in range(20)]
    found = find([each for pair in pairs for each in pair], 0.8)
    assert not found.complete
    assert len(found.links) == 10


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_find_a_pair_at_the_threshold_almost_surely(threshold: float) -> None:
    width = band_width(threshold)
    assert 1 - (1 - threshold**width) ** (SLOTS // width) >= 0.999 or width == 1
    assert 1 <= width <= 16


@given(st.text(max_size=80), st.integers(1, 5))
def test_shingles_hold_every_run_of_words(text: str, size: int) -> None:
    found = words(text)
    made = shingles(found, size)
    assert len(made) <= max(1, len(found) - size + 1)
    assert bool(made) == bool(found)
    assert all(len(shingle.split()) == min(size, len(found)) for shingle in made)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Should cities BAN cars?", ["should", "cities", "ban", "cars"]),
        ("don't snake_case", ["don", "t", "snake", "case"]),
        ("Straße ÜBER", ["strasse", "über"]),
        ("自由と平等", ["自", "由", "と", "平", "等"]),
        ("자유 평등", ["자유", "평등"]),
        ("?!", []),
    ],
)
def test_words_are_normalised(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12).map(" ".join), max_size=12),
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12).map(" ".join),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)
def test_the_nearest_held_out_prompt_is_found_always(held_out: list[str], prompt: str, threshold: float) -> None:
    found = HeldOutPrompts(held_out, threshold=threshold, shingle_words=2).match("p-0", shingles(words(prompt), 2))
    alike = [jaccard(shingles(words(prompt), 2), shingles(words(text), 2)) for text in held_out]
    if found is None:
        assert max(alike, default=0.0) < threshold
    else:
        assert found == Match(alike.index(max(alike)), max(alike), exact=False)
        assert found.jaccard >= threshold


def test_a_held_out_prompt_exactly_at_the_threshold_is_found() -> None:
    held_out = "a b c d e f g h i j k"  # 10 pairs of words, in alphabetical order: the rarest first
    prompt = "x d e f g h i j k"  # 7 of them and one of its own
    matcher = HeldOutPrompts([held_out], threshold=7 / 11, shingle_words=2)
    assert matcher.match("p-0", shingles(words(prompt), 2)) == Match(0, 7 / 11, exact=False)
    matcher = HeldOutPrompts([held_out], threshold=0.7, shingle_words=2)
    assert matcher.match("p-0", shingles(words("d e f g h i j k"), 2)) == Match(0, 0.7, exact=False)


def test_every_pair_of_distinct_texts_with_the_same_shingles_is_found() -> None:
    found = NearDuplicates()
    same = frozenset(itertools.islice(map(str, itertools.count()), 30))
    for number in range(5):
        found.add(number, same)
    assert found.find(1.0, lambda number: same).sizes == [5]
