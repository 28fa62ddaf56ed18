"""Near duplicates among many texts: MinHash finds the candidates, the exact Jaccard of their shingles decides.

Texts are linked if their Jaccard reaches the threshold; a cluster is what is linked, directly or through others. The
order in which texts are added plays no part: candidates are looked at in the order of the texts' keys.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rensa import RMinHash  # type: ignore[import-untyped]

from hegelion_core.generation.shingles import jaccard

SLOTS = 128
"""Slots of a signature. The standard deviation of the similarity it estimates is at most 0.045."""
SEED = 42
WINDOW = 50
"""Of the texts that share a band, each is compared with this many that follow it."""
MAX_CHECKS = 200_000
"""Exact comparisons, which need the texts again; past that the search ends and says so."""
_MARGIN = 0.15
"""A candidate whose estimate is this much below the threshold is not checked: more than three standard deviations."""
_RECALL = 0.999
_BATCH = 256
BLOCK = 256
"""Texts whose candidates are looked at together: at most ``BLOCK + WINDOW`` texts are needed again at a time."""

Signatures = npt.NDArray[np.uint16]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Link:
    """Two texts, by the numbers under which they were added, and the exact Jaccard of their shingles."""

    one: int
    other: int
    jaccard: float


@dataclass(frozen=True)
class Clusters:
    """What was found."""

    links: list[Link]
    """Enough of them to connect each cluster, in the order in which they were found."""
    sizes: list[int]
    """Texts in each cluster, the largest first."""
    complete: bool
    """Whether every candidate was looked at."""


class NearDuplicates:
    """Collects texts, 264 bytes each, and finds those that are near duplicates.

    A pair at the threshold is found with a probability of at least 0.999, a nearer one almost surely.
    """

    def __init__(self) -> None:
        self._keys = array("Q")
        self._batch: list[frozenset[str]] = []
        self._signatures: list[Signatures] = []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: int, shingles: frozenset[str]) -> None:
        """Add the next text.

        Args:
            key: what it is known by, below 2**64; distinct texts have distinct keys.
            shingles: at least one.
        """
        self._keys.append(key)
        self._batch.append(shingles)
        if len(self._batch) == _BATCH:
            self._sign()

    def find(self, threshold: float, shingles_of: Callable[[int], frozenset[str]]) -> Clusters:
        """The clusters of texts whose Jaccard is ``threshold`` (above 0, at most 1) or more.

        Args:
            threshold: of the Jaccard of two texts' shingles.
            shingles_of: gives those of the text that was added under a number, counted from 0.
        """
        self._sign()
        if len(self) < 2:
            return Clusters([], [], True)
        order = np.argsort(np.frombuffer(self._keys, dtype=np.uint64))
        signatures = np.concatenate(self._signatures)[order]
        components = _Components(len(self))
        links: list[Link] = []
        refuted: set[tuple[int, int]] = set()
        complete = True
        for one, other in _candidates(signatures, threshold, components):
            if (one, other) in refuted or components.joined(one, other):
                continue
            if len(links) + len(refuted) >= MAX_CHECKS:
                complete = False
                break
            a, b = int(order[one]), int(order[other])
            if (alike := jaccard(shingles_of(a), shingles_of(b))) >= threshold:
                components.join(one, other)
                links.append(Link(a, b, alike))
            else:
                refuted.add((one, other))
        return Clusters(links, components.sizes(), complete and components.complete())

    def _sign(self) -> None:
        if self._batch:
            rows = RMinHash.digest_matrix_from_token_sets(self._batch, SLOTS, SEED).to_rows()
            # The low halves tell two slots apart as well: they collide once in 65,536.
            self._signatures.append((np.array(rows, dtype=np.uint32) & 0xFFFF).astype(np.uint16))
            self._batch = []


class _Components:
    """Which texts are connected (union-find)."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count, dtype=np.int64)
        self._passed_over = np.empty((2, 0), dtype=np.int64)

    def root(self, text: int) -> int:
        parent = self._parent
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = int(parent[text])
        return text

    def joined(self, one: int, other: int) -> bool:
        return self.root(one) == self.root(other)

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first

    def roots(self, texts: Indices) -> Indices:
        """``root`` of each."""
        while True:
            above = self._parent[texts]
            if np.array_equal(above, texts):
                return above
            texts = above

    def apart(self, ones: Indices, others: Indices) -> npt.NDArray[np.bool_]:
        """Which of the pairs are not connected."""
        apart: npt.NDArray[np.bool_] = self.roots(ones) != self.roots(others)
        return apart

    def pass_over(self, ones: Indices, others: Indices) -> None:
        """Note pairs, which may be connected, that were not compared."""
        self._passed_over = np.concatenate([self._passed_over, (ones, others)], axis=1)

    def complete(self) -> bool:
        """Whether all that was passed over is connected by now."""
        self._passed_over = self._passed_over[:, self.apart(*self._passed_over)]
        return not self._passed_over.size

    def sizes(self) -> list[int]:
        _, counts = np.unique(self.roots(self._parent), return_counts=True)
        return sorted((int(count) for count in counts if count > 1), reverse=True)


def band_width(threshold: float) -> int:
    """Slots a band has: the most (so the fewest candidates) that still find a pair at the threshold."""
    for width in range(16, 1, -1):
        if 1 - (1 - threshold**width) ** (SLOTS // width) >= _RECALL:
            return width
    return 1


def _candidates(signatures: Signatures, threshold: float, components: _Components) -> Iterator[tuple[int, int]]:
    """Pairs that share a band and are estimated to be near, but not yet known to be connected."""
    width = band_width(threshold)
    for start in range(0, SLOTS - width + 1, width):
        keys = _band_keys(signatures[:, start : start + width])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        # Places whose text shares its key with the next one: a key's places are neighbours.
        shared = np.flatnonzero(keys[:-1] == keys[1:])
        for first in range(0, len(shared), BLOCK):
            places = shared[first : first + BLOCK]
            for shift in range(1, WINDOW + 1):
                yield from _near(signatures, order[places], order[places + shift], threshold, components)
                places = places[places + shift + 1 < len(keys)]
                places = places[keys[places] == keys[places + shift + 1]]
                if not places.size:
                    break
            else:
                # These two kinds of pairs connect all texts of the key, if they are connected.
                for neighbours in (places + 1, places + WINDOW + 1):
                    components.pass_over(order[places], order[neighbours])
        components.complete()  # forgets what is connected


def _near(
    signatures: Signatures, ones: Indices, others: Indices, threshold: float, components: _Components
) -> Iterator[tuple[int, int]]:
    apart = components.apart(ones, others)
    ones, others = ones[apart], others[apart]
    estimates = np.mean(signatures[ones] == signatures[others], axis=1)
    near = estimates >= threshold - _MARGIN
    yield from zip(ones[near].tolist(), others[near].tolist(), strict=True)


def _band_keys(band: Signatures) -> npt.NDArray[np.uint64]:
    """One number for a band's slots; two different bands have the same once in 2**64."""
    keys = np.zeros(len(band), dtype=np.uint64)
    for slot in band.T:
        keys = (keys ^ slot.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys
