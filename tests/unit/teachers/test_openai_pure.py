"""The endpoint's stream and address without a network."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hegelion_core.settings import TeacherSettings
from hegelion_core.teachers import openai_endpoint
from hegelion_core.teachers.openai_stream import MAX_EVENT, Events, Line, Reply, encode, read_events, read_reply
from hegelion_core.teachers.teacher import TeacherFault


def event(**delta: object) -> bytes:
    return json.dumps({"choices": [{"delta": delta}]}, ensure_ascii=False).encode()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6), st.data())
def test_a_stream_reads_the_same_however_it_is_cut(texts: list[str], data: st.DataObject) -> None:
    lines = [b"data: " + event(content=text) + b"\n\n" for text in texts]
    body = b": a comment\r\n\r\n" + b"event: message\n".join(lines) + b"data: [DONE]\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    events = Events(whole=False)
    found = [part for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) for part in events.feed(body[a:b])]
    found += events.finish()
    assert events.done
    assert read_events(found).text == "".join(texts)


def test_the_time_for_a_long_event_is_linear_in_its_pieces() -> None:
    # Were all that is there looked at again with each piece, this would not end within the time limit.
    events = Events(whole=False)
    piece = b"x" * 16
    assert not any(events.feed(piece) for _ in range(MAX_EVENT // len(piece)))
    with pytest.raises(TeacherFault, match="more than 4 MiB"):
        events.feed(piece)


@given(st.binary(max_size=200) | st.text().map(lambda text: b"data: " + text.encode("utf-8", "replace") + b"\n"))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for whole in (False, True):
        events = Events(whole=whole)
        with contextlib.suppress(TeacherFault):
            read_events([*events.feed(data), *events.finish()])


LINES = st.builds(
    Line,
    text=st.text(st.characters(exclude_categories=["Cs"])),
    thinking=st.text("ab"),
    finish=st.sampled_from(["", "stop", "length"]),
    completion_tokens=st.none() | st.integers(0, 10**6),
)


@given(st.lists(LINES, max_size=6), st.integers(0, 40))
def test_what_is_kept_is_what_came(lines: list[Line], torn: int) -> None:
    live = Reply()
    for line in lines:
        live.add(line)
    tail = encode(Line(text="torn " * 8))[:torn]
    kept = read_reply(b"".join(map(encode, lines)) + tail)
    assert kept is not None
    assert (kept.text, kept.thought, kept.last) == (live.text, live.thought, live.last)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<think>hm</think><thought>a</thought> b", "<thought>a</thought> b"),
        ("hm, a <thought>?</think>\n<Thought>a</Thought> b", "<Thought>a</Thought> b"),
        ("<think>**THESIS**: a</think> b", "<think>**THESIS**: a</think> b"),  # read as the trace itself
        ("<thought>a</thought> b </think>", "<thought>a</thought> b </think>"),
    ],
)
def test_thinking_aloud_stands_before_the_block(text: str, kept: str) -> None:
    reply = Reply()
    reply.add(Line(text=text, finish="stop"))
    assert reply.text == kept


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("192.168.1.7", True),
        ("10.0.0.1", True),
        ("100.100.1.1", True),
        ("vllm", True),
        ("gpu.local", True),
        ("host.docker.internal", True),
        ("8.8.8.8", False),
        ("api.example.org", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_which_hosts_are_of_this_house(name: str, local: bool) -> None:
    assert openai_endpoint.is_local(name) == local


def test_a_urls_secrets_are_not_shown() -> None:
    url = "https://me:pass@host:81/v1/?api-key=x#y"
    assert openai_endpoint.shown(url) == "https://host:81/v1"
    assert openai_endpoint.host(url) == "host:81"


def test_only_a_key_that_is_common_is_kept_from_the_open() -> None:
    url = "http://api.example.org/v1"
    with pytest.raises(TeacherFault, match="in the open"):
        openai_endpoint.find_endpoint(TeacherSettings(url=url), {"OPENAI_API_KEY": "key"})
    settings = TeacherSettings(url=url, key_variable="MINE")
    assert openai_endpoint.find_endpoint(settings, {"MINE": "key"}).key == "key"
    assert openai_endpoint.find_endpoint(TeacherSettings(url="http://gpu.lan:8000/v1"), {"OPENAI_API_KEY": "key"}).key


@given(st.text())
def test_any_url_is_taken_or_refused(url: str) -> None:
    try:
        settings = TeacherSettings(url=url)
        found = openai_endpoint.find_endpoint(settings, {"OPENAI_API_KEY": "key"})
    except (TeacherFault, ValidationError):
        return
    openai_endpoint.shown(found.url)


def test_the_cause_may_lie_deep() -> None:
    outer = RuntimeError("Connection error.")
    outer.__cause__ = OSError("All connection attempts failed")
    outer.__cause__.__cause__ = ExceptionGroup("several", [OSError("odd"), ConnectionRefusedError(111, "refused")])
    assert openai_endpoint.unreachable(outer, "http://127.0.0.1:1/v1").message.startswith("Nothing listens at")
    loop = RuntimeError("a")
    loop.__cause__ = loop
    assert openai_endpoint.unreachable(loop, "http://host/v1").kind == "transient"
