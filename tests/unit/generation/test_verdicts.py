"""The cache of verdicts: the file alone decides what counts, the cache only how fast that is found out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.dialectic.contract import make_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.sample import Sample
from hegelion_core.generation import store as store_module
from hegelion_core.generation import verdicts
from hegelion_core.generation.store import SampleStore
from hegelion_core.generation.verdicts import UNUSABLE, Verdict
from hegelion_core.teachers.teacher import Answer
from tests.unit.generation.test_store import sample as stored

OUTPUT = (
    "<thought>\n**THESIS**: Cars give freedom to people who live far from a station.\n"
    "**ANTITHESIS**: That freedom is paid for by those who breathe the exhaust in the street.\n"
    "**SYNTHESIS**: Freedom of movement is worth having where its costs fall on the mover.\n</thought>\n"
    "Keep cars where nothing else goes, and price them where something does."
)


def row(number: int) -> bytes:
    query = f"Should city number {number} ban cars?"
    sample = make_sample(query, Answer(text=OUTPUT), prompt_id=prompt_id(query), system="", metadata={"prompt_id": "p"})
    return msgspec.json.encode(sample) + b"\n"


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every line that the contract has to look at."""
    looked_at: list[bytes] = []
    judge = store_module._judge

    def noting(line: bytes) -> Verdict:
        looked_at.append(line)
        return judge(line)

    monkeypatch.setattr(store_module, "_judge", noting)
    return looked_at


def test_a_file_that_was_seen_before_is_not_judged_again(tmp_path: Path, judged: list[bytes]) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(map(row, range(5))) + b"no sample\n")
    first = SampleStore(path)
    assert len(judged) == 6
    again = SampleStore(path)
    assert len(judged) == 6
    assert (again.done, again.unusable, again.foreign) == (first.done, 1, 0)


def test_what_was_appended_here_is_never_judged(tmp_path: Path, judged: list[bytes]) -> None:
    store = SampleStore(tmp_path / "s.jsonl")
    for number in range(3):
        assert store.append(msgspec.json.decode(row(number), type=Sample), 9) == "accepted"
    assert SampleStore(store.path).done == store.done
    assert len(store.done) == 3
    assert judged == []


def test_a_line_that_was_changed_moved_or_added_by_hand_is_found_out(tmp_path: Path, judged: list[bytes]) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(row(0) + row(1) + row(2))
    SampleStore(path)
    judged.clear()
    changed = row(1).replace(b"<thought>", b"<nothing>")
    path.write_bytes(row(2) + changed + row(0) + row(3))
    store = SampleStore(path)
    assert judged == [changed, row(3)]
    assert (store.accepted, store.unusable) == (3, 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-10],
        lambda data: data.replace(b"verdicts 3", b"verdicts 0"),
        lambda data: b"\xff\xfe" + data[2:],
        lambda data: data + b"zz" * 24 + b"z\n",
    ],
)
def test_a_damaged_or_old_cache_does_no_harm(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(row(0) + b"nonsense\n" + row(1))
    SampleStore(path)
    cache = verdicts.cache_path(path)
    assert callable(damage)
    cache.write_bytes(damage(cache.read_bytes()))
    store = SampleStore(path)
    assert (store.accepted, store.unusable) == (2, 1)


def test_a_cache_of_another_contract_is_not_used(
    tmp_path: Path, judged: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(row(0))
    SampleStore(path)
    judged.clear()
    monkeypatch.setattr(verdicts, "fingerprint", lambda: "0123456789abcdef")
    SampleStore(path)
    assert judged == [row(0)]


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    verdicts.cache_path(path).mkdir()
    path.write_bytes(row(0))
    store = SampleStore(path)
    assert store.append(msgspec.json.decode(row(1), type=Sample), 9) == "accepted"
    assert SampleStore(path).accepted == 2


VERDICTS = st.one_of(
    st.just(UNUSABLE),
    st.builds(
        Verdict,
        st.integers(0, 2**64 - 1).map(lambda number: f"p-{number:016x}"),
        st.booleans(),
        canonical=st.booleans(),
    ),
    st.builds(Verdict, st.integers(0, 2**64 - 1).map(lambda number: f"p-{number:016x}"), by_hand=st.just(True)),
)


@given(st.dictionaries(st.binary(min_size=16, max_size=16), VERDICTS, max_size=8), VERDICTS)
def test_what_was_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, found: dict[bytes, Verdict], more: Verdict
) -> None:
    path = tmp_path_factory.mktemp("cache") / "c"
    verdicts.save(path, found.items())
    verdicts.add(path, b"\xff" * 16, more)
    assert verdicts.load(path) == {**found, b"\xff" * 16: more}


def test_a_file_whose_last_row_has_no_end_is_mended_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(row(0) + row(1).rstrip(b"\n"))
    store = SampleStore(path)
    assert store.accepted == 1
    store.mend()
    assert store.accepted == 2
    assert path.read_bytes() == row(0) + row(1)


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + row(0).rstrip(b"\n") + b"\r\n" + row(1))
    assert SampleStore(path).accepted == 2


def test_a_row_nested_without_end_is_no_sample(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"output": "x", "hegelion_trace": {"a": ' + b"[" * 200_000 + b"\n" + row(0))
    store = SampleStore(path)
    assert (store.accepted, store.unusable) == (1, 1)


@given(
    known=st.lists(st.integers(0, 99), unique=True, max_size=30),
    asked=st.lists(st.integers(0, 99), max_size=60),
)
def test_verdicts_are_followed_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, known: list[int], asked: list[int]
) -> None:
    path = tmp_path_factory.mktemp("cache") / "c"
    names = {number: number.to_bytes(16, "big") for number in range(100)}
    found = {number: Verdict(f"p-{number:016x}", canonical=number % 2 == 0) for number in known}
    verdicts.save(path, [(names[number], verdict) for number, verdict in found.items()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdicts, "_BLOCK", 3)
        following = verdicts.Following(path)
        for number in asked:  # in any order: what is found is right
            assert following.get(names[number]) in (None, found.get(number))
        following = verdicts.Following(path)
        for number in known:  # in the file's order, each more than once: all are found
            assert following.get(names[number]) == following.get(names[number]) == found[number]
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] if known else whole)
    assert verdicts.is_there(path)
    torn = verdicts.Following(path)
    assert [torn.get(names[number]) for number in known[:-1]] == [found[number] for number in known[:-1]]
    path.write_bytes(whole.replace(b"verdicts 3", b"verdicts 2"))
    assert not verdicts.is_there(path)
    assert all(verdicts.Following(path).get(name) is None for name in names.values())


@pytest.mark.parametrize("damage", [b"012345>789abcde", b"0x2345_789abcde", b"\xff" * 15])
def test_a_damaged_verdict_is_judged_anew(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    SampleStore(path).append(stored("Should cities ban cars?"), 9)
    name, cache = verdicts.digest(path.read_bytes()), verdicts.cache_path(path)
    verdicts.save(cache, [(name, Verdict("p-" + "0" * 16, canonical=True))])
    cache.write_bytes(cache.read_bytes().replace(b"0" * 15, damage))
    assert verdicts.load(cache) == {}
    assert verdicts.Following(cache).get(name) is None
    assert SampleStore(path).accepted == 1
