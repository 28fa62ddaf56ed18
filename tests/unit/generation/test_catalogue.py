"""Looking through samples and attempts: by their places, as the decisions want them, while others write."""

from __future__ import annotations

import re
from array import array
from pathlib import Path

import msgspec
import pytest

from hegelion_core.errors import UserError
from hegelion_core.generation.catalogue import Catalogue, View
from hegelion_core.generation.store import SampleStore
from tests.unit.generation.test_decisions import TEXT, attempt
from tests.unit.generation.test_store import OUTPUT, sample


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    found = SampleStore(tmp_path / "s.jsonl")
    for number in range(1, 7):
        found.append(sample(f"Should city {number} ban cars?"), 1_000)
    found.reject(attempt("Should farms ban cars?", OUTPUT))
    with found.rejected_path.open("ab") as file:
        file.write(b"\nno record\n")
    found.reject(attempt("Should ships be free?", "I can't \\ help", "refusal"))
    return found


@pytest.fixture
def catalogue(store: SampleStore) -> Catalogue:
    return Catalogue(store.path)


def found(catalogue: Catalogue, text: str = "", *states: str, view: View = "samples", start: int = 0) -> list[int]:
    rows = array("Q")
    pattern = re.compile(text, re.IGNORECASE) if text else None
    for _, some in catalogue.select(view, start, pattern, frozenset(states)):
        rows.extend(some)
    return list(rows)


def test_rows_and_pages(catalogue: Catalogue) -> None:
    assert [len(shelf) for shelf in catalogue.shelves.values()] == [6, 3]
    entry = catalogue.entry("samples", 2)
    assert entry is not None
    assert (entry.number, entry.prompt, entry.state) == (3, "Should city 3 ban cars?", "accepted")
    opened = catalogue.page("attempts", 2)
    assert opened is not None
    page, _ = opened
    assert (page.entry.state, page.fault, page.raw, page.parts) == ("rejected", "refusal: d", "I can't \\ help", None)
    unreadable = catalogue.page("attempts", 1)
    assert unreadable is not None
    assert (unreadable[0].raw, unreadable[0].entry.reason) == ("no record", "unreadable")
    assert catalogue.page("samples", 6) is None
    assert catalogue.entry("attempts", 9) is None


def test_search_sees_what_stands_there_now(catalogue: Catalogue) -> None:
    assert found(catalogue, "city [24]") == [1, 3]
    assert found(catalogue, "exhaust") == [0, 1, 2, 3, 4, 5]
    assert found(catalogue, start=4) == [4, 5]
    assert found(catalogue, r"\\ help", view="attempts") == [2]
    assert found(catalogue, "", "failed", view="attempts") == []
    catalogue.decide("samples", catalogue.line("samples", 1), "edit", text=TEXT)
    catalogue.decide("samples", catalogue.line("samples", 2), "reject", reason="Off the point.")
    assert found(catalogue, "children can play") == [1]
    assert 1 not in found(catalogue, "exhaust")
    assert found(catalogue, "off the POINT") == [2]
    assert found(catalogue, "", "edited", "rejected by hand") == [1, 2]
    assert found(catalogue, "city", "edited") == [1]


def test_a_search_can_be_left_off(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hegelion_core.generation.catalogue._BATCH", 2)
    looked = [row for row, _ in catalogue.select("samples", 0, None, frozenset(), lambda: True)]
    assert looked == [2]


def test_news_are_seen_and_decisions_change_the_version(catalogue: Catalogue, store: SampleStore) -> None:
    assert not catalogue.refresh()
    version = catalogue.version
    store.append(sample("Should city 7 ban cars?"), 1_000)
    store.reject(attempt("Should kites ban cars?", ""))
    assert catalogue.refresh()
    assert [len(shelf) for shelf in catalogue.shelves.values()] == [7, 4]
    other = Catalogue(store.path)
    other.decide("samples", other.line("samples", 0), "reject")
    before = catalogue.version
    assert catalogue.refresh()
    assert catalogue.version > before >= version
    entry = catalogue.entry("samples", 0)
    assert entry is not None
    assert entry.state == "rejected by hand"


def test_an_attempt_is_taken_up_and_back(catalogue: Catalogue) -> None:
    line = catalogue.line("attempts", 0)
    catalogue.decide("attempts", line, "accept")
    assert len(catalogue.shelves["samples"]) == 7
    assert found(catalogue, "", "accepted by hand", view="attempts") == [0]
    with pytest.raises(UserError, match="cannot be read as a sample"):
        catalogue.decide("attempts", catalogue.line("attempts", 2), "accept")
    catalogue.decide("attempts", catalogue.line("attempts", 2), "edit", text=TEXT)
    opened = catalogue.page("attempts", 2)
    assert opened is not None
    assert opened[0].entry.state == "edited"
    assert opened[0].text == TEXT
    catalogue.decide("attempts", line, "undo")
    assert found(catalogue, "", "rejected", view="attempts") == [0, 1]


def test_export_writes_samples_as_they_stand_and_others_as_they_are(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.decide("samples", catalogue.line("samples", 1), "edit", text=TEXT)
    catalogue.decide("samples", catalogue.line("samples", 2), "reject")
    target = tmp_path / "out.jsonl"
    assert catalogue.export("samples", [0, 1, 2], target) == 3
    rows = [msgspec.json.decode(line) for line in target.read_bytes().splitlines()]
    assert [TEXT.thesis in row["output"] for row in rows] == [False, True, False]
    assert catalogue.export("attempts", [1, 2], target) == 2
    assert target.read_bytes().splitlines()[0] == b"no record"
    with pytest.raises(FileNotFoundError):
        catalogue.export("samples", [0], tmp_path / "nowhere" / "out.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out.jsonl"]


def test_a_file_that_was_replaced_is_looked_through_anew(catalogue: Catalogue, store: SampleStore) -> None:
    store.path.rename(store.path.with_name("aside.jsonl"))
    assert catalogue.page("samples", 0) is None
    SampleStore(store.path).append(sample("Should islands ban cars?"), 9)
    version = catalogue.version
    assert catalogue.refresh()
    assert catalogue.version > version
    assert found(catalogue, "islands") == [0]
    assert len(catalogue.shelves["samples"]) == 1
