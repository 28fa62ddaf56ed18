"""Decisions by hand: the fold, the file, what counts, and that all readers agree."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.completion import Completion
from hegelion_core.conversion.convert import Hooks, convert_file
from hegelion_core.conversion.rendering import TrainingRow, chatml
from hegelion_core.conversion.rows import Tally as Conversion
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.sample import Sample
from hegelion_core.errors import UserError
from hegelion_core.generation import by_hand, verdicts
from hegelion_core.generation.card import card
from hegelion_core.generation.claims import Claims
from hegelion_core.generation.decisions import (
    Decision,
    Decisions,
    History,
    Standing,
    Text,
    decided,
    decisions_path,
    standing,
)
from hegelion_core.generation.ledger import Ledger
from hegelion_core.generation.prompts import Prompt
from hegelion_core.generation.quality import assess
from hegelion_core.generation.store import Rejected, SampleStore
from hegelion_core.generation.tally import Tally
from hegelion_core.generation.verdicts import UNUSABLE, Verdict
from hegelion_core.settings import Settings
from hegelion_core.workspace import Workspace
from tests.unit.generation.test_store import OUTPUT, sample

TEXT = Text(
    thesis="A street without cars is quiet, and children can play in it.",
    antithesis="A street without cars is far from everything for whoever cannot walk.",
    synthesis="Let those who cannot walk be driven, and let all others leave the car outside.",
    answer="Close the street to all cars but those that carry people who need one.",
)
CITIES, VILLAGES, ISLANDS = "Should cities ban cars?", "Should villages ban cars?", "Should islands ban cars?"


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    found = SampleStore(tmp_path / "s.jsonl")
    for query in (CITIES, VILLAGES, ISLANDS):
        assert found.append(sample(query), 9) == "accepted"
    return found


def attempt(query: str, text: str, reason: str = "repetitive") -> Rejected:
    return Rejected(
        at=1.0, prompt_id=prompt_id(query), query=query, reason=reason, detail="d", attempt=2, text=text, teacher="t",
        call_id="call-1",
    )  # fmt: skip


def rejected_line(store: SampleStore, query: str, text: str = OUTPUT) -> bytes:
    store.reject(attempt(query, text))
    return store.rejected_path.read_bytes().splitlines(keepends=True)[-1]


def counted(store: SampleStore) -> set[str]:
    """The prompts that count, for the store; asserts that every reader says the same."""
    path = store.path
    anew = SampleStore(path)
    assert (store.accepted, store.foreign, store.unusable) == (anew.accepted, anew.foreign, anew.unusable)
    assert store.done == anew.done
    assert [store.state(i) for i in range(len(store))] == [anew.state(i) for i in range(len(anew))]
    assert set(store.withdrawn()) == set(anew.withdrawn())
    report = assess(path, store.rejected_path, [])
    assert report.distinct_prompts == store.accepted
    assert sum(report.unusable.values()) == store.unusable
    if store.accepted:
        assert converted(path)[0].rows == store.accepted
    return set(store.done)


def converted(path: Path) -> tuple[Conversion, list[TrainingRow]]:
    target = path.with_name("rows.jsonl")
    tally = convert_file(path, target, chatml(), Hooks(log=lambda line: None))
    return tally, [msgspec.json.decode(row, type=TrainingRow) for row in target.read_bytes().splitlines()]


# The fold

ACTIONS = st.sampled_from(["accept", "reject", "edit", "undo"])


def decision(action: str, row: str = "00" * 16, number: int = 0) -> Decision:
    text = msgspec.structs.replace(TEXT, answer=f"Answer {number}") if action == "edit" else None
    return msgspec.convert({"at": 1.0, "action": action, "row": row, "text": text}, Decision)


def fold(actions: list[str]) -> History:
    history: History = ()
    for number, action in enumerate(actions):
        history = decided(history, decision(action, number=number))
    return history


@given(st.lists(ACTIONS, max_size=12), ACTIONS.filter(lambda action: action != "undo"))
def test_an_undo_takes_exactly_the_decision_before_it_back(actions: list[str], last: str) -> None:
    assert fold([*actions, last, "undo"]) == fold(actions)
    stands = standing(fold([*actions, last]))
    assert stands is not None
    assert stands.action == last


@given(st.lists(ACTIONS, max_size=12))
def test_as_many_undos_as_decisions_leave_nothing(actions: list[str]) -> None:
    assert standing(fold([*actions, *["undo"] * len(actions)])) is None


@given(st.lists(ACTIONS, max_size=12))
def test_the_last_edit_that_was_not_taken_back_is_the_text(actions: list[str]) -> None:
    history = fold(actions)
    edits = [each.text for each in history if each.action == "edit"]
    stands = standing(history)
    assert (stands.text if stands else None) == (edits[-1] if edits else None)


ROWS = [bytes([number]) * 16 for number in range(4)]
PROMPTS = ["p-" + "0" * 15 + digit for digit in "123"]
VERDICTS = st.one_of(
    st.just(UNUSABLE),
    st.builds(Verdict, st.sampled_from(PROMPTS), foreign=st.booleans()),
    st.builds(Verdict, st.sampled_from(PROMPTS), by_hand=st.just(True)),
)
STANDINGS = st.one_of(
    st.none(),
    st.builds(Standing, st.sampled_from(["accept", "reject"]), st.none(), st.sampled_from(PROMPTS), st.just("")),
    st.builds(Standing, st.just("edit"), st.just(TEXT), st.sampled_from(PROMPTS), st.just("")),
)


@given(
    st.lists(st.tuples(st.sampled_from(ROWS), VERDICTS), max_size=8),
    st.lists(st.tuples(st.sampled_from(ROWS), STANDINGS), max_size=8),
    st.data(),
)
def test_counting_one_decision_at_a_time_is_counting_anew(
    rows: list[tuple[bytes, Verdict]], changes: list[tuple[bytes, Standing | None]], data: st.DataObject
) -> None:
    one_verdict = dict(rows)  # the same line has the same verdict
    standings: dict[bytes, Standing | None] = {}
    tally, remaining = Tally(), list(changes)
    for number, (row, _) in enumerate(rows):
        for _ in range(data.draw(st.integers(0, len(remaining)))):
            changed, after = remaining.pop()
            tally.decide(changed, standings.get(changed), after)
            standings[changed] = after
        tally.add(number, row, one_verdict[row], standings.get(row))
    for changed, after in remaining:
        tally.decide(changed, standings.get(changed), after)
        standings[changed] = after
    anew = Tally()
    for number, (row, _) in enumerate(rows):
        anew.add(number, row, one_verdict[row], standings.get(row))
    assert (tally.done, tally.foreign, tally.unusable) == (anew.done, anew.foreign, anew.unusable)
    assert set(tally.withdrawn()) == set(anew.withdrawn())
    states = [[each.state(i, standings.get(row)) for i, (row, _) in enumerate(rows)] for each in (tally, anew)]
    assert states[0] == states[1]
    counting = sum(state in ("accepted", "accepted by hand", "edited") for state in states[0])
    assert counting == len(tally.done), "each prompt that is done has exactly one row that is its sample"


# The file


def test_lines_that_are_no_decisions_do_no_harm(store: SampleStore) -> None:
    line = store.line(0)
    by_hand.decide(store, line, "reject")
    with decisions_path(store.path).open("ab") as file:
        file.write(b'\n{"at": 1}\nnot json\n\xff\n{"at":1,"action":"burn","row":"00"}\n')
        file.write(b'{"at":1,"action":"edit","row":"' + b"0" * 32 + b'"}\n{"at":1,"action":"accept","row":"zz"}\n')
    assert store.decisions.foreign == 0
    store.refresh()
    assert store.decisions.foreign == 6
    assert counted(store) == {prompt_id(VILLAGES), prompt_id(ISLANDS)}


def test_a_torn_last_line_waits_and_does_not_spoil_the_next(store: SampleStore) -> None:
    by_hand.decide(store, store.line(0), "reject")
    with decisions_path(store.path).open("ab") as file:
        file.write(b'{"at": 1.0, "action": "rej')
    by_hand.decide(store, store.line(1), "reject")
    assert counted(store) == {prompt_id(ISLANDS)}
    assert SampleStore(store.path).decisions.foreign == 1


def test_without_the_file_everything_is_as_before(store: SampleStore) -> None:
    by_hand.decide(store, store.line(0), "reject")
    by_hand.decide(store, store.line(1), "edit", text=TEXT)
    by_hand.take_up(store, rejected_line(store, "Should farms ban cars?"))
    decisions_path(store.path).unlink()
    store.refresh()
    assert counted(store) == {prompt_id(query) for query in (CITIES, VILLAGES, ISLANDS)}
    assert Sample(**msgspec.structs.asdict(Decisions.beside(store.path).read(store.line(1)))).output == OUTPUT


def test_a_decisions_file_that_cannot_be_read_is_no_reason_to_do_without(store: SampleStore) -> None:
    decisions_path(store.path).mkdir()
    with pytest.raises(UserError, match="decisions"):
        converted(store.path)
    with pytest.raises(UserError, match="cannot be used"):
        SampleStore(store.path)


def test_nothing_is_read_while_nothing_is_decided(store: SampleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand.decide(store, store.line(0), "reject")

    def refuse(line: bytes) -> None:
        raise AssertionError("a decision was read again")

    monkeypatch.setattr(store.decisions, "_take", refuse)
    assert store.append(sample("Should farms ban cars?"), 9) == "accepted"
    store.refresh()


# What counts


def test_rejected_by_hand_does_not_count_and_can_be_taken_back(store: SampleStore) -> None:
    line = store.line(1)
    other = SampleStore(store.path)
    by_hand.decide(store, line, "reject", reason="It takes no side.")
    assert counted(store) == {prompt_id(CITIES), prompt_id(ISLANDS)}
    assert store.state(1) == "rejected by hand"
    other.refresh()
    assert other.accepted == 2, "another process notices"
    assert converted(store.path)[0].skipped == {"rejected_by_hand": 1}
    report = assess(store.path, store.rejected_path, [])
    assert report.by_hand == {"rejected": 1}
    assert not any("unusable" in fault for fault in report.faults)
    assert "A person went over some of them: 1 rejected." in card(report, data_file="s.jsonl")
    by_hand.decide(store, line, "undo")
    assert counted(store) == {prompt_id(query) for query in (CITIES, VILLAGES, ISLANDS)}
    with pytest.raises(UserError, match="Nothing was decided"):
        by_hand.decide(store, line, "undo")


def test_the_prompt_may_be_asked_anew_and_the_limit_has_room_for_one(store: SampleStore) -> None:
    farms = sample("Should farms ban cars?")
    assert store.append(farms, 3) == "full"
    by_hand.decide(store, store.line(0), "reject")
    assert store.append(msgspec.structs.replace(sample(CITIES), system="another answer"), 3) == "accepted"
    assert store.append(farms, 3) == "full"
    assert (store.state(0), store.state(3)) == ("rejected by hand", "accepted")
    assert len(counted(store)) == 3
    by_hand.decide(store, store.line(0), "undo")  # two rows for one prompt: the first is its sample
    assert (store.state(0), store.state(3)) == ("accepted", "duplicate")
    assert len(counted(store)) == 3
    assert converted(store.path)[0].skipped == {"duplicate": 1}


def test_an_edit_supersedes_the_text_and_the_file_is_as_it_was(store: SampleStore) -> None:
    before, line = store.path.read_bytes(), store.line(1)
    by_hand.decide(store, line, "edit", text=TEXT)
    assert store.path.read_bytes() == before
    assert counted(store) == {prompt_id(query) for query in (CITIES, VILLAGES, ISLANDS)}
    _, rows = converted(store.path)
    assert [TEXT.thesis in row.text for row in rows] == [False, True, False]
    assert assess(store.path, store.rejected_path, []).by_hand == {"edited": 1}
    by_hand.decide(store, line, "reject")
    by_hand.decide(store, line, "accept")
    assert store.state(1) == "edited"
    assert TEXT.thesis in converted(store.path)[1][1].text
    for _ in range(3):
        by_hand.decide(store, line, "undo")
    assert not any(TEXT.thesis in row.text for row in converted(store.path)[1])


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "  "},
        {"thesis": ""},
        {"thesis": "One.\n**ANTITHESIS**: Two."},
        {"synthesis": "Ends here.</thought>"},
        {"answer": "<thought>\n**THESIS**: again"},
    ],
)
def test_a_text_that_would_not_be_read_as_it_was_written_is_refused(store: SampleStore, change: dict[str, str]) -> None:
    text = msgspec.structs.replace(TEXT, **change)
    with pytest.raises(UserError):
        by_hand.decide(store, store.line(0), "edit", text=text)
    assert not decisions_path(store.path).exists()


def test_the_contract_may_be_overruled(store: SampleStore) -> None:
    bad = msgspec.structs.replace(TEXT, thesis="Too short.")
    fault = by_hand.check_text(CITIES, bad)
    assert fault is not None
    assert fault.reason == "trivial_thesis"
    assert by_hand.check_text(CITIES, TEXT) is None
    by_hand.decide(store, store.line(0), "edit", text=bad)
    assert len(counted(store)) == 3
    assert "**THESIS**: Too short." in converted(store.path)[1][0].text


# Attempts that gave no sample

REFUSED = OUTPUT.replace("Cars give freedom to people who live far from a station.", "Yes.")


@pytest.mark.parametrize("text", [OUTPUT, REFUSED])
def test_a_rejected_answer_becomes_a_sample_while_its_acceptance_stands(store: SampleStore, text: str) -> None:
    farms = "Should farms ban cars?"
    line = rejected_line(store, farms, text)
    by_hand.take_up(store, line)
    assert prompt_id(farms) in counted(store)
    assert store.state(3) == "accepted by hand"
    made = Decisions.beside(store.path).read(store.line(3))
    facts = made.hegelion_trace.metadata
    assert (facts["call"], facts["rejected_for"], facts["by_hand"]) == ("call-1", "repetitive", "accepted")
    size = store.path.stat().st_size
    by_hand.take_back(store, line)
    assert prompt_id(farms) not in counted(store)
    assert list(store.withdrawn()) == [prompt_id(farms)]
    by_hand.take_up(store, line)
    assert prompt_id(farms) in counted(store)
    assert store.path.stat().st_size == size, "the row is there already"
    with pytest.raises(UserError, match="Nothing was decided"):
        by_hand.take_back(store, rejected_line(store, "Should ships ban cars?"))


def test_what_cannot_be_read_has_to_be_written_first(store: SampleStore) -> None:
    line = rejected_line(store, "Should farms ban cars?", "I can't help with that.")
    with pytest.raises(UserError, match="cannot be read as a sample"):
        by_hand.take_up(store, line)
    by_hand.take_up(store, line, text=TEXT)
    assert store.state(3) == "edited"
    assert len(counted(store)) == 4
    by_hand.take_back(store, line)
    assert len(counted(store)) == 3


def test_a_prompt_that_has_a_sample_gets_no_second(store: SampleStore) -> None:
    line = rejected_line(store, CITIES)
    with pytest.raises(UserError, match="has a sample already"):
        by_hand.take_up(store, line)
    by_hand.decide(store, store.line(0), "reject")
    by_hand.take_up(store, line)
    assert len(counted(store)) == 3
    assert store.knows_call("call-1")


def test_a_line_that_is_no_sample_can_be_edited_into_one(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(msgspec.json.encode({"instruction": CITIES, "output": "no trace"}) + b"\n")
    store = SampleStore(path)
    assert (store.accepted, store.unusable) == (0, 1)
    with pytest.raises(UserError, match="cannot be read as a sample"):
        by_hand.decide(store, store.line(0), "accept")
    by_hand.decide(store, store.line(0), "edit", text=TEXT)
    assert counted(store) == {prompt_id(CITIES)}
    assert store.state(0) == "edited"


# While something is generated


def ledger(store: SampleStore, *queries: str) -> Ledger:
    prompts = [Prompt(id=prompt_id(query), text=query) for query in queries]
    return Ledger(prompts, store, Claims(store.path), attempts={}, set_aside=(), max_attempts=3)


def test_another_prompt_fills_the_place_and_the_same_comes_last(store: SampleStore) -> None:
    farms = "Should farms ban cars?"
    found = ledger(store, CITIES, farms)
    assert found.take(3) is None
    by_hand.decide(SampleStore(store.path), store.line(0), "reject")
    first = found.take(3)
    assert first is not None
    assert first.text == farms, "what was never asked comes first"
    assert found.take(3) is None, "no more are in flight than are missing"
    assert store.append(sample(farms), 3) == "accepted"
    found.give_back(first)
    by_hand.decide(SampleStore(store.path), store.line(1), "reject")
    second = found.take(3)
    assert second is not None
    assert second.text == CITIES
    found.give_back(second)  # its call failed
    assert found.take(3) == second


def _decide(path: Path, action: str, times: int) -> None:
    store = SampleStore(path)
    for _ in range(times):
        by_hand.decide(store, store.line(0), "reject" if action == "reject" else "undo")


def test_two_processes_decide_and_append_at_once(store: SampleStore) -> None:
    context = multiprocessing.get_context("fork")
    deciders = [context.Process(target=_decide, args=(store.path, "reject", 20)) for _ in range(2)]
    for process in deciders:
        process.start()
    added = 0
    for number in range(30):
        added += store.append(sample(f"Should town {number} ban cars?"), 1_000) == "accepted"
    for process in deciders:
        process.join()
        assert process.exitcode == 0
    store.refresh()
    assert added == 30
    assert len(store.decisions.history(verdicts.digest(store.line(0)))) == 40
    assert len(counted(store)) == 32


def test_what_was_converted_before_a_decision_is_converted_anew(store: SampleStore, tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    settings = Settings.model_validate({"generation": {"output": str(store.path)}})
    completion = Completion(place, place.run("r"), settings)
    before = completion.key("convert")
    assert before
    assert completion.key("convert") == before
    by_hand.decide(store, store.line(0), "reject")
    assert completion.key("convert") != before
    assert completion.key("train") == "", "there are no rows yet"
