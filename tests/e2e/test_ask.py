"""``ask`` as a user runs it: real processes, each kind of teacher, ends of all kinds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hegelion_core.dialectic.agent_log import AgentEntry, decode_entry
from hegelion_core.errors import ExitCode
from hegelion_core.run import CoreLock
from hegelion_core.workspace import Workspace
from tests import install_kimi
from tests.fakes import model_server
from tests.fakes.console import PATIENCE, Console
from tests.fakes.fake_kimi import STEERING
from tests.fakes.model_server import Action, Failure, Hang, ModelServer, Reply, Request, ToolCall, good_answer
from tests.fakes.terminal import Terminal

QUERY = "Should we implement feature X?"
COUNCIL = ("ask", "--query", QUERY, "--council", "--judge")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    for process in made.processes():
        process.kill()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def endpoint(server: ModelServer) -> tuple[str, ...]:
    return ("--teacher-url", server.url)


def unless(piece: str, action: Action) -> Callable[[Request], Action]:
    """Good answers, except to messages with this piece."""
    return lambda request: action if piece in request.user_text else good_answer(request)


def entries(path: Path) -> list[AgentEntry]:
    return [decode_entry(line) for line in path.read_bytes().splitlines()]


def left_behind(console: Console) -> list[str]:
    """What a question must not leave: folders of its own, processes."""
    return [*map(str, (console.folder / "artifacts").glob("asks/*")), *map(str, console.processes())]


def test_the_guides_command_with_kimi(console: Console) -> None:
    log = console.folder / "agent_logs.jsonl"
    lock = CoreLock(Workspace(console.folder))  # a core that is at work is not disturbed
    result = subprocess.run(
        [sys.executable, "-m", "hegelion_core.scripts.hegelion_cli", *COUNCIL[1:], "--log_file", str(log)],
        cwd=console.folder,
        env=console.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    lock.release()
    assert result.returncode == ExitCode.DONE, result.stderr
    names = ["THESIS", "ANTITHESIS: Logician", "ANTITHESIS: Empiricist", "ANTITHESIS: Ethicist", "SYNTHESIS", "ANSWER"]
    lines = result.stdout.splitlines()
    assert sorted(names) == sorted(set(names) & set(lines))
    assert lines[lines.index("JUDGE") + 1] == "7 of 10; the critiques hold"
    assert lines.index("THESIS") < lines.index("ANTITHESIS: Ethicist") < lines.index("SYNTHESIS")
    (entry,) = entries(log)
    assert entry.query == QUERY
    assert [critique.critic for critique in entry.critiques] == ["Logician", "Empiricist", "Ethicist"]
    assert all(f"As the {critique.critic} sees it" in critique.text for critique in entry.critiques)
    assert entry.judge is not None
    assert entry.judge.score == 7
    assert entry.contradictions[0].evidence
    assert entry.research_proposals[0].testable_prediction
    assert entry.metadata["teacher"] == "kimi-code"
    assert entry.metadata["calls"] == 6
    assert left_behind(console) == []


def test_the_legacy_program_is_a_teacher_too(console: Console) -> None:
    console.environment |= {"KIMI_FAKE_VERSION": "kimi, version 1.51.0", "KIMI_API_KEY": "swordfish"}
    console.environment["KIMI_FAKE_BEHAVIOUR"] = "hook"  # its words stand behind the answer's
    result = console.run("ask", QUERY, "--model", "kimi-legacy", "--judge", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    entry = decode_entry(result.stdout.encode())
    assert entry.metadata["teacher"] == "kimi-legacy"
    assert entry.thesis.startswith("The plain view")
    assert entry.judge is not None
    assert "hook" not in result.stdout


def test_json_and_markdown_go_to_standard_output_alone(console: Console, server: ModelServer) -> None:
    result = console.run(*COUNCIL, *endpoint(server), "--format", "json", "--log-file", "log.jsonl")
    assert result.returncode == ExitCode.DONE, result.stderr
    assert result.stdout == (console.folder / "log.jsonl").read_text()
    assert decode_entry(result.stdout.encode()).metadata["prompt_tokens"] == 600
    shown = console.run("ask", QUERY, "--preset", "debate", *endpoint(server), "--format", "markdown")
    assert shown.stdout.startswith(f"# {QUERY}\n\n## Thesis\n\n")
    assert "As the Devil's Advocate sees it" in shown.stdout
    assert "## Judge" not in shown.stdout
    assert len(server.requests) == 6 + 3
    assert all(not request.tools for request in server.requests)
    again = console.run("ask", "-", *endpoint(server), "--json", "--log-file", "log.jsonl")
    assert again.returncode == ExitCode.USAGE  # standard input is empty here
    assert len(entries(console.folder / "log.jsonl")) == 1


def test_critics_are_asked_at_once(console: Console, server: ModelServer) -> None:
    """Each critic's reply waits until all three were asked."""

    def respond(request: Request) -> Action:
        if "critique of the thesis" in request.user_text:
            deadline = time.monotonic() + PATIENCE
            while sum("critique of the thesis" in each.user_text for each in server.requests) < 3:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        return good_answer(request)

    server.respond = respond
    result = console.run("ask", QUERY, "--council", *endpoint(server), "--json")
    assert result.returncode == ExitCode.DONE, result.stderr


def test_a_critic_that_fails_and_a_judge_that_answers_nonsense_are_told(console: Console, server: ModelServer) -> None:
    refused = Reply("", finish="content_filter")
    server.respond = lambda request: (
        Reply("What a debate!")
        if "You are the judge." in request.user_text
        else unless("You are the Empiricist.", refused)(request)
    )
    result = console.run(*COUNCIL, *endpoint(server), "--log-file", "log.jsonl")
    assert result.returncode == ExitCode.DONE
    assert "The Empiricist gave no critique: filtered" in result.stderr
    assert "There is no score:" in result.stderr
    (entry,) = entries(console.folder / "log.jsonl")
    assert entry.judge is None
    assert [critique.text == "" for critique in entry.critiques] == [False, True, False]
    assert "Empiricist" not in entry.antithesis
    assert sum("You are the judge." in request.user_text for request in server.requests) == 2


def test_a_busy_service_is_waited_for(console: Console, server: ModelServer) -> None:
    server.script.extend([Failure(429, model_server.RATE_LIMITED, {"retry-after": "0.1"})])
    result = console.run("ask", QUERY, *endpoint(server))
    assert result.returncode == ExitCode.DONE
    assert "asks again in" in result.stderr


@pytest.mark.parametrize(
    ("action", "code", "word"),
    [
        (Failure(403, model_server.QUOTA), ExitCode.COME_BACK_LATER, "usage limit"),
        (Failure(401, model_server.NOT_LOGGED_IN), ExitCode.NOT_READY, "OPENAI_API_KEY"),
        (Failure(403, model_server.TERMINATED), ExitCode.FAILED, "terminated"),
        (ToolCall("Bash", {}), ExitCode.FAILED, "tool"),
        (Reply("***"), ExitCode.FAILED, "thesis gave no reply that can be used"),
    ],
)
def test_ends_have_their_exit_codes(
    console: Console, server: ModelServer, action: Action, code: ExitCode, word: str
) -> None:
    server.respond = lambda _: action
    result = console.run(*COUNCIL, *endpoint(server), "--log-file", "log.jsonl")
    assert result.returncode == code, result.stderr
    assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert not (console.folder / "log.jsonl").exists()
    assert left_behind(console) == []


def test_without_a_teacher_it_says_what_to_do(console: Console) -> None:
    console.environment["PATH"] = "/usr/bin:/bin"
    result = console.run(*COUNCIL)
    assert result.returncode == ExitCode.NOT_READY
    assert result.stderr.startswith("error: ")
    assert "npm install" in result.stderr
    assert left_behind(console) == []


@pytest.mark.parametrize(
    "arguments",
    [
        *(("ask",), ("ask", "--query", " "), ("ask", "a", "--query", "b"), ("ask", "a", "--preset", "jury")),
        *(("ask", "a", "--log-file", "."), ("ask", "a", "--format", "yaml"), ("ask", "a", "--model", "gpt")),
        ("ask", "a", "--log-file", "student/config.json/log.jsonl"),
    ],
)
def test_bad_input_is_told_before_anything_is_asked(console: Console, arguments: tuple[str, ...]) -> None:
    console.environment["KIMI_FAKE_CALLS"] = str(console.folder / "calls")
    result = console.run(*arguments)
    assert result.returncode == ExitCode.USAGE, result.stderr
    assert 1 <= len(result.stderr.strip().splitlines()) <= 3
    assert not (console.folder / "calls").exists()


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_interrupt_ends_at_once_and_tells_what_there_was(console: Console, server: ModelServer, form: str) -> None:
    hang = Hang()
    server.respond = unless("Your part is the synthesis", hang)
    process = console.start(
        "ask", QUERY, "--preset", "security", *endpoint(server), "--format", form, "--log-file", "l"
    )
    deadline = time.monotonic() + PATIENCE
    while len(server.requests) < 3:
        assert time.monotonic() < deadline, (console.folder / "output.txt").read_text()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == ExitCode.INTERRUPTED
    output = (console.folder / "output.txt").read_text()
    assert "There is the thesis and 1 of 1 critiques" in output
    assert "The plain view of" in output
    assert "As the Security Engineer sees it" in output
    assert not (console.folder / "l").exists() or not (console.folder / "l").read_text()
    assert left_behind(console) == []


def test_an_interrupt_ends_kimis_processes_too(console: Console) -> None:
    console.environment |= {"KIMI_FAKE_BEHAVIOUR": "hang", "KIMI_FAKE_CALLS": str(console.folder / "calls")}
    process = console.start(*COUNCIL)
    deadline = time.monotonic() + PATIENCE
    while not (console.folder / "calls").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == ExitCode.INTERRUPTED
    assert "There is nothing yet" in (console.folder / "output.txt").read_text()
    assert left_behind(console) == []


def test_on_a_terminal_a_part_is_seen_while_it_grows(console: Console, server: ModelServer) -> None:
    """The thesis is on the screen, but for its last line, before the teacher has ended it."""
    held = threading.Event()
    thesis = "THESIS: " + " ".join(f"Reason {number} is a good one, since it has been tried." for number in range(8))
    server.respond = lambda request: (
        Reply(thesis, held=held) if "Your part is the thesis" in request.user_text else good_answer(request)
    )
    terminal = Terminal(console, "ask", QUERY, *endpoint(server))
    terminal.wait_for("Reason 5 is a good one")
    assert not held.is_set()
    assert "ANTITHESIS" not in terminal.text
    held.set()
    terminal.wait_for("ANSWER")
    assert terminal.wait_for_end() == ExitCode.DONE
    assert terminal.text.count("Reason 5") == 1
    terminal.close()


def test_a_second_ctrl_c_ends_at_once_and_leaves_no_process(console: Console) -> None:
    """Kimi is deaf to SIGTERM, so the first Ctrl+C takes its time."""
    console.environment |= {"KIMI_FAKE_BEHAVIOUR": "stubborn", "KIMI_FAKE_CALLS": str(console.folder / "calls")}
    terminal = Terminal(console, *COUNCIL)
    terminal.wait_for("thesis")
    deadline = time.monotonic() + PATIENCE
    while not (console.folder / "calls").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    terminal.press("\x03")
    terminal.wait_for("Ctrl+C again ends it at once")
    terminal.press("\x03")
    assert terminal.wait_for_end() == ExitCode.INTERRUPTED
    assert "Stopped." not in terminal.text  # the end of the first one was not waited for
    terminal.close()
    console.wait_until_quiet()


def test_what_a_killed_question_left_is_put_away_by_the_next(console: Console) -> None:
    console.environment |= {"KIMI_FAKE_BEHAVIOUR": "hang", "KIMI_FAKE_CALLS": str(console.folder / "calls")}
    process = console.start(*COUNCIL)
    deadline = time.monotonic() + PATIENCE
    while not (console.folder / "calls").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert left_behind(console)
    del console.environment["KIMI_FAKE_BEHAVIOUR"]
    result = console.run("ask", QUERY)
    assert result.returncode == ExitCode.DONE, result.stderr
    assert left_behind(console) == []


def test_questions_may_be_asked_at_once(console: Console, server: ModelServer) -> None:
    """The first waits for its synthesis until the second has been answered."""
    answered = threading.Event()

    def respond(request: Request) -> Action:
        if "Your part is the synthesis" in request.user_text and "Is it slow?" in request.user_text:
            answered.wait(PATIENCE)
        return good_answer(request)

    server.respond = respond
    slow = console.start("ask", "Is it slow?", *endpoint(server), "--log-file", "log.jsonl")
    assert console.run("ask", QUERY, *endpoint(server), "--log-file", "log.jsonl").returncode == ExitCode.DONE
    answered.set()
    assert slow.wait(PATIENCE) == ExitCode.DONE
    assert [entry.query for entry in entries(console.folder / "log.jsonl")] == [QUERY, "Is it slow?"]
    assert left_behind(console) == []


def test_what_steers_a_terminal_is_disarmed(console: Console) -> None:
    console.environment["KIMI_FAKE_BEHAVIOUR"] = "rude"
    result = console.run(*COUNCIL)
    assert result.returncode == ExitCode.FAILED
    assert STEERING not in result.stderr
    assert "\x1b" not in result.stdout + result.stderr


def test_a_torn_last_line_of_the_log_is_ended_first(console: Console, server: ModelServer) -> None:
    log = console.folder / "log.jsonl"
    log.write_text('{"query": "torn')
    assert console.run("ask", QUERY, *endpoint(server), "--log-file", "log.jsonl").returncode == ExitCode.DONE
    torn, line = log.read_bytes().splitlines()
    assert torn == b'{"query": "torn'
    assert decode_entry(line).query == QUERY


def test_a_local_model_needs_no_account(console: Console) -> None:
    """A tiny model with random weights: all steps are gone through, whatever it says."""
    result = console.run(
        *(*COUNCIL, "--model", "local", "--teacher-model", str(console.student), "--max-new-tokens", "80"),
        *("--json", "--log-file", "log.jsonl"),
    )
    assert result.returncode == ExitCode.DONE, result.stderr
    entry = decode_entry(result.stdout.encode())
    assert entry.thesis.startswith("I believe")
    beginnings = ["It does not follow, because", "There is no proof that", "It could harm"]
    for critique, beginning in zip(entry.critiques, beginnings, strict=True):
        assert critique.text.startswith(beginning)
    assert entry.synthesis.startswith("Both are right in part:")
    assert entry.answer.startswith("On balance,")
    assert entry.judge is None or 0 <= entry.judge.score <= 10
    assert entry.metadata["teacher"] == "local"
    assert left_behind(console) == []


def test_the_real_kimi_code(tmp_path: Path, server: ModelServer) -> None:
    """The canary of the dialogue's words, then the steps; nothing of it stays in Kimi's home."""
    server.script.append(Reply("I have no tools."))
    console = Console(tmp_path, trusted=False)
    console.environment |= {
        "PATH": os.pathsep.join([str(install_kimi.CODE_BIN), str(install_kimi.node_bin()), os.environ["PATH"]]),
        "KIMI_MODEL_NAME": "test-model",
        "KIMI_MODEL_BASE_URL": server.url,
        "KIMI_MODEL_API_KEY": "swordfish",
        "KIMI_MODEL_PROVIDER_TYPE": "openai",
    }
    result = console.run("ask", QUERY, "--preset", "debate", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    entry = decode_entry(result.stdout.encode())
    assert [critique.critic for critique in entry.critiques] == ["Devil's Advocate"]
    assert isinstance(entry.metadata["completion_tokens"], int)
    assert "touch canary" in server.requests[0].user_text
    assert len(server.requests) == 4
    assert all(not request.tools for request in server.requests)
    assert "swordfish" not in json.dumps(entry.metadata)
    assert [path for path in (tmp_path / "home" / ".kimi-code" / "sessions").rglob("*") if path.is_file()] == []
    assert left_behind(console) == []


def test_council_and_judge_in_a_generation(console: Console, server: ModelServer) -> None:
    """The cost is said beforehand, also by ``--dry-run``; samples under the least score are kept as rejected."""
    scores = iter(["3", "9", "8"])
    server.respond = lambda request: (
        Reply(f"SCORE: {next(scores)}") if "You are the judge." in request.user_text else good_answer(request)
    )
    prompts = ("--limit", "2", "--dataset", "bundled", "--instances", "1")
    arguments = ("generate", *prompts, "--council", "security", "--min-score", "5", *endpoint(server))
    cost = "A council of 1 critic and a judge: 4 calls a sample, at least 8 for 2 samples."
    assert cost in console.run(*arguments, "--dry-run").stdout
    assert not server.requests
    result = console.run(*arguments)
    assert result.returncode == ExitCode.DONE, result.stderr
    assert cost in result.stdout
    assert len(server.requests) == 12
    samples = [json.loads(line)["hegelion_trace"] for line in console.samples.read_text().splitlines()]
    assert sorted(sample["metadata"]["judge_score"] for sample in samples) == [8, 9]
    (rejected,) = console.samples.with_suffix(".rejected.jsonl").read_text().splitlines()
    assert json.loads(rejected)["reason"] == "low_score"
    assert "As the Security Engineer sees it" in json.loads(rejected)["text"]
