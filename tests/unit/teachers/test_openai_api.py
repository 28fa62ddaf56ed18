"""``OpenAITeacher`` over real HTTP, against a loopback model server."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from hegelion_core.dialectic import parsing, prompts
from hegelion_core.settings import GenerationSettings, Settings, TeacherSettings
from hegelion_core.teachers.openai_api import OpenAITeacher
from hegelion_core.teachers.teacher import OUT, Answer, Call, FaultKind, TeacherFault
from hegelion_core.workspace import RunFolder, Workspace
from tests.fakes import model_server
from tests.fakes.model_server import Action, Cut, Failure, Hang, ModelServer, Raw, Reply, Request, ToolCall

QUERY = "Should cities ban cars from their centres?"
KEY = "zq-secret-0123456789"


class House:
    """A model server, and teachers that ask it."""

    def __init__(self, root: Path, server: ModelServer) -> None:
        self.root = root
        self.server = server
        self.run = RunFolder(root / "run")
        self.lines: list[str] = []
        self.teachers: list[OpenAITeacher] = []

    def teacher(
        self, limits: GenerationSettings | None = None, environment: dict[str, str] | None = None, **settings: object
    ) -> OpenAITeacher:
        whole = Settings(
            teacher=TeacherSettings.model_validate({"url": self.server.url, "model": "test-model", **settings}),
            generation=limits or GenerationSettings(),
        )
        made = OpenAITeacher(
            run=self.run,
            workspace=Workspace(self.root),
            settings=whole,
            environment={"OPENAI_API_KEY": KEY} if environment is None else environment,
        )
        self.teachers.append(made)
        return made

    def folder(self, call_id: str = "c1") -> Path:
        return self.run.calls / call_id

    async def ask(self, teacher: OpenAITeacher, query: str = QUERY, call_id: str = "c1") -> Answer:
        self.folder(call_id).mkdir(parents=True)
        call = Call(call_id=call_id, prompt_id="p-1", query=query, instance=1)
        return await teacher.ask(call, self.folder(call_id), self.lines.append)

    async def answer(self, *script: Action, **settings: object) -> Answer:
        """The answer of a fresh teacher to scripted replies."""
        self.server.script.extend(script)
        teacher = self.teacher(**settings)  # type: ignore[arg-type]
        await teacher.start()
        return await self.ask(teacher)

    async def fault(self, *script: Action, **settings: object) -> TeacherFault:
        with pytest.raises(TeacherFault) as caught:
            await self.answer(*script, **settings)
        fault = caught.value
        assert "\n" not in fault.message
        assert KEY not in f"{fault.message}{fault.hint}{self.lines}"
        return fault


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    with ModelServer() as server:
        made = House(tmp_path, server)
        yield made
        for teacher in made.teachers:
            await teacher.close()


def limits(**seconds: float) -> GenerationSettings:
    return GenerationSettings.model_validate(seconds)


# Good answers


async def test_a_good_answer(house: House) -> None:
    teacher = house.teacher(temperature=0.6, top_p=0.9, max_new_tokens=900)
    info = await teacher.start()
    assert (info.name, info.model) == ("openai", "test-model")
    assert info.detail.startswith("127.0.0.1:")
    answer = await house.ask(teacher)
    assert parsing.parse_output(answer.text).synthesis
    assert (answer.prompt_tokens, answer.truncated, answer.mode) == (100, False, "single")
    assert answer.completion_tokens
    assert answer.seconds > 0
    assert answer.metadata == {"recipe": prompts.RECIPE, "endpoint": info.detail, "model": "test-model"}
    request = house.server.requests[-1]
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert "tools" not in request.body
    assert request.system_text == prompts.TEACHER_SYSTEM
    assert request.user_text == prompts.user_text(QUERY)
    assert {name: request.body.get(name) for name in ("temperature", "top_p", "max_tokens")} == {
        "temperature": 0.6,
        "top_p": 0.9,
        "max_tokens": 900,
    }
    assert "thinking" not in request.body
    assert any(line.startswith("**THESIS**") for line in house.lines)
    assert teacher.read_answer(house.folder()) == answer
    await teacher.prove(house.lines.append)


@pytest.mark.parametrize(("thinking", "type_"), [("on", "enabled"), ("off", "disabled")])
async def test_thinking_is_asked_for(house: House, thinking: str, type_: str) -> None:
    await house.answer(thinking=thinking)
    assert house.server.requests[-1].body["thinking"] == {"type": type_}


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thinking_is_no_answer(house: House, name: str) -> None:
    reply = Reply("<thought>x</thought> y", reasoning="SECRET PLAN " * 40, reasoning_field=name)
    answer = await house.answer(reply)
    assert answer.text == "<thought>x</thought> y"
    assert [line for line in house.lines if line.startswith("thinking ...")]
    assert "SECRET" not in " ".join(house.lines)


async def test_thinking_aloud_is_cut_away(house: House) -> None:
    answer = await house.answer(Reply("<think>The form is <thought>.</think>\n<thought>x</thought> y"))
    assert answer.text == "<thought>x</thought> y"


async def test_text_in_parts(house: House) -> None:
    delta = {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "hello"}]}
    event = json.dumps({"choices": [{"delta": delta, "finish_reason": "stop"}]})
    assert (await house.answer(Raw((f"data: {event}\r\n\r\n".encode(),)))).text == "hello"


async def test_an_answer_that_is_torn_in_the_middle_of_a_character(house: House) -> None:
    event = json.dumps(
        {"choices": [{"delta": {"content": "Äther \u2028 😀"}, "finish_reason": "stop"}]}, ensure_ascii=False
    )
    data = f"data: {event}\n\n".encode()
    assert (await house.answer(Raw(tuple(data[i : i + 1] for i in range(len(data)))))).text == "Äther \u2028 😀"


async def test_a_server_that_cannot_stream(house: House) -> None:
    whole = {"model": "m2", "choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}]}
    answer = await house.answer(Raw((json.dumps(whole, indent=2).encode(),), "application/json"))
    assert (answer.text, answer.metadata["model"]) == ("all at once", "m2")


@pytest.mark.parametrize("done", ["closed", "open"])
async def test_an_answer_is_whole_when_the_model_says_so(
    house: House, done: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hegelion_core.teachers.openai_api._USAGE_GRACE", 0.1)
    answer = await house.answer(Reply("whole", usage=False, done=done))  # type: ignore[arg-type]
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("whole", None, None)


async def test_a_row_cannot_break_the_request(house: House) -> None:
    teacher = house.teacher()
    await teacher.start()
    await house.ask(teacher, "\x00/goal \ud800 ${HOME}")
    assert "/goal  ${HOME}" in house.server.requests[-1].user_text


async def test_the_limit_cuts_an_answer_openly(house: House) -> None:
    answer = await house.answer(Reply("<thought>x", finish="length"))
    assert answer.truncated


# Parameters that not every endpoint takes


def refusing(name: str, message: str, status: int) -> Callable[[Request], Action]:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": name}}
    return lambda request: Failure(status, body) if name in request.body else Reply("good")


@pytest.mark.parametrize("status", [400, 422])
async def test_stream_options_are_left_out_once_refused(house: House, status: int) -> None:
    house.server.respond = refusing("stream_options", "Unknown field: stream_options", status)
    teacher = house.teacher()
    await teacher.start()
    assert (await house.ask(teacher)).text == "good"
    assert (await house.ask(teacher, call_id="c2")).text == "good"
    assert ["stream_options" in request.body for request in house.server.requests] == [True, False, False]


async def test_the_newer_name_of_the_token_limit(house: House) -> None:
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    house.server.respond = refusing("max_tokens", message, 400)
    assert (await house.answer(max_new_tokens=500)).text == "good"
    assert house.server.requests[-1].body["max_completion_tokens"] == 500


async def test_a_parameter_that_is_refused_again_is_a_fault(house: House) -> None:
    house.server.respond = lambda _: Failure(400, {"error": {"message": "stream_options? Use max_completion_tokens!"}})
    fault = await house.fault(max_new_tokens=500)
    assert fault.kind == "protocol"
    assert len(house.server.requests) < 4


async def test_a_refused_temperature_names_the_setting(house: House) -> None:
    message = "Unsupported value: 'temperature' does not support 0.6 with this model."
    fault = await house.fault(
        Failure(400, {"error": {"message": message, "code": "unsupported_value"}}), temperature=0.6
    )
    assert (fault.kind, message in fault.message) == ("protocol", True)
    assert "teacher.temperature" in fault.hint


# What ends a call without an answer


async def test_a_tool_call_is_the_tripwire(house: House) -> None:
    fault = await house.fault(ToolCall("bash", {"command": "rm -rf /"}))
    assert fault.kind == "tool_use"
    assert house.teachers[0].read_answer(house.folder()) is None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply("part", finish="content_filter"), "filtered"),
        (Reply("part", finish="insufficient_system_resource"), "transient"),
        (Reply("", reasoning="hm", finish="length"), "protocol"),
        (Reply("", finish="stop"), "protocol"),
        (Cut(), "transient"),
        (Raw((b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', b"data: [DONE]\n\n")), "transient"),
        (Raw((b"",)), "transient"),
        (Raw((b"data: {not JSON\n\n",)), "protocol"),
        (Raw((b'data: {"choices": [{"delta": {"refusal": "I cannot."}, "finish_reason": "stop"}]}\n\n',)), "filtered"),
        (Raw((b'data: {"error": {"message": "Rate limit reached", "code": 429}}\n\n',)), "rate"),
        (Raw((b'data: {"error": {"message": "upstream broke", "code": 502}}\n\n',)), "transient"),
        (Raw((b'data: {"error": "usage limit reached"}\n\n',)), "quota"),
        (Raw((b"<html><title>Sign in to the hotel</title>",), "text/html"), "protocol"),
        (Raw((b"x" * (1 << 20),) * 6), "protocol"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_what_ends_without_an_answer(house: House, reply: Action, kind: FaultKind) -> None:
    fault = await house.fault(reply)
    assert fault.kind == kind
    assert fault.message
    assert house.teachers[0].read_answer(house.folder()) is None


async def test_a_model_that_only_thinks_is_explained(house: House) -> None:
    fault = await house.fault(Reply("", reasoning="hm", finish="length"), max_new_tokens=50)
    assert "teacher.max_new_tokens" in fault.hint


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(401, model_server.NOT_LOGGED_IN), "not_logged_in"),
        (Failure(403, model_server.QUOTA), "quota"),
        (Failure(403, model_server.TERMINATED), "terminated"),
        (Failure(429, model_server.RATE_LIMITED), "rate"),
        (Failure(429, model_server.NO_BALANCE), "balance"),
        (Failure(529, model_server.OVERLOADED), "transient"),
        (Failure(502, "<html><head><title>502 Bad Gateway</title></head></html>"), "transient"),
        (Failure(400, {"error": {"code": "context_length_exceeded", "message": "maximum context length"}}), "filtered"),
    ],
)
async def test_errors_by_class(house: House, failure: Failure, kind: FaultKind) -> None:
    fault = await house.fault(failure)
    assert fault.kind == kind
    assert f" answered {failure.status}: " in fault.message
    assert fault.hint


async def test_the_wait_is_the_servers(house: House) -> None:
    headers = {"Retry-After": formatdate(time.time() + 90, usegmt=True)}
    assert (await house.fault(Failure(503, {}, headers))).retry_after == pytest.approx(90, abs=2)


async def test_a_models_absence_names_those_that_are_there(house: House) -> None:
    house.server.models = {"data": [{"id": "kimi-k3"}, {"id": "kimi-k3-thinking"}]}
    missing = Failure(404, {"error": {"message": "The model `test-model` does not exist", "code": "model_not_found"}})
    fault = await house.fault(missing)
    assert fault.kind == "protocol"
    assert "kimi-k3, kimi-k3-thinking" in fault.hint
    assert "--teacher-model" in fault.hint


async def test_credentials_that_an_error_echoes_are_hidden(house: House) -> None:
    message = f"Incorrect API key provided: {KEY.upper()}, or sk-proj-abcdefgh12345678. \x1b[2J Look\nhere"
    fault = await house.fault(Failure(401, {"error": {"message": message}}))
    assert fault.message.endswith("Incorrect API key provided: [redacted], or [redacted]. [2J Look here")


async def test_credentials_in_an_error_inside_the_stream_are_not_kept(house: House) -> None:
    event = json.dumps({"error": {"message": f"no such key: {KEY}"}})
    await house.fault(Raw((f"data: {event}\n\n".encode(),)))
    kept = (house.folder() / OUT).read_text()
    assert "no such key" in kept
    assert KEY not in kept


async def test_credentials_that_a_model_echoes_are_hidden_in_the_log(house: House) -> None:
    answer = await house.answer(Reply(f"the key is {KEY}\nand no more"))
    assert KEY in answer.text
    assert house.lines == ["the key is [redacted]", "and no more"]


# Watchdogs and cancelling


@pytest.mark.parametrize(
    ("action", "limit", "name"),
    [
        (Hang(), limits(first_line_timeout=0.2), "first_line_timeout"),
        (Reply("text " * 200, pause=0.7), limits(silence_timeout=0.3), "silence_timeout"),
        (Reply("text " * 200, pause=0.05), limits(total_timeout=0.3), "total_timeout"),
    ],
)
async def test_the_watchdogs(house: House, action: Action, limit: GenerationSettings, name: str) -> None:
    fault = await house.fault(action, limits=limit)
    assert (fault.kind, name in fault.message) == ("timeout", True)


async def test_signs_of_life_are_not_only_text(house: House) -> None:
    comments = Raw(
        (*[b": keep-alive\n\n"] * 8, b'data: {"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}\n\n'),
        pause=0.1,
    )
    tight = limits(first_line_timeout=0.5, silence_timeout=0.5)
    assert (await house.answer(comments, limits=tight)).text == "ok"


async def test_cancelling_ends_the_request_at_once(house: House) -> None:
    hang = Hang()
    house.server.script.append(hang)
    teacher = house.teacher()
    await teacher.start()
    asking = asyncio.create_task(house.ask(teacher))
    while not house.server.requests:
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.to_thread(hang.gone.wait, 3)


async def test_a_timeout_ends_the_request(house: House) -> None:
    hang = Hang()
    assert (await house.fault(hang, limits=limits(first_line_timeout=0.2))).kind == "timeout"
    assert await asyncio.to_thread(hang.gone.wait, 3)


# What is left on the disk


KILLED = """
import asyncio, sys
from pathlib import Path
from hegelion_core.settings import Settings, TeacherSettings
from hegelion_core.teachers.openai_api import OpenAITeacher
from hegelion_core.teachers.teacher import Call
from hegelion_core.workspace import RunFolder, Workspace

async def main(url, root):
    settings = Settings(teacher=TeacherSettings(url=url, model="m"))
    teacher = OpenAITeacher(run=RunFolder(root), workspace=Workspace(root), settings=settings)
    await teacher.start()
    call = Call(call_id="c", prompt_id="p", query="Why?", instance=1)
    await teacher.ask(call, root, lambda text: None)

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


def killed_after(house: House, reply: Action, sign: bytes, folder: Path) -> Answer | None:
    """What is found of a call whose process is killed once ``sign`` is on the disk."""
    folder.mkdir()
    house.server.script.append(reply)
    command = [sys.executable, "-c", KILLED, house.server.url, str(folder)]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    try:
        deadline = time.monotonic() + 30
        out = folder / OUT
        while not (out.exists() and sign in out.read_bytes()):
            assert child.poll() is None, "it ended before"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()
    return house.teacher().read_answer(folder)


async def test_an_answer_that_was_written_whole_outlives_a_killed_core(house: House, tmp_path: Path) -> None:
    reply = Reply("<thought>x</thought> y", done="open")
    answer = await asyncio.to_thread(killed_after, house, reply, b"finish", tmp_path / "whole")
    assert answer is not None
    assert (answer.text, answer.truncated) == ("<thought>x</thought> y", False)
    cut = Reply("word " * 200, pause=0.2)
    assert await asyncio.to_thread(killed_after, house, cut, b"word", tmp_path / "cut") is None


async def test_a_torn_or_foreign_file_is_no_answer(house: House) -> None:
    teacher = house.teacher()
    folder = house.folder()
    folder.mkdir(parents=True)
    assert teacher.read_answer(folder) is None
    out = folder / OUT
    whole = b'{"text":"a"}\n{"finish":"stop"}\n'
    for size in range(len(whole)):
        out.write_bytes(whole[:size])
        assert teacher.read_answer(folder) is None
    out.write_bytes(whole + b'{"endpoi')
    found = teacher.read_answer(folder)
    assert found is not None
    assert found.text == "a"
    out.write_bytes(b"{torn\n" + whole)
    assert teacher.read_answer(folder) is None
    out.write_bytes(whole + b'{"error":"{}"}\n')
    assert teacher.read_answer(folder) is None


# Start


async def test_the_only_model_is_taken(house: House) -> None:
    info = await house.teacher(model=None).start()
    assert info.model == "test-model"


async def test_a_list_without_an_envelope_is_read_too(house: House) -> None:
    house.server.models = Failure(200, [{"id": "one"}, {"id": "two"}])  # type: ignore[arg-type]
    with pytest.raises(TeacherFault, match="No model is named") as caught:
        await house.teacher(model=None).start()
    assert "--teacher-model NAME" in caught.value.hint
    assert "one, two" in caught.value.hint


async def test_an_endpoint_need_not_list_its_models(house: House) -> None:
    house.server.models = None
    assert (await house.answer()).text
    assert len(house.server.requests) == 1  # the empty probe is refused before it counts
    with pytest.raises(TeacherFault, match="No model is named"):
        await house.teacher(model=None).start()


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_a_list_that_is_refused_is_no_fault_yet(house: House, status: int) -> None:
    house.server.models = Failure(status, {"error": {"message": "Missing scopes: api.model.read"}})
    assert (await house.answer()).text


async def test_a_wrong_key_shows_at_the_start(house: House) -> None:
    house.server.models = Failure(401, model_server.NOT_LOGGED_IN)
    with pytest.raises(TeacherFault) as caught:
        await house.teacher(key_variable="MY_KEY", environment={"MY_KEY": "wrong-key"}).start()
    assert caught.value.kind == "not_logged_in"
    assert "MY_KEY" in caught.value.hint


async def test_what_is_no_endpoint_shows_at_the_start(house: House) -> None:
    house.server.models, house.server.chat = None, False
    with pytest.raises(TeacherFault, match="answered 404") as caught:
        await house.teacher().start()
    assert "/v1" in caught.value.hint
    house.server.models = Failure(200, "<!doctype html><title>Welcome to nginx!</title>")
    with pytest.raises(TeacherFault):
        await house.teacher().start()


async def test_a_local_server_wants_no_key(house: House) -> None:
    await house.answer(environment={})
    assert house.server.requests[-1].headers["authorization"] == "Bearer none"


async def test_a_proxy_is_not_asked_for_this_machine(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert (await house.answer()).text


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        (None, "not_logged_in", "MINE holds no key"),
        ("https://api.example.org/v1", "not_logged_in", "MINE holds no key for https://api.example.org/v1"),
        ("http://a\x01b/v1", "protocol", "no http or https address"),
    ],
)
async def test_settings_that_cannot_work(house: House, url: str | None, kind: FaultKind, words: str) -> None:
    with pytest.raises(TeacherFault) as caught:
        await house.teacher(environment={}, url=url, key_variable="MINE").start()
    assert caught.value.kind == kind
    assert words in caught.value.message
    assert caught.value.hint


async def test_a_key_does_not_travel_in_the_open(house: House) -> None:
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://api.example.org/v1?key=abc"}
    with pytest.raises(TeacherFault, match="in the open") as caught:
        await house.teacher(url=None, environment=environment).start()
    assert "abc" not in caught.value.message


async def test_a_key_with_a_line_end_is_trimmed_and_nonsense_refused(house: House) -> None:
    await house.answer(environment={"OPENAI_API_KEY": f"{KEY}\n"})
    assert house.server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    with pytest.raises(TeacherFault) as caught:
        await house.teacher(environment={"OPENAI_API_KEY": "schlüssel"}).start()
    assert caught.value.kind == "not_logged_in"


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def chatterbox() -> Iterator[int]:
    """A port where something listens that speaks no HTTP."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.sendall(b"220 mail ready\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


async def test_nothing_listens(house: House, closed_port: int) -> None:
    url = f"http://user:hunter22@127.0.0.1:{closed_port}/v1?token=abc"
    with pytest.raises(TeacherFault) as caught:
        await house.teacher(url=None, environment={"OPENAI_BASE_URL": url}).start()
    assert caught.value.message == f"Nothing listens at http://127.0.0.1:{closed_port}/v1."
    assert "Start the server" in caught.value.hint


async def test_a_host_that_is_not_known(house: House) -> None:
    with pytest.raises(TeacherFault, match="no such host") as caught:
        await house.teacher(url="https://no-such-host.invalid/v1").start()
    assert caught.value.kind == "transient"


async def test_tls_where_there_is_none(house: House) -> None:
    with pytest.raises(TeacherFault, match="TLS") as caught:
        await house.teacher(url=house.server.url.replace("http:", "https:")).start()
    assert "http address" in caught.value.hint


async def test_something_that_speaks_no_http(house: House, chatterbox: int) -> None:
    with pytest.raises(TeacherFault, match=f"127.0.0.1:{chatterbox}"):
        await house.teacher(url=f"http://127.0.0.1:{chatterbox}/v1").start()


async def test_a_server_that_says_nothing_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hegelion_core.teachers.openai_api.PROBE_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(TeacherFault, match="did not answer in time"):
            await house.teacher(url=url).start()


async def test_asking_before_the_start_is_a_mistake(house: House) -> None:
    with pytest.raises(RuntimeError):
        await house.ask(house.teacher())


# Many at once


async def test_sixty_four_calls_at_once(house: House) -> None:
    house.server.latency = 0.5
    teacher = house.teacher()
    await teacher.start()
    begun = time.monotonic()
    answers = await asyncio.gather(*(house.ask(teacher, f"{QUERY} {n}", f"c{n}") for n in range(64)))
    assert len({answer.text for answer in answers}) == 64
    assert time.monotonic() - begun < 10  # one after another: 32 s
