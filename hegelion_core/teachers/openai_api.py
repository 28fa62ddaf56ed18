"""Any OpenAI-compatible endpoint as a teacher: a provider with a key, or a server on this machine.

A call is one streamed chat completion without tools. What arrives is appended to the call's ``out`` as it comes, so an
answer that arrived whole outlives the core.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hegelion_core.dialectic import steps
from hegelion_core.dialectic.parsing import clean
from hegelion_core.redaction import Redactor
from hegelion_core.settings import GenerationSettings, Settings
from hegelion_core.teachers import openai_endpoint, openai_stream, watchdogs
from hegelion_core.teachers.faults import Advice, HttpError, classify_http
from hegelion_core.teachers.openai_spool import Spool
from hegelion_core.teachers.openai_stream import Events, Line
from hegelion_core.teachers.teacher import OUT, Answer, Call, FaultKind, TeacherFault, TeacherInfo
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.workspace import RunFolder, Workspace

if TYPE_CHECKING:  # half a second of imports, which only the core that uses this teacher waits for
    import openai
    from openai.types.chat import ChatCompletionChunk

    _Response = openai.AsyncAPIResponse[openai.AsyncStream[ChatCompletionChunk]]

NAME = "openai"
PROBE_TIMEOUT = 10.0
"""Seconds for the questions that ``start`` asks."""
CONNECT_TIMEOUT = 15.0
MAX_BODY = 16 << 20
"""Bytes that a call may bring; an answer has some thousands, and some hundred times as many around its pieces."""

_USAGE_GRACE = 5.0  # seconds after the last piece of text for the token counts to come
_END_GRACE = 0.5  # seconds after the announced end, so that the connection is used again
_MODELS_SHOWN = 8
_MAX_NAME = 200  # characters of a model's name
_STOPPING: set[FaultKind] = {"terminated", "balance", "quota"}


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: list[_Model]


@dataclass
class _Ready:
    """What ``start`` found."""

    client: openai.AsyncOpenAI
    url: str
    model: str = ""
    models: tuple[str, ...] = ()
    version: str = ""
    refused: set[str] = field(default_factory=set)
    """Parameters that the endpoint does not take, learned from its refusals."""

    @property
    def host(self) -> str:
        return openai_endpoint.host(self.url)


class OpenAITeacher:
    """``teacher.Teacher`` over an OpenAI-compatible endpoint."""

    def __init__(
        self,
        *,
        run: RunFolder,
        workspace: Workspace,
        settings: Settings,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``environment`` holds the key; it is this process's unless given."""
        del run, workspace  # nothing is kept beside the calls' own folders
        self._settings = settings.teacher
        self._limits = settings.generation
        self._environment = os.environ if environment is None else environment
        self._redact = Redactor(self._environment, (self._settings.key_variable,))
        self._ready: _Ready | None = None

    @property
    def calls_per_instance(self) -> int:
        """One: instances are how many calls at once are told."""
        return 1

    async def start(self) -> TeacherInfo:
        """Make the client, see that the endpoint is there, choose the model.

        Raises:
            TeacherFault: no key, no answer, no such endpoint, or no model named where there are several.
        """
        await self.close()
        ready = self._ready = self._connect()
        try:
            async with self._faults(ready):
                await self._probe(ready)
                ready.model = self._settings.model or _only(ready)
        except BaseException:
            await self.close()
            raise
        return TeacherInfo(name=NAME, version=ready.version, model=ready.model, detail=ready.host)

    def tidy(self) -> None:
        """Nothing is left: everything lies in the run's folder."""

    async def prove(self, log: Callable[[str], None], *, step: bool = False) -> None:
        """Nothing to show: a request offers no tool, and nothing here could run one."""

    async def ask(self, call: Call, folder: Path, log: Callable[[str], None]) -> Answer:
        """Ask with one streamed request and wait for its end; see ``teacher.Teacher``."""
        if (ready := self._ready) is None:
            raise RuntimeError("start() comes first")
        clock = asyncio.get_running_loop().time
        started = clock()
        with Spool(folder / OUT, lambda text: log(self._redact(text)), clock) as spool:
            reply = spool.reply
            try:
                async with self._faults(ready):
                    await self._listen(ready, call, spool, clock)
            except TeacherFault:
                if not reply.whole:
                    raise
                # The model has said that it ended; what went wrong afterwards costs the token counts at most.
            if (fault := reply.fault()) is not None:
                raise self._clean(fault)
            seconds = round(clock() - started, 3)
            spool.end(Line(endpoint=ready.host, model=reply.last.model or ready.model, seconds=seconds))
        return reply.answer()

    def read_answer(self, folder: Path) -> Answer | None:
        """The answer in a call's folder, if it arrived whole: the model itself said that it had ended."""
        try:
            reply = openai_stream.read_reply((folder / OUT).read_bytes())
        except OSError:
            return None
        return reply.answer() if reply is not None and reply.whole else None

    def read_growing(self, folder: Path) -> str:
        """The words that have come so far."""
        try:
            reply = openai_stream.read_reply((folder / OUT).read_bytes())
        except OSError:
            return ""
        return reply.text if reply is not None else ""

    async def close(self) -> None:
        """End every connection."""
        if (ready := self._ready) is not None:
            self._ready = None
            await ready.client.close()

    # The endpoint

    def _connect(self) -> _Ready:
        import httpx2
        import openai

        endpoint = openai_endpoint.find_endpoint(self._settings, self._environment)
        timeout = openai.Timeout(None, connect=min(CONNECT_TIMEOUT, self._limits.first_line_timeout))
        # A proxy cannot reach this machine's own servers.
        http = openai.DefaultAsyncHttpxClient(timeout=timeout, trust_env=not endpoint.loopback)
        try:
            client = openai.AsyncOpenAI(
                api_key=endpoint.key,
                base_url=endpoint.url,
                max_retries=0,  # the generator spaces the calls of all instances
                timeout=timeout,  # beyond the connection, the watchdogs decide
                http_client=http,
            )
        except httpx2.InvalidURL:
            raise openai_endpoint.no_address() from None
        return _Ready(client, str(client.base_url))

    async def _probe(self, ready: _Ready) -> None:
        """Ask which models there are; an endpoint that does not tell is asked whether it knows chats at all."""
        import openai

        try:
            answer = await ready.client.models.with_raw_response.list(timeout=PROBE_TIMEOUT)
        except openai.APIStatusError as error:
            fault = self._refusal(error, ready)
            if error.status_code == 401 or fault.kind in _STOPPING:
                raise fault from None
            if error.status_code not in (404, 405):
                return  # a key may be forbidden to list, a server may be busy: the calls will tell
        else:
            ready.version = answer.headers.get("openai-version", "")
            try:
                found = msgspec.json.decode(answer.content, type=_Models | list[_Model])
            except UNREADABLE:
                pass
            else:
                listed = found.data if isinstance(found, _Models) else found
                ready.models = tuple(clean(model.id)[:_MAX_NAME] for model in listed)
                return
        await self._probe_chat(ready)

    async def _probe_chat(self, ready: _Ready) -> None:
        """An empty request costs nothing: an endpoint refuses it, and anything else has no such address."""
        import openai

        try:
            answer = await ready.client.post(
                "/chat/completions", cast_to=object, body={}, options={"timeout": PROBE_TIMEOUT}
            )
        except openai.APIStatusError as error:
            if error.status_code in (401, 404, 405):
                raise self._refusal(error, ready) from None
        else:
            if isinstance(answer, str):  # no JSON: a web page
                raise self._http_fault(HttpError(200, answer), ready)

    # One call

    async def _listen(self, ready: _Ready, call: Call, spool: Spool, clock: Callable[[], float]) -> None:
        """Send the request and take in what comes, until its end or until a watchdog barks."""
        watch = _Watch(self._limits, clock)
        try:
            async with asyncio.timeout_at(watch.deadline) as timer, AsyncExitStack() as stack:
                response = await self._open(ready, call, stack)
                kind = response.headers.get("content-type", "")
                if "text/html" in kind:
                    raise self._http_fault(HttpError(200, await response.text()), ready)
                events = Events(whole="application/json" in kind)
                size = 0
                async for data in response.iter_bytes():
                    size += len(data)
                    self._take(events.feed(data), spool, ready, size)
                    watch.heard(_END_GRACE if events.done else _USAGE_GRACE if spool.reply.last.finish else None)
                    timer.reschedule(watch.deadline)
                self._take(events.finish(), spool, ready, size)
        except TimeoutError:
            watch.bark()

    def _take(self, events: list[bytes], spool: Spool, ready: _Ready, size: int) -> None:
        """Keep what some events say.

        Raises:
            TeacherFault: a tool, an error inside the stream, or a stream without end.
        """
        if events:
            line = openai_stream.read_events(events)
            spool.add(msgspec.structs.replace(line, error=self._redact(line.error)) if line.error else line)
        last = spool.reply.last
        if last.tool and (fault := spool.reply.fault()) is not None:
            raise fault
        if last.error:
            raise self._http_fault(HttpError(last.status, last.error, now=time.time()), ready)
        if size > MAX_BODY:
            raise TeacherFault("protocol", f"{ready.host} sent more than {MAX_BODY >> 20} MiB and was stopped.")

    async def _open(self, ready: _Ready, call: Call, stack: AsyncExitStack) -> _Response:
        """Send the request; one without a parameter that the endpoint does not take, once it says so."""
        import openai

        while True:
            refused = frozenset(ready.refused)
            request = ready.client.chat.completions.with_streaming_response.create(
                model=ready.model,
                messages=[
                    {"role": "system", "content": steps.system_text(call.step)},
                    {"role": "user", "content": steps.user_text(clean(call.query), call.correction, call.step)},
                ],
                stream=True,
                extra_body=self._parameters(refused),
            )
            try:
                return await stack.enter_async_context(request)
            except openai.APIStatusError as error:
                name = _refused_parameter(error.status_code, error.response.text)
                if name is None or name in refused:
                    raise
                ready.refused.add(name)

    def _parameters(self, refused: frozenset[str]) -> dict[str, object]:
        settings = self._settings
        limit = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
        given: dict[str, object | None] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            limit: settings.max_new_tokens,
            "stream_options": None if "stream_options" in refused else {"include_usage": True},
        }
        if settings.thinking != "default":
            given["thinking"] = {"type": "enabled" if settings.thinking == "on" else "disabled"}
        return {name: value for name, value in given.items() if value is not None}

    # Faults

    @asynccontextmanager
    async def _faults(self, ready: _Ready) -> AsyncIterator[None]:
        """Whatever the client raises becomes a fault that holds no credential."""
        import httpx2
        import openai

        try:
            yield
        except TeacherFault as fault:
            raise self._clean(fault) from None
        except openai.APIStatusError as error:
            raise self._refusal(error, ready) from None
        except openai.APITimeoutError:
            where = openai_endpoint.shown(ready.url)
            raise TeacherFault("transient", f"{where} did not answer in time.", "Check teacher.url.") from None
        except (openai.OpenAIError, httpx2.InvalidURL) as error:
            raise self._clean(openai_endpoint.unreachable(error, ready.url)) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            message = f"{ready.host}: the stream broke off ({error})."
            raise self._clean(TeacherFault("transient", message, "It is tried again.")) from None

    def _refusal(self, error: openai.APIStatusError, ready: _Ready) -> TeacherFault:
        answer = HttpError(error.status_code, error.response.text, error.response.headers, time.time())
        return self._http_fault(answer, ready)

    def _http_fault(self, error: HttpError, ready: _Ready) -> TeacherFault:
        return self._clean(classify_http(error, ready.host, self._advice(ready)))

    def _advice(self, ready: _Ready) -> Advice:
        where = openai_endpoint.shown(ready.url)
        return Advice(
            login=openai_endpoint.login_hint(self._settings.key_variable),
            model=f"Name one that is there: --teacher-model NAME. {_listing(ready)}".strip(),
            missing=f"Is {where} the base of an OpenAI-compatible endpoint? Most end in /v1 (teacher.url).",
        )

    def _clean(self, fault: TeacherFault) -> TeacherFault:
        message = self._redact(" ".join(clean(fault.message).split()))
        return TeacherFault(fault.kind, message, self._redact(fault.hint), fault.retry_after)


class _Watch:
    """The watchdogs as one moment at which a call is ended; times are of one clock, in seconds."""

    def __init__(self, limits: GenerationSettings, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._started = self._last = clock()
        self._spoke = False
        self.deadline = self._started + min(limits.first_line_timeout, limits.silence_timeout, limits.total_timeout)

    def heard(self, grace: float | None) -> None:
        """Something came; ``grace`` is how long to wait for the rest, where only that is missing."""
        self._spoke, self._last = True, self._clock()
        patience = self._limits.silence_timeout if grace is None else grace
        self.deadline = min(self._last + patience, self._started + self._limits.total_timeout)

    def bark(self) -> None:
        """Say which of them it was. Raises ``TeacherFault``."""
        now = self._clock() + 0.001  # the deadline itself counts as past
        watchdogs.check(self._limits, now=now, started=self._started, last=self._last, spoke=self._spoke)
        raise TeacherFault("timeout", "The call was ended by the system's own time limit.", "It is tried again.")


def _refused_parameter(status: int, said: str) -> str | None:
    """The parameter that an endpoint refuses and that the request can do without, or with another name."""
    if status not in (400, 422):
        return None
    if "stream_options" in said or "include_usage" in said:
        return "stream_options"
    renamed = re.search(r"max_tokens.{0,80}not supported|use.{0,4}max_completion_tokens", said, re.IGNORECASE)
    return "max_tokens" if renamed else None


def _only(ready: _Ready) -> str:
    if len(ready.models) == 1:
        return ready.models[0]
    raise TeacherFault(
        "protocol", f"No model is named for {ready.host}.", f"Add --teacher-model NAME. {_listing(ready)}".strip()
    )


def _listing(ready: _Ready) -> str:
    if not ready.models:
        return ""
    more = len(ready.models) - _MODELS_SHOWN
    return f"It lists {', '.join(ready.models[:_MODELS_SHOWN])}{f' and {more} more' if more > 0 else ''}."
