"""A fake ``kimi`` that asks its model over HTTP and says what Kimi Code would: for many calls, where the real one's
start costs too much.

``install`` puts it into a folder as ``kimi``. It reads the real one's variables (``KIMI_MODEL_BASE_URL`` and so on),
leaves a session in Kimi's home, and makes one attempt.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.parse
from pathlib import Path

VERSION = "2.1.0"


class ModelError(Exception):
    """What the real one tells on standard error."""


def install(folder: Path) -> Path:
    """Make ``kimi`` in ``folder``; returns the program."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "kimi"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{Path(__file__).resolve()}" "$@"\n')
    program.chmod(0o755)
    return program


def say(record: dict[str, object]) -> None:
    print(json.dumps(record), flush=True)


def main(arguments: list[str]) -> int:
    if "--version" in arguments:
        print(VERSION)
        return 0
    prompt = arguments[arguments.index("-p") + 1]
    agent = Path(arguments[arguments.index("--agent-file") + 1]).read_text("utf-8")
    session = Session()
    say({"role": "meta", "type": "system.version", "version": VERSION})
    try:
        answer = ask(agent.partition("---\n")[2].partition("---\n")[2], prompt)
        session.end(answer)
        tell(answer)
    except ModelError as error:
        print(f"error: failed to run prompt: {error}\nSee log: kimi-code.log", file=sys.stderr, flush=True)
        return 1
    say({"role": "meta", "type": "session.resume_hint", "session_id": session.name})
    return 0


class Answer:
    """A stream's content so far."""

    def __init__(self) -> None:
        self.text = ""
        self.finish = ""
        self.tools: list[dict[str, object]] = []

    def take(self, data: str) -> None:
        for choice in json.loads(data)["choices"]:
            self.text += choice["delta"].get("content") or ""
            self.tools += choice["delta"].get("tool_calls") or []
            self.finish = choice.get("finish_reason") or self.finish


class Session:
    """The folder that each unattended call of the real one leaves behind."""

    def __init__(self) -> None:
        home = Path(os.environ.get("KIMI_CODE_HOME") or Path(os.environ["HOME"]) / ".kimi-code")
        self.name = f"session_{os.getpid()}"
        self.wire = home / "sessions" / f"wd_{Path.cwd().name}_0123" / self.name / "agents" / "main" / "wire.jsonl"
        self.wire.parent.mkdir(parents=True)
        dirty = home / "sessions" / ".index-dirty"
        dirty.mkdir(exist_ok=True)
        (dirty / f"{self.name}.1").touch()

    def end(self, answer: Answer) -> None:
        usage = {"inputOther": 100, "output": len(answer.text) // 4}
        reason = "max_tokens" if answer.finish == "length" else "stop"
        self.wire.write_text(json.dumps({"event": {"type": "step.end", "usage": usage, "finishReason": reason}}) + "\n")


def ask(system: str, prompt: str) -> Answer:
    url = urllib.parse.urlsplit(os.environ["KIMI_MODEL_BASE_URL"])
    connection = http.client.HTTPConnection(url.netloc)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    body = json.dumps({"model": os.environ["KIMI_MODEL_NAME"], "messages": messages, "stream": True})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['KIMI_MODEL_API_KEY']}"}
    try:
        connection.request("POST", f"{url.path}/chat/completions", body, headers)
        response = connection.getresponse()
        if response.status != 200:
            raise ModelError(refusal(response.status, json.loads(response.read())["error"]["message"]))
        return read(response)
    except (OSError, http.client.HTTPException) as error:
        raise ModelError("provider.connection_error: terminated") from error


def read(response: http.client.HTTPResponse) -> Answer:
    answer = Answer()
    while line := response.readline().decode():
        data = line.partition("data: ")[2].strip()
        if data == "[DONE]":
            response.read()
            return answer
        if data:
            answer.take(data)
    raise ModelError("provider.connection_error: terminated")


def refusal(status: int, message: str) -> str:
    codes = {401: "auth_error", 403: "auth_error", 429: "rate_limit", 529: "overloaded"}
    return f"provider.{codes.get(status, 'api_error')}: {status} {message}"


def tell(answer: Answer) -> None:
    if answer.tools:
        say({"role": "assistant", "tool_calls": answer.tools})
        say({"role": "tool", "tool_call_id": "call_1", "content": 'Tool "Bash" not found'})
    if not (answer.text or answer.tools):
        raise ModelError("provider.api_error: The API returned an empty response (no content, no tool calls).")
    say({"role": "assistant", "content": answer.text or "I have no tools."})
    if answer.finish == "content_filter":
        raise ModelError("Provider safety policy blocked the response.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
