"""A hostile or clumsy user of ``generate``: one or two clear lines, the right exit code, nothing lost, nothing left."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hegelion_core import events as e
from hegelion_core.errors import ExitCode
from hegelion_core.generation.store import SampleStore
from tests.fakes.console import PROGRAM, Console, count
from tests.fakes.fake_kimi import STEERING
from tests.fakes.good_answers import good_text
from tests.fakes.model_server import ModelServer

QUESTION = "Should cities ban cars?"
OTHER = "Is work good for people?"
FILE_SIZE = 256 << 20
"""Bytes that no file of a run may exceed here, whatever a teacher prints."""
SOON = 20.0
"""Seconds in which every command line here must have ended."""

Result = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """For what is refused before anything is made, or works in a workspace of its own."""
    return Console(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def console(shared: Console, tmp_path: Path) -> Iterator[Console]:
    """The shared console in an empty workspace, with an environment that a test may change."""
    environment, folder = shared.environment, shared.folder
    shared.environment = {**environment, "KIMI_FAKE_WORKSPACE": str(tmp_path)}
    shared.folder = tmp_path
    yield shared
    for process in shared.processes():
        process.kill()
    shared.environment, shared.folder = environment, folder


@pytest.fixture(scope="module")
def flags(shared: Console) -> set[str]:
    """The flags that ``generate`` has."""
    return set(re.findall(r"--[a-z][a-z-]*", shared.run("generate", "--help").stdout)) | {"--version"}


def generate(console: Console, *arguments: str, limit: int | None = 2) -> Result:
    """Run ``generate`` on the bundled prompts, unless told otherwise."""
    source = () if {"--prompt-file", "--dataset"} & set(arguments) else ("--dataset", "bundled")
    wanted = () if limit is None else ("--limit", str(limit))
    return console.run("generate", *source, *wanted, *arguments, timeout=SOON, file_size=FILE_SIZE)


def assert_refused(result: Result, code: ExitCode, *words: str) -> None:
    assert "Traceback" not in result.stderr + result.stdout, result.stderr[-800:]
    assert result.returncode == code, result.stdout + result.stderr
    assert 1 <= len(result.stderr.strip().splitlines()) <= 2, result.stderr
    assert result.stderr.startswith("error: ")
    for word in words:
        assert word in result.stderr
    assert_harmless(result)


def assert_done(result: Result) -> None:
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr[-800:]
    assert result.stderr == ""
    assert_harmless(result)


def assert_harmless(result: Result) -> None:
    """Nothing in it steers a terminal."""
    for text in (result.stdout, result.stderr):
        steering = {c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t"}
        assert not steering


def samples_of(path: Path) -> list[str]:
    """The prompts in a sample file, one for each line that is a row."""
    return [json.loads(line)["instruction"] for line in path.read_text().splitlines() if line.startswith('{"id"')]


def sample_line(question: str) -> bytes:
    """A good row, as another program would write it."""
    return json.dumps({"instruction": question, "input": "", "output": good_text(question)}).encode()


# Where prompts come from


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.txt", b"# nothing\n\n", ["empty.txt", "no usable prompt"]),
        ("wide.txt", QUESTION.encode("utf-16"), ["wide.txt", "line 1", "UTF-8"]),
        ("array.jsonl", b'{"prompt": "Is it?"}\n[1, 2]\n', ["array.jsonl", "line 2", "object"]),
        ("deep.jsonl", b'{"prompt": ' + b"[" * 100_000 + b"\n", ["deep.jsonl", "line 1"]),
        ("steering.jsonl", b'{"\\u001b[31mkey": 1}\n', ["steering.jsonl", "line 1", "key"]),
    ],
)
def test_a_prompt_file_without_prompts_is_named(console: Console, name: str, content: bytes, words: list[str]) -> None:
    (console.folder / name).write_bytes(content)
    assert_refused(generate(console, "--prompt-file", name, limit=None), ExitCode.USAGE, *words)


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [make_folder, os.mkfifo])
def test_what_is_no_regular_file_is_never_opened(console: Console, make: Callable[[Path], None]) -> None:
    """Opening a pipe would wait for a writer for ever."""
    make(console.folder / "strange")
    assert_refused(generate(console, "--prompt-file", "strange"), ExitCode.USAGE, "strange")
    assert_refused(generate(console, "--output", "strange"), ExitCode.USAGE, "strange")


def test_a_prompt_file_of_another_system_is_read(console: Console) -> None:
    (console.folder / "dos.txt").write_bytes(f"\ufeff{QUESTION}\r\n{OTHER}\r\n".encode())
    assert_done(generate(console, "--prompt-file", "dos.txt", limit=None))
    assert sorted(samples_of(console.samples)) == sorted([QUESTION, OTHER])


@pytest.mark.parametrize("limit", [None, 20_000])
def test_a_prompt_that_fits_into_no_argument_is_said(console: Console, limit: int | None) -> None:
    """By default it is left out; with a higher ``max_prompt_chars`` it is set aside, and kimi is not asked."""
    (console.folder / "p.txt").write_text(f"{QUESTION} {'word ' * 40_000}\n{OTHER}\n")
    calls = console.folder / "calls"
    console.environment["KIMI_FAKE_CALLS"] = str(calls)
    if limit is None:
        result = generate(console, "--prompt-file", "p.txt", limit=None)
        assert_done(result)
        assert "1 too long" in result.stdout
    else:
        high = ("--set", "generation.max_prompt_chars=1000000")
        result = generate(console, "--prompt-file", "p.txt", *high, limit=None)
        assert_refused(result, ExitCode.FAILED, "1 of 2", "set aside")
        assert "131,071" in result.stdout
    assert samples_of(console.samples) == [OTHER]
    assert QUESTION not in calls.read_text()


@pytest.fixture
def hub_folder(console: Console) -> str:
    """A local data set in the hub's layout with two splits."""
    data = console.folder / "set" / "data"
    data.mkdir(parents=True)
    for split in ("train_prefs", "test_prefs"):
        rows = [{"prompt": f"Should city {number} ban cars?", "chosen": "x"} for number in range(3)]
        (data / f"{split}-00000.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = "".join(f"  - split: {split}\n    path: data/{split}-*.jsonl\n" for split in ("train_prefs", "test_prefs"))
    (data.parent / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{names}---\n")
    return "set"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "set", "--split", "train"], ["'train'", "train_prefs, test_prefs"]),
        (["--dataset", "other.jsonl"], ["other.jsonl", "foo, bar", "prompt"]),
        (["--dataset", "broken.jsonl"], ["broken.jsonl"]),
        (["--dataset", ""], ["generation.dataset"]),
    ],
)
def test_a_local_data_set_that_does_not_serve(
    console: Console, hub_folder: str, arguments: list[str], words: list[str]
) -> None:
    (console.folder / "other.jsonl").write_text('{"foo": "x", "bar": 1}\n')
    (console.folder / "broken.jsonl").write_text('{"prompt": "x"}\n{"pro\n')
    result = generate(console, *arguments, limit=1)
    assert_refused(result, ExitCode.USAGE, *words)
    assert "network" not in result.stderr.lower()


# What steers a terminal


def test_nothing_from_prompts_answers_or_logs_steers_a_terminal(console: Console) -> None:
    row = json.dumps({"prompt": f"{QUESTION} {STEERING}"})
    (console.folder / "p.jsonl").write_text(f"{row}\n")
    console.environment["KIMI_FAKE_BEHAVIOUR"] = "escapes"
    result = generate(console, "--prompt-file", "p.jsonl", limit=None)
    assert_done(result)
    assert_harmless(console.run("--status"))
    assert_harmless(console.run("--status", "--json"))
    for path in (console.folder / "artifacts").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert b"\x1b" not in content, path
        assert "\x9b".encode() not in content, path


def test_an_error_of_the_teacher_steers_no_terminal(console: Console) -> None:
    console.environment["KIMI_FAKE_BEHAVIOUR"] = "rude"
    assert_refused(generate(console), ExitCode.FAILED, "suspended")
    assert_harmless(console.run("--status"))


def test_an_argument_steers_no_terminal(console: Console) -> None:
    assert_refused(generate(console, "--set", "\x1b]0;x\x07\x1b[31m.y=1"), ExitCode.USAGE, "unknown setting")


# Values


@pytest.mark.parametrize(
    ("flag", "value", "name"),
    [
        ("--limit", "0", "generation.limit"),
        ("--limit", "ten", "generation.limit"),
        ("--instances", "65", "generation.instances"),
        ("--total-timeout", "0", "generation.total_timeout"),
        ("--thinking", "maybe", "teacher.thinking"),
        ("--output", "", "generation.output"),
    ],
)
def test_a_value_that_is_none_is_named_with_its_setting(console: Console, flag: str, value: str, name: str) -> None:
    assert_refused(generate(console, flag, value, limit=None), ExitCode.USAGE, name, repr(value))
    assert list(console.folder.iterdir()) == []


def test_more_than_the_source_has(console: Console) -> None:
    (console.folder / "p.txt").write_text(f"{QUESTION}\n{OTHER}\n")
    result = generate(console, "--prompt-file", "p.txt", limit=3)
    assert_refused(result, ExitCode.USAGE, "2 usable prompts", "--limit 2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[generation\nlimit = 3\n", ["line 1"]),
        ('[generation]\n"\\u001b[31m" = 1\n', ["unknown setting"]),
    ],
)
def test_a_settings_file_that_is_broken(console: Console, text: str, words: list[str]) -> None:
    (console.folder / "hegelion.toml").write_text(text)
    assert_refused(generate(console), ExitCode.USAGE, "hegelion.toml", *words)


# The sample file


@pytest.mark.parametrize("output", ["file/x.jsonl", "nowhere.jsonl", "/dev/null"])
def test_an_output_that_cannot_be_written_costs_no_request(console: Console, output: str) -> None:
    (console.folder / "file").write_text("")
    (console.folder / "nowhere.jsonl").symlink_to("missing/x.jsonl")
    calls = console.folder / "calls"
    console.environment["KIMI_FAKE_CALLS"] = str(calls)
    assert_refused(generate(console, "--output", output), ExitCode.USAGE, output, "--output")
    assert not calls.exists()


def test_samples_never_go_into_the_prompt_file(console: Console) -> None:
    prompts = console.folder / "p.txt"
    prompts.write_text(f"{QUESTION}\n{OTHER}\n")
    result = generate(console, "--prompt-file", "p.txt", "--output", "p.txt", limit=None)
    assert_refused(result, ExitCode.USAGE, "p.txt", "--output")
    assert prompts.read_text() == f"{QUESTION}\n{OTHER}\n"


@pytest.mark.parametrize(
    "content",
    [
        sample_line(QUESTION) + b"\n" + sample_line(OTHER),
        b"\x00" * 4096
        + b"\n\xff\xfe\n[1]\n"
        + b'{"instruction": '
        + b"[" * 100_000
        + b"\n"
        + sample_line(QUESTION)
        + b"\n",
    ],
    ids=["no last line end", "garbage"],
)
def test_what_was_in_the_sample_file_stays_and_counts(console: Console, content: bytes) -> None:
    (console.folder / "p.txt").write_text(f"{QUESTION}\n{OTHER}\n")
    (console.folder / "s.jsonl").write_bytes(content)
    calls = console.folder / "calls"
    console.environment["KIMI_FAKE_CALLS"] = str(calls)
    result = generate(console, "--prompt-file", "p.txt", "--output", "s.jsonl", limit=None)
    assert_done(result)
    assert "2 of 2" in result.stdout
    assert (console.folder / "s.jsonl").read_bytes().startswith(content)
    assert SampleStore(console.folder / "s.jsonl").accepted == 2
    assert not calls.exists() or QUESTION not in calls.read_text()


def test_two_workspaces_fill_one_output_and_both_say_so(shared: Console, tmp_path: Path) -> None:
    output = tmp_path / "s.jsonl"
    environment = {**shared.environment, "KIMI_FAKE_SECONDS": "0.2", "KIMI_FAKE_WORKSPACE": str(tmp_path)}
    arguments = ["generate", "--dataset", "bundled", "--limit", "6", "--output", str(output)]
    processes = [
        subprocess.Popen(
            [str(PROGRAM), *arguments, "--workspace", str(tmp_path / name)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in processes:
        words, _ = process.communicate(timeout=SOON)
        assert process.returncode == ExitCode.DONE
        assert "6 of 6" in words
    done = samples_of(output)
    assert len(done) == len(set(done)) == 6


# The program


def install(console: Console, content: str, mode: int = 0o755) -> None:
    """Another ``kimi``, alone on the path."""
    folder = console.folder / "bin"
    folder.mkdir()
    (folder / "kimi").write_text(content)
    (folder / "kimi").chmod(mode)
    console.environment["PATH"] = f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("#!/bin/sh\necho 2.1.0\n", 0o644, ["bin/kimi", "chmod +x"]),
        ("#!/bin/sh\nexit 3\n", 0o755, ["bin/kimi", "--version", "3"]),
        ("#!/bin/sh\necho 'kimi, version 1.52.0'\n", 0o755, ["bin/kimi", "1.52.0", "archived", "kimi-code"]),
    ],
    ids=["not executable", "fails", "archived"],
)
def test_a_kimi_that_is_none(console: Console, content: str, mode: int, words: list[str]) -> None:
    install(console, content, mode)
    assert_refused(generate(console), ExitCode.NOT_READY, *words)


def test_advice_names_flags_that_are_there(console: Console, flags: set[str]) -> None:
    wrong = generate(console, "--model", "kimi-legacy")
    assert_refused(wrong, ExitCode.NOT_READY, "kimi-code 2.1.0", "not kimi-legacy")
    console.environment["PATH"] = "/usr/bin:/bin"
    missing = generate(console)
    assert_refused(missing, ExitCode.NOT_READY, "kimi", "PATH")
    assert set(re.findall(r"--[a-z][a-z-]+", wrong.stderr + missing.stderr)) <= flags


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("flood_errors", "16 MiB"), ("long_line", "16 MiB"), ("silent_end", "without an answer")],
)
def test_a_call_without_an_answer_says_why(console: Console, behaviour: str, words: str) -> None:
    (console.folder / "p.txt").write_text(f"{QUESTION}\n")
    (console.folder / "script").write_text("good\n")  # the canary
    console.environment |= {"KIMI_FAKE_SCRIPT": str(console.folder / "script"), "KIMI_FAKE_BEHAVIOUR": behaviour}
    few = ("--max-attempts", "1", "--silence-timeout", "3")
    result = generate(console, "--prompt-file", "p.txt", *few, limit=None)
    assert_refused(result, ExitCode.FAILED, "0 of 1", "set aside")
    assert words in result.stdout
    assert all(path.stat().st_size < 1 << 20 for path in (console.folder / "artifacts").rglob("*"))


# The endpoint


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--teacher-url", "nonsense", "--teacher-model", "m"], ExitCode.USAGE, ["teacher.url", "http"]),
        (["--teacher-url", "http://{place}", "--model", "kimi-cli"], ExitCode.USAGE, ["teacher.url", "kimi-cli"]),
        (["--teacher-url", "http://127.0.0.1:{closed}/v1"], ExitCode.NOT_READY, ["{closed}", "listens"]),
        (["--teacher-url", "https://{place}"], ExitCode.NOT_READY, ["https://{place}", "TLS", "http address"]),
    ],
    ids=["no address", "another teacher", "nobody there", "TLS to a plain server"],
)
def test_an_endpoint_that_cannot_be_asked(
    console: Console, arguments: list[str], code: ExitCode, words: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        closed = nobody.getsockname()[1]
    with ModelServer() as server:
        places = {"place": server.url.removeprefix("http://"), "closed": closed}
        result = generate(console, *(part.format(**places) for part in arguments))
        assert not server.requests
    assert_refused(result, code, *(word.format(**places) for word in words))


# Ends


def start(console: Console, *behaviours: str, seconds: str = "0") -> subprocess.Popen[str]:
    """A run whose teacher behaves in these ways, one call after the other; the last one stays."""
    (console.folder / "script").write_text("".join(f"{behaviour}\n" for behaviour in behaviours[:-1]))
    console.environment |= {
        "KIMI_FAKE_SCRIPT": str(console.folder / "script"),
        "KIMI_FAKE_BEHAVIOUR": behaviours[-1],
        "KIMI_FAKE_SECONDS": seconds,
    }
    return console.start("generate", "--dataset", "bundled", "--limit", "2")


def wait_for_spool(console: Console, words: str) -> None:
    """Wait until a call has said this."""
    deadline = time.monotonic() + SOON
    while not any(
        words in path.read_text() for path in console.folder.glob("artifacts/runs/*/spool/**/out") if path.exists()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_canary(console: Console) -> subprocess.Popen[str]:
    process = start(console, "hang")
    wait_for_spool(console, "version")
    return process


def waiting_for_quota(console: Console) -> subprocess.Popen[str]:
    process = start(console, "good", "quota")
    console.wait_for(lambda events: count(events, e.GenerationPaused) >= 1)
    return process


def in_flight(console: Console) -> subprocess.Popen[str]:
    process = start(console, "good", "hang")
    console.wait_for(lambda events: count(events, e.SampleRequested) >= 2)
    wait_for_spool(console, "version")
    return process


def with_a_grandchild(console: Console) -> subprocess.Popen[str]:
    """It is deaf to SIGTERM, and in a session of its own."""
    process = start(console, "good", "grandchild")
    wait_for_spool(console, "forked")
    return process


@pytest.mark.parametrize(
    ("begin", "twice"),
    [
        (in_canary, False),
        (waiting_for_quota, False),
        (in_flight, False),
        (in_flight, True),
        (with_a_grandchild, False),
        (with_a_grandchild, True),
    ],
)
def test_an_interrupt_ends_the_run_in_each_of_its_phases(
    console: Console, begin: Callable[[Console], subprocess.Popen[str]], twice: bool
) -> None:
    process = begin(console)
    process.send_signal(signal.SIGINT)
    if twice:
        process.send_signal(signal.SIGINT)
    assert process.wait(10) == ExitCode.INTERRUPTED
    console.wait_until_quiet()
    assert "Traceback" not in (console.folder / "output.txt").read_text()


# Where the words go, and what surrounds the run


@pytest.mark.parametrize(
    "redirection",
    [">&-", "| head -1", ">/dev/full"],
)
def test_words_that_nobody_can_read_end_no_run(console: Console, redirection: str) -> None:
    script = f'set -o pipefail; "{PROGRAM}" generate --dataset bundled --limit 2 {redirection}'
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=console.folder,
        env=console.environment,
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert result.returncode == ExitCode.DONE, result.stderr[-800:]
    assert "Traceback" not in result.stderr
    assert len(samples_of(console.samples)) == 2


def test_a_terminal_that_is_not_utf_8_ends_no_run(console: Console) -> None:
    console.environment["PYTHONIOENCODING"] = "ascii"
    assert_done(generate(console))
    assert_done(console.run("--status"))


@pytest.mark.parametrize("name", ["a b'c\"d\n\u00fc\u65e5[bold]%s".encode(), b"x" * 200])
def test_a_workspace_with_any_name(console: Console, name: bytes) -> None:
    folder = Path(os.fsdecode(os.fsencode(console.folder) + b"/" + name))
    folder.mkdir()
    arguments = [sys.executable, "-m", "hegelion_core.training.generator", "--dataset", "bundled", "--limit", "1"]
    result = subprocess.run(
        arguments, cwd=folder, env=console.environment, capture_output=True, text=True, timeout=SOON, check=False
    )
    assert_done(result)
    assert len(samples_of(folder / "artifacts" / "data" / console.samples.name)) == 1


def test_a_workspace_whose_name_is_not_utf_8_is_refused(console: Console) -> None:
    """Events and settings are JSON, which could not name it."""
    folder = Path(os.fsdecode(os.fsencode(console.folder) + b"/\xff\xfe"))
    folder.mkdir()
    result = console.run("generate", "--dataset", "bundled", "--workspace", str(folder))
    assert result.returncode == ExitCode.USAGE
    assert "the folder's name is not UTF-8" in result.stderr


def test_a_home_that_is_not_there_and_a_temporary_folder_in_a_repository(console: Console) -> None:
    """Kimi would read a repository's agent files, so it never works in one."""
    temporary = console.folder / "repository" / "tmp"
    (temporary.parent / ".git").mkdir(parents=True)
    temporary.mkdir()
    calls = console.folder / "calls"
    console.environment |= {"HOME": "/proc/nobody", "TMPDIR": str(temporary), "KIMI_FAKE_CALLS": str(calls)}
    assert_done(generate(console))
    for line in calls.read_text().splitlines():
        assert not json.loads(line)["folder"].startswith(str(temporary.parent))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("bomb", ["null", '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_a_data_set_that_would_kill_arrow_ends_in_clear_words(console: Console, bomb: str) -> None:
    (console.folder / "bomb.jsonl").write_text(f"{bomb}\n")
    result = console.run("generate", "--dataset", "bomb.jsonl", "--limit", "1")
    assert result.returncode == ExitCode.USAGE
    assert "Traceback" not in result.stderr
    assert "bomb.jsonl, line 1: is not a JSON object (" in result.stderr
    console.wait_until_quiet()
