"""The event log: appended, replayed, followed; torn and damaged lines do no harm."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core import events as e
from hegelion_core import snapshot
from hegelion_core.event_log import EventLog, EventReader, replay


def test_what_is_published_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, clock=lambda: 12.5)
    log.publish(e.NoticePosted(text="one"))
    log.publish(e.StageStarted(stage="check"))
    state = log.state
    log.close()
    assert state.updated_at == 12.5
    assert replay(path) == state
    assert EventLog(path).state == state


def test_a_torn_tail_is_cut_before_the_next_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(e.encode(e.NoticePosted(text="whole")) + b'{"event":"NoticePos')
    log = EventLog(path)
    log.publish(e.NoticePosted(text="next"))
    log.close()
    assert [event.text for event in EventReader(path).read() if isinstance(event, e.NoticePosted)] == ["whole", "next"]


@pytest.mark.parametrize("fails", ["write", "short", "fsync"])
def test_an_event_that_could_not_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.publish(e.NoticePosted(text="before"))
    before = log.state
    real = os.write

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync" if fails == "fsync" else "write", fail)
        if fails == "short":
            broken.setattr(os, "write", lambda fd, data: real(fd, data[:9]))
        with pytest.raises(OSError, match=r"broken|bytes fitted"):
            log.publish(e.StageFinished(stage="convert", key="k", outputs={}, summary=""))
    assert log.state == before
    log.publish(e.NoticePosted(text="after"))
    log.close()
    reader = EventReader(tmp_path / "events.jsonl")
    assert [event.text for event in reader.read() if isinstance(event, e.NoticePosted)] == ["before", "after"]
    assert reader.damaged == 0
    assert replay(tmp_path / "events.jsonl") == log.state


def test_a_damaged_line_is_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(e.encode(e.NoticePosted(text="a")) + b"\x00\xff garbage\n" + e.encode(e.NoticePosted(text="b")))
    reader = EventReader(path)
    assert len(reader.read()) == 2
    assert reader.damaged == 1
    assert len(EventLog(path).state.notices) == 2


@given(st.lists(st.text(max_size=50), max_size=8), st.data())
def test_a_reader_sees_each_event_once_however_the_bytes_arrive(texts: list[str], data: st.DataObject) -> None:
    whole = b"".join(e.encode(e.NoticePosted(text=text)) for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        reader = EventReader(path)
        seen: list[str] = []
        for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            with path.open("ab") as file:
                file.write(whole[begin:end])
            seen += [event.text for event in reader.read() if isinstance(event, e.NoticePosted)]
    assert seen == texts


async def test_subscribers_get_what_comes_after_they_subscribed(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.publish(e.NoticePosted(text="before"))
    events = log.subscribe()
    log.publish(e.NoticePosted(text="after"))
    log.close()
    assert [event.text async for event in events if isinstance(event, e.NoticePosted)] == ["after"]


def test_a_log_is_opened_from_its_snapshot_and_what_came_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hegelion_core.event_log.SNAPSHOT_EVERY", 3)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"no event\n")
    log = EventLog(path)
    for number in range(8):  # the snapshot is of the first six; a core that is killed writes no other
        log.publish(e.NoticePosted(text=f"{number}"))
    state, offset, damaged = snapshot.load(path)
    assert [notice.text for notice in state.notices] == [str(number) for number in range(6)]
    assert damaged == 1
    assert 0 < offset < path.stat().st_size
    assert replay(path) == log.state
    log.close()
    assert snapshot.load(path) == (log.state, path.stat().st_size, 1)
    assert EventLog(path).damaged == 1


@pytest.mark.parametrize("harm", ["garbage", "other code", "cut log", "other log"])
def test_a_snapshot_that_does_not_fit_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, clock=lambda: 1.0)
    log.publish(e.NoticePosted(text="one"))
    log.publish(e.NoticePosted(text="two"))
    log.close()
    lines = path.read_bytes().splitlines(keepends=True)
    match harm:
        case "garbage":
            (tmp_path / "events.snapshot").write_bytes(b"\x93garbage")
        case "other code":
            monkeypatch.setattr(snapshot, "fingerprint", lambda: "0" * 16)
        case "cut log":
            path.write_bytes(lines[0])
        case "other log":
            path.write_bytes(lines[0].replace(b"one", b"ONE") + lines[1].replace(b"two", b"TWO"))
    assert snapshot.load(path)[1] == 0
    texts = [notice.text for notice in replay(path).notices]
    assert texts == {"cut log": ["one"], "other log": ["ONE", "TWO"]}.get(harm, ["one", "two"])
