"""Events: what is written is read again; newer versions' events and foreign fields do no harm."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core import events as e

EVENTS = st.one_of(
    st.builds(e.NoticePosted, text=st.text(), at=st.floats(0, 1e10)),
    st.builds(
        e.StageFinished, stage=st.sampled_from(e.STAGES), key=st.text(), outputs=st.dictionaries(st.text(), st.text())
    ),
    st.builds(e.SampleRejected, instance=st.integers(1, 64), prompt_id=st.text(), reason=st.text(), detail=st.text()),
)


@given(EVENTS)
def test_an_event_is_one_line_and_comes_back_equal(event: e.AnyEvent) -> None:
    line = e.encode(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert e.decode(line) == event


def test_every_event_class_is_in_the_union() -> None:
    assert set(e.Event.__subclasses__()) == set(get_args(e.AnyEvent))


def test_an_event_of_a_newer_version_becomes_unknown() -> None:
    assert e.decode(b'{"event":"MoonRose","at":3.5,"phase":"full"}') == e.UnknownEvent(at=3.5)


@pytest.mark.parametrize(
    "line",
    [
        b'{"event":"MoonRose","at":%s}' % (b"9" * 400),
        b'{"event":"MoonRose","at":"now"}',
        b'{"event":"NoticePosted","text":"x","at":1e300}',
        b'{"event":"GenerationPaused","reason":"x","until":1e300}',
        b'{"event":"StageFailed","stage":"train","message":"x","exit_code":%s}' % (b"9" * 400),
        b'{"event":"DownloadProgressed","what":"x","done":%s}' % (b"9" * 400),
        b'{"event":"InstancesScaled","count":1000000000000}',
        b'{"event":"InstancesScaled","count":-1}',
        b'{"event":"CheckpointSaved","step":-9007199254740992,"path":"x"}',
    ],
)
def test_a_number_that_nothing_can_count_is_no_event(line: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        e.decode(line)


def test_a_new_field_is_ignored() -> None:
    assert e.decode(b'{"event":"StageStarted","stage":"train","mood":"good"}') == e.StageStarted(stage="train")


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"{}", b'{"event":"StageStarted"}', b'{"event":"StageStarted","stage":"x"}']
)
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        e.decode(line)
