"""A loopback OpenAI-compatible model server for tests, scripted request by request; no network beyond 127.0.0.1.

    with ModelServer() as server:
        server.script.extend([Failure(429, RATE_LIMITED), Reply("not dialectical")])
        ...  # the third request and all later ones get a good answer
        assert server.requests[0].messages[-1]["role"] == "user"

``python -m tests.fakes.model_server [--port N] [--seconds S]`` runs one until it is ended and prints its address; each
answer takes S seconds. It serves hundreds of requests at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self, cast

from tests.fakes.good_answers import good_reply

Json = dict[str, object]


@dataclass(frozen=True)
class Reply:
    """A text. ``finish="length"`` says that the token limit cut it."""

    text: str
    finish: str = "stop"
    seconds: float = 0.0
    """How long the model thinks first."""
    pause: float = 0.0
    """Seconds between two pieces of the stream."""
    reasoning: str = ""
    """What the model thinks before the text, as ``reasoning_field``."""
    reasoning_field: str = "reasoning_content"
    usage: bool = True
    """Whether tokens are counted."""
    held: threading.Event | None = field(default=None, compare=False)
    """The words are sent; that they have ended is said when this is set."""
    done: Literal["done", "closed", "open"] = "done"
    """After the last piece: ``[DONE]``; the end of the body without it; or a connection that is left open."""


@dataclass(frozen=True)
class Failure:
    """An HTTP error with a body; text is sent as a web page."""

    status: int
    body: Mapping[str, object] | str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """A body as it is, with status 200; ``pieces`` are sent with ``pause`` seconds between them."""

    pieces: tuple[bytes, ...]
    content_type: str = "text/event-stream"
    pause: float = 0.0


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool instead of answering."""

    name: str
    arguments: Json


@dataclass(frozen=True)
class Hang:
    """Nothing is sent until the server closes. ``gone`` is set when the client goes away before that."""

    gone: threading.Event = field(default_factory=threading.Event, compare=False)


@dataclass(frozen=True)
class Cut:
    """The stream breaks off after this text."""

    text: str = "<thought>\n**THESIS**: A start"


Action = Reply | Failure | ToolCall | Hang | Cut | Raw


def _error(type_: str, message: str) -> Json:
    return {"error": {"type": type_, "message": message}}


RATE_LIMITED = _error("rate_limit_reached_error", "Your account reached max RPM: 3, please try again after 2 seconds")
QUOTA = _error("permission_error", "You've reached your usage limit for this billing cycle. It resets in 3 hours.")
TERMINATED = _error("access_terminated_error", "Access terminated. Review our Community Guidelines.")
NO_BALANCE = _error("exceeded_current_quota_error", "Your account is suspended, please check your plan and billing")
NOT_LOGGED_IN = _error("invalid_authentication_error", "Invalid Authentication")
OVERLOADED = _error("engine_overloaded_error", "The engine is currently overloaded, please try again later")


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    path: str
    body: Json
    size: int
    """Bytes of the body."""
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""

    @property
    def messages(self) -> list[Json]:
        return cast("list[Json]", self.body.get("messages", []))

    @property
    def tools(self) -> list[Json]:
        return cast("list[Json]", self.body.get("tools") or [])

    @property
    def user_text(self) -> str:
        """All that user messages say; the real CLIs send reminders of their own as user messages too."""
        return "\n".join(_text(message.get("content")) for message in self.messages if message.get("role") == "user")

    @property
    def system_text(self) -> str:
        return "\n".join(_text(message.get("content")) for message in self.messages if message.get("role") == "system")


def good_answer(request: Request) -> Action:
    """A dialectical answer that depends on the question and meets the sample contract."""
    return Reply(good_reply(request.user_text))


class ModelServer:
    """Serves ``/v1/chat/completions``, streamed or not, on a free loopback port."""

    def __init__(
        self, port: int = 0, respond: Callable[[Request], Action] = good_answer, *, latency: float = 0.0
    ) -> None:
        self.latency = latency
        """Seconds that each good answer takes, on top of the reply's own."""
        self.models: Json | Failure | None = {"data": [{"id": "test-model", "object": "model", "created": 0}]}
        """What ``/v1/models`` lists; none: there is no such route."""
        self.chat = True
        """Whether there is ``/v1/chat/completions``."""
        self.script: deque[Action] = deque()
        """What the next requests get, in order; afterwards ``respond`` decides."""
        self.respond = respond
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take(self, request: Request) -> Action:
        """Record a request and choose what it gets."""
        with self._lock:
            self.requests.append(request)
            if self.script:
                return self.script.popleft()
        return self.respond(request)


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # the default, 5, refuses connections when many come at once

    def __init__(self, address: tuple[str, int], model: ModelServer) -> None:
        super().__init__(address, _Handler)
        self.model = model


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""

    def do_GET(self) -> None:
        models = self.server.model.models
        if models is None or not self.path.endswith("/models"):
            self._json(404, _error("not_found", self.path))
        elif isinstance(models, Failure):
            self._json(models.status, models.body, models.headers)
        else:
            self._json(200, {"object": "list", **models})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, json.loads(raw), len(raw), headers)
        if not (self.server.model.chat and self.path.endswith("/chat/completions")):
            self._json(404, _error("not_found", self.path))
        elif not request.messages:
            self._json(400, _error("invalid_request_error", "messages: field required"))
        else:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client was stopped
                self._act(self.server.model.take(request), request)

    def _act(self, action: Action, request: Request) -> None:
        if isinstance(action, Failure):
            self._json(action.status, action.body, action.headers)
        elif isinstance(action, Hang):
            self._wait_for_the_end(action)
        elif isinstance(action, Raw):
            self._raw(action)
        else:
            self._answer(action, streamed=bool(request.body.get("stream")))

    def _wait_for_the_end(self, action: Hang) -> None:
        self.close_connection = True
        while not self.server.model.closing.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.05)
            if readable and not self.connection.recv(1):
                action.gone.set()
                return

    def _answer(self, action: Reply | ToolCall | Cut, *, streamed: bool) -> None:
        if isinstance(action, Reply):
            self.server.model.closing.wait(action.seconds + self.server.model.latency)
        if streamed:
            self._stream(action)
        else:
            self._json(200, _completion(action))

    def _raw(self, action: Raw) -> None:
        self._begin(action.content_type)
        for piece in action.pieces:
            self._chunk(piece)
            self.server.model.closing.wait(action.pause)
        self._chunk(b"")

    def _json(self, status: int, body: Mapping[str, object] | str, headers: dict[str, str] | None = None) -> None:
        page = isinstance(body, str)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if page else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _begin(self, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _stream(self, action: Reply | ToolCall | Cut) -> None:
        self._begin("text/event-stream")
        for chunk in _chunks(action):
            if isinstance(action, Reply) and action.held and _ends(chunk):
                action.held.wait(60)
            self._chunk(f"data: {json.dumps(chunk)}\n\n".encode())
            if isinstance(action, Reply) and action.pause:
                self.server.model.closing.wait(action.pause)
        if isinstance(action, Cut):  # no end: neither of the answer nor of the chunked body
            self.close_connection = True
            return
        if isinstance(action, Reply) and action.done == "open":
            self._wait_for_the_end(Hang())
            return
        if not isinstance(action, Reply) or action.done == "done":
            self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


_HEAD: Json = {"id": "chatcmpl-test", "created": 0, "model": "test-model"}


def _usage(text: str) -> Json:
    return {"prompt_tokens": 100, "completion_tokens": len(text.split()), "total_tokens": 100 + len(text.split())}


def _tool_calls(action: ToolCall) -> list[Json]:
    function = {"name": action.name, "arguments": json.dumps(action.arguments)}
    return [{"index": 0, "id": "call_1", "type": "function", "function": function}]


def _chunks(action: Reply | ToolCall | Cut) -> Iterator[Json]:
    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    if isinstance(action, ToolCall):
        yield chunk({"tool_calls": _tool_calls(action)})
        yield chunk({}, "tool_calls")
        yield {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _usage("")}
        return
    if isinstance(action, Reply):
        for start in range(0, len(action.reasoning), 80):
            yield chunk({action.reasoning_field: action.reasoning[start : start + 80]})
    for start in range(0, len(action.text), 80):
        yield chunk({"content": action.text[start : start + 80]})
    if isinstance(action, Reply):
        yield chunk({}, action.finish)
        if action.usage:
            yield {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _usage(action.text)}


def _ends(chunk: Json) -> bool:
    choices = chunk["choices"]
    return isinstance(choices, list) and any(choice["finish_reason"] for choice in choices)


def _completion(action: Reply | ToolCall | Cut) -> Json:
    if isinstance(action, ToolCall):
        message: Json = {"role": "assistant", "content": None, "tool_calls": _tool_calls(action)}
        finish, text = "tool_calls", ""
    else:
        message = {"role": "assistant", "content": action.text}
        finish, text = (action.finish if isinstance(action, Reply) else "length"), action.text
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage: Json = {} if isinstance(action, Reply) and not action.usage else {"usage": _usage(text)}
    return {**_HEAD, "object": "chat.completion", "choices": [choice], **usage}


def main() -> None:
    """Run one until it is ended."""
    parser = argparse.ArgumentParser(description="An OpenAI-compatible model server that answers dialectically.")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long each answer takes")
    given = parser.parse_args()
    with ModelServer(given.port, latency=given.seconds) as running:
        print(running.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
