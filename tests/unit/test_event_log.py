"""The event log: appended, replayed, followed; torn and damaged lines do no harm."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hegelion_core import events as e
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
