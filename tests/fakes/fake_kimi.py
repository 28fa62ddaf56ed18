"""A fake ``kimi``: says what Kimi Code or the legacy program would say, at once and on demand.

``install`` puts it into a folder as ``kimi``; that folder then goes to the front of ``PATH``. What it does is told by
the environment, which the teacher hands on since the names begin with ``KIMI_``:

- ``KIMI_FAKE_VERSION``: what ``--version`` prints, ``2.1.0`` unless given; ``kimi, version 1.51.0`` makes it legacy.
- ``KIMI_FAKE_BEHAVIOUR``: one of ``BEHAVIOURS``, ``good`` unless given.
- ``KIMI_FAKE_SCRIPT``: a file of behaviours, one a line; each call takes the first one away. Then the above holds.
- ``KIMI_FAKE_SECONDS``: how long it thinks.
- ``KIMI_FAKE_CALLS``: a file to which each call appends a JSON line: its arguments, folder and environment.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

ERRORS = {
    "rate": "provider.rate_limit: 429 Your account reached max RPM: 3, please try again after 2 seconds",
    "quota": "provider.auth_error: 403 You've reached your usage limit for this billing cycle. It resets in 3 hours.",
    "terminated": "provider.auth_error: 403 Access terminated. Review our Community Guidelines.",
    "balance": "provider.rate_limit: 429 Your account is suspended, please check your plan and billing",
    "not_logged_in": "No model configured. Run `kimi` and use /login to sign in, then retry",
    "transient": "provider.overloaded: 529 The engine is currently overloaded, please try again later",
    "filtered": "provider.api_error: 400 Provider safety policy blocked the response",
}
STEERING = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x9b31m [bold red]markup[/] \u202e\x00turned"
"""What steers a terminal, and what two libraries take for markup."""


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
    version = os.environ.get("KIMI_FAKE_VERSION", "2.1.0")
    if "--version" in arguments:
        print(version)
        return 0
    note_call(arguments)
    legacy = version.startswith("kimi")
    behaviour = next_behaviour()
    if behaviour == "mute":
        hang()
    if not legacy:
        say({"role": "meta", "type": "system.version", "version": version})
    time.sleep(float(os.environ.get("KIMI_FAKE_SECONDS", "0")))
    if behaviour == "rude":
        return fail(f"{ERRORS['balance']} {STEERING}", legacy)
    if behaviour in ("tells", "tells_and_fails"):
        print(told := tell_all(), file=sys.stderr, flush=True)
        if behaviour == "tells_and_fails":
            return fail(f"provider.api_error: 400 {told}", legacy)
    if behaviour in ERRORS:
        return fail(ERRORS[behaviour], legacy)
    return perform(behaviour, arguments[arguments.index("-p") + 1], legacy)


def tell_all() -> str:
    """All that it was given, on one line."""
    return " ".join(f"{name} {value}" for name, value in os.environ.items()) + " " + " ".join(sys.argv[1:6])


def perform(behaviour: str, prompt: str, legacy: bool) -> int:
    if behaviour in DEAD_ENDS:
        DEAD_ENDS[behaviour]()
        return 0
    if behaviour == "tool":
        call = {"type": "function", "id": "call_1", "function": {"name": "Bash", "arguments": "{}"}}
        say({"role": "assistant", "tool_calls": [call]})
        say({"role": "tool", "tool_call_id": "call_1", "content": "done"})
    text = answer(prompt) if behaviour != "bad" else "Cars are loud. That is all."
    if behaviour == "cut":
        say({"role": "assistant", "content": text[: len(text) // 2]})
        return fail("provider.connection_error: terminated", legacy)
    if behaviour == "escapes":
        text = text.replace("</thought>", f"</thought> {STEERING}")
        print(STEERING, flush=True)
    if behaviour == "tells":
        text = f"{text} It was {tell_all()}."
        print(tell_all(), flush=True)
    parts = [{"type": "think", "think": "hm"}, {"type": "text", "text": text}]
    say({"role": "assistant", "content": parts if legacy else text})
    if behaviour == "writes":
        Path("canary").touch()
    if behaviour == "hook":
        say({"role": "assistant", "content": "A hook of the user says hello."})
    if not legacy:
        say({"role": "meta", "type": "session.resume_hint", "session_id": f"session_{os.getpid()}"})
    return 0


def hang() -> None:
    time.sleep(3600)


def ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say({"role": "meta", "type": "stubborn"})
    hang()


def flood() -> None:
    while True:
        print("x" * 65536)


def write_one_long_line() -> None:
    for _ in range(64):
        sys.stdout.write("x" * (1 << 20))
    sys.stdout.flush()


def flood_errors() -> None:
    """Enough to be too much, on standard error; not without end, since a disk that fills hurts everybody."""
    for _ in range(64):
        print("e" * (1 << 20), file=sys.stderr)
    hang()


def leave_a_grandchild() -> None:
    """Fork one that stays, in a session of its own, deaf to SIGTERM; then hang."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        hang()
    say({"role": "meta", "type": "forked"})
    hang()


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def say_nothing() -> None:
    """End well, without a word."""


def retry() -> None:
    say(
        {
            "role": "meta",
            "type": "turn.step.retrying",
            "failed_attempt": 1,
            "next_attempt": 2,
            "max_attempts": 2,
            "delay_ms": 1_152_000,
            "error_name": "APIProviderRateLimitError",
            "error_message": "429 Your account reached max RPM: 3",
            "status_code": 429,
        }
    )
    hang()


DEAD_ENDS = {
    "retry": retry,
    "hang": hang,
    "stubborn": ignore_sigterm,
    "flood": flood,
    "killed": kill_itself,
    "silent_end": say_nothing,
    "long_line": write_one_long_line,
    "flood_errors": flood_errors,
    "grandchild": leave_a_grandchild,
}
BEHAVIOURS = (*ERRORS, *DEAD_ENDS, "good", "bad", "cut", "tool", "writes", "mute")
BEHAVIOURS += ("hook", "escapes", "rude", "tells", "tells_and_fails")


def answer(prompt: str) -> str:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.fakes.good_answers import good_reply

    return good_reply(prompt)


def fail(message: str, legacy: bool) -> int:
    if legacy:
        print(message, flush=True)
        return 75 if "429" in message or "529" in message else 1
    print(f"error: failed to run prompt: {message}\nSee log: kimi-code.log", file=sys.stderr, flush=True)
    return 1


def next_behaviour() -> str:
    if script := os.environ.get("KIMI_FAKE_SCRIPT"):
        import fcntl

        with open(script, "r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            first, _, rest = file.read().partition("\n")
            file.seek(0)
            file.truncate()
            file.write(rest)
        if first:
            return first
    return os.environ.get("KIMI_FAKE_BEHAVIOUR", "good")


def note_call(arguments: list[str]) -> None:
    if path := os.environ.get("KIMI_FAKE_CALLS"):
        folder = Path.cwd()
        files = [file.name for file in folder.iterdir()]
        record = {"arguments": arguments, "folder": str(folder), "files": files, "environment": dict(os.environ)}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
