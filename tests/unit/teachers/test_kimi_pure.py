"""Kimi without a process: what it prints, what its failures mean, how it is run, what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hegelion_core.dialectic import prompts, steps
from hegelion_core.settings import TeacherSettings
from hegelion_core.teachers import canary, kimi_output, kimi_program, kimi_sessions
from hegelion_core.teachers.faults import classify
from hegelion_core.teachers.kimi_output import Dialect
from hegelion_core.teachers.teacher import Call, FaultKind, TeacherFault
from hegelion_core.teachers.which_kimi import Kimi, read_version

PROGRAM = Path("kimi")


def code_error(message: str) -> str:
    return f"error: failed to run prompt: {message}\nSee log: kimi-code.log\n"


USAGE_LIMIT = "You've reached your usage limit for this billing cycle. It resets in 3 hours."
REVIEW = "Access terminated. Review our Community Guidelines."


@pytest.mark.parametrize(
    ("errors", "kind", "wait"),
    [
        ("No model configured. Run `kimi` and use /login to sign in, then retry", "not_logged_in", None),
        ("auth.login_required: please log in", "not_logged_in", None),
        ("auth.token_expired: token expired", "not_logged_in", None),
        ("auth.provisioning_required: finish the set-up", "not_logged_in", None),
        ("provider.auth_error: 401 Invalid Authentication", "not_logged_in", None),
        (f"provider.auth_error: 403 {USAGE_LIMIT}", "quota", 10_800),
        ("provider.auth_error: 403 You have used up your weekly quota", "quota", None),
        ("provider.auth_error: 403 Your 5-hour limit is reached, try again in 25 minutes", "quota", 1500),
        ("provider.auth_error: 403 access_terminated_error: usage limit reached", "quota", None),
        (f"provider.auth_error: 403 {REVIEW}", "terminated", None),
        ("provider.auth_error: 403 Forbidden", "not_logged_in", None),
        ("provider.rate_limit: 429 max RPM: 3, please try again after 2 seconds", "rate", 2),
        ("provider.rate_limit: 429 rate_limit_reached_error", "rate", None),
        ("provider.rate_limit: 429 Rate limit reached. Please try again in 7m12s.", "rate", 432),
        ("provider.rate_limit: 429 Your account is suspended, please check your plan and billing", "balance", None),
        ("provider.api_error: 429 insufficient_quota", "balance", None),
        ("provider.api_error: 429 exceeded_current_quota_error", "balance", None),
        ("provider.overloaded: 529 The engine is currently overloaded", "transient", None),
        ("provider.api_error: 502 Bad Gateway", "transient", None),
        ("provider.api_error: 500 Internal", "transient", None),
        ("provider.connection_error: terminated", "transient", None),
        ("provider.connection_error: Request timed out.", "transient", None),
        ("Provider safety policy blocked the response", "filtered", None),
        ("provider.api_error: 400 The request was rejected because it was considered high risk", "filtered", None),
        ("provider.context_overflow: maximum context length is 4096 tokens", "filtered", None),
        ("provider.api_error: 404 The model `x` does not exist", "protocol", None),
        ("Something nobody foresaw", "protocol", None),
    ],
)
def test_what_kimi_codes_failures_mean(errors: str, kind: FaultKind, wait: float | None) -> None:
    fault = classify("kimi-code", 1, "", code_error(errors))
    assert (fault.kind, fault.retry_after) == (kind, wait)
    assert errors[:30] in fault.message
    assert "error: failed to run" not in fault.message
    assert fault.hint


@pytest.mark.parametrize(
    ("code", "output", "kind"),
    [
        (1, "LLM not set", "not_logged_in"),
        (1, "Error code: 401 - {'error': {'type': 'invalid_authentication_error'}}", "not_logged_in"),
        # The program wraps its messages at 80 columns, in the middle of words.
        (
            1,
            "Error code: 403 - {'error': {'type': 'permission_error', 'message': \"You've reac\nhed your usage limit",
            "quota",
        ),
        (75, "Error code: 429 - {'error': {'type': 'rate_limit_reached_error'}}", "rate"),
        (75, "Error code: 403 - usage limit", "quota"),
        (75, "", "transient"),
        (75, "Connection error.", "transient"),
        (1, "", "protocol"),
        # What the model said before stands on the same output.
        (1, "There are 500 reasons.\nError code: 401 - no", "not_logged_in"),
    ],
)
def test_what_the_legacy_programs_failures_mean(code: int, output: str, kind: FaultKind) -> None:
    assert classify("kimi-legacy", code, output, "To resume this session: kimi -r 1").kind == kind


@pytest.mark.parametrize("code", [-9, -15, 129, 130, 137, 143])
def test_a_signal_is_transient(code: int) -> None:
    assert classify("kimi-code", code, "", "").kind == "transient"


def test_kimi_code_answers_on_its_output_are_no_errors() -> None:
    assert classify("kimi-code", 1, "429 rate limit usage limit", code_error("odd")).kind == "protocol"


def test_messages_cannot_steer_a_terminal() -> None:
    fault = classify("kimi-code", 1, "", code_error("\x1b[2Jodd failure\x07"))
    assert fault.message.endswith("odd failure")
    assert "\x1b" not in fault.message


@given(st.integers(-64, 255), st.text(), st.text(), st.sampled_from(["kimi-code", "kimi-legacy"]))
@example(75, "", "", "kimi-legacy")
def test_every_failure_has_a_class(code: int, output: str, errors: str, dialect: Dialect) -> None:
    assert classify(dialect, code, output, errors).message


# Output lines


VERSION = '{"role":"meta","type":"system.version","version":"2.1.0"}'
END = '{"role":"meta","type":"session.resume_hint","session_id":"s"}'


def test_each_kind_of_line() -> None:
    kinds = {
        VERSION: "version",
        END: "end",
        '{"role":"assistant","content":"hi"}': "text",
        '{"role":"assistant","content":"hi","tool_calls":[{"id":"1"}]}': "tool",
        '{"role":"assistant","content":[],"tool_calls":[]}': "text",
        '{"role":"tool","tool_call_id":"1","content":"x"}': "tool",
        '{"role":"meta","type":"new.thing"}': "other",
        '{"role":"user","content":"x"}': "other",
        "not JSON": "other",
        "[1]": "other",
        '{"role":"assistant","content":5}': "other",
    }
    assert {line: kimi_output.read_line(line).kind for line in kinds} == kinds


def test_a_retry_tells_its_delay() -> None:
    line = '{"role":"meta","type":"turn.step.retrying","delay_ms":1152000,"error_message":"429"}'
    assert kimi_output.read_line(line) == kimi_output.OutputLine("retry", "429", 1152.0)


def test_the_answer_is_the_line_with_the_trace() -> None:
    trace, hook = "<thought>x</thought> y", "A hook says hello."
    lines = [VERSION, json.dumps({"role": "assistant", "content": trace})]
    lines += [json.dumps({"role": "assistant", "content": hook}), END]
    output = kimi_output.read_lines("\n".join(lines) + "\n")
    assert kimi_output.answer_text(output) == trace
    assert kimi_output.session(output) == json.loads(END)["session_id"]
    assert kimi_output.session(kimi_output.read_lines("\n".join(lines))) is None  # a torn last line is not read
    assert kimi_output.answer_text([]) == ""


def test_thinking_is_no_answer() -> None:
    content = [{"type": "think", "think": "hm"}, {"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    assert kimi_output.read_line(json.dumps({"role": "assistant", "content": content})).text == "a b"


@given(st.text())
def test_any_line_can_be_read(line: str) -> None:
    kimi_output.read_lines(f"{line}\n")


# Which program


@pytest.mark.parametrize(
    ("text", "version", "dialect"),
    [
        ("2.1.0\n", "2.1.0", "kimi-code"),
        ("0.38.2", "0.38.2", "kimi-code"),
        ("warning: old Node\n2.1.0-beta.1\n", "2.1.0-beta.1", "kimi-code"),
        ("kimi, version 1.51.0\n", "1.51.0", "kimi-legacy"),
        ("kimi, version 1.9\n", "1.9", "kimi-legacy"),
    ],
)
def test_versions_tell_the_programs_apart(text: str, version: str, dialect: Dialect) -> None:
    assert read_version(PROGRAM, text) == Kimi(PROGRAM, version, dialect)


@pytest.mark.parametrize("text", ["kimi, version 1.52.0", "kimi, version 2.0.0", "kimi-cli has been archived."])
def test_an_archived_release_is_explained(text: str) -> None:
    with pytest.raises(TeacherFault, match="archived") as caught:
        read_version(PROGRAM, text)
    assert "@moonshot-ai/kimi-code" in caught.value.hint
    assert "1.51" in caught.value.hint


@pytest.mark.parametrize("text", ["", "\n", "hello"])
def test_an_unknown_program_is_refused(text: str) -> None:
    with pytest.raises(TeacherFault, match="no known Kimi"):
        read_version(PROGRAM, text)


# How it is run


def call(query: str) -> Call:
    return Call(call_id="c1", prompt_id="p-1", query=query, instance=1)


@pytest.mark.parametrize("dialect", ["kimi-code", "kimi-legacy"])
@pytest.mark.parametrize("query", ["/goal rm -rf ~", "-p", "--yolo", "\x00\ud800", "${HOME}"])
def test_a_row_is_never_first_and_never_an_option(dialect: Dialect, query: str) -> None:
    argv = kimi_program.command(Kimi(PROGRAM, "1", dialect), Path("agent"), TeacherSettings(), call(query))
    *options, text = argv
    assert options[-1] == "-p"
    assert text.startswith("Reason dialectically")
    assert not {"--yolo", "--auto", "--plan", "-y"} & set(options)
    assert "\x00" not in text
    text.encode()


def test_a_prompt_over_the_argument_limit_is_refused_openly() -> None:
    with pytest.raises(TeacherFault, match=r"200,\d\d\d bytes") as caught:
        kimi_program.command(Kimi(PROGRAM, "2", "kimi-code"), Path("agent"), TeacherSettings(), call("x" * 200_000))
    assert caught.value.kind == "filtered"


def test_the_model_alias_is_handed_on() -> None:
    argv = kimi_program.command(
        Kimi(PROGRAM, "2", "kimi-code"), Path("agent"), TeacherSettings(model="kimi-k2"), call("Why?")
    )
    assert argv[argv.index("--model") + 1] == "kimi-k2"


def test_the_environment_holds_no_secrets_but_kimis_own() -> None:
    given_ = {
        "PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "KIMI_API_KEY": "k", "https_proxy": "p",
        "AWS_SECRET_ACCESS_KEY": "s", "GITHUB_TOKEN": "t", "OPENAI_API_KEY": "o", "SSH_AUTH_SOCK": "a",
        "NODE_OPTIONS": "--require x", "PYTHONPATH": "p", "KIMI_LOOP_MAX_ATTEMPTS_PER_STEP": "10",
    }  # fmt: skip
    environment = kimi_program.child_environment(given_, TeacherSettings())
    assert {name for name in given_ if environment.get(name) == given_[name]} == {
        "PATH", "HOME", "LC_ALL", "KIMI_API_KEY", "https_proxy"
    }  # fmt: skip
    assert not {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "NODE_OPTIONS"} & set(environment)
    assert environment["KIMI_LOOP_MAX_ATTEMPTS_PER_STEP"] == "2"
    assert environment["KIMI_DISABLE_TELEMETRY"] == environment["KIMI_DISABLE_CRON"] == "1"


@pytest.mark.parametrize("dialect", ["kimi-code", "kimi-legacy"])
def test_the_agent_has_no_tools(tmp_path: Path, dialect: Dialect) -> None:
    text = kimi_program.write_agent(tmp_path / "agent", dialect, prompts.TEACHER_SYSTEM).read_text("utf-8")
    assert "tools: []" in text
    system = text if dialect == "kimi-code" else (tmp_path / "agent" / "system.md").read_text("utf-8")
    assert prompts.TEACHER_SYSTEM in system


def test_a_missing_login_shows_without_a_request(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    with pytest.raises(TeacherFault, match="no model configured") as caught:
        kimi_program.check_login("kimi-code", environment, None)
    assert caught.value.kind == "not_logged_in"
    assert "/login" in caught.value.hint
    kimi_program.check_login("kimi-code", {**environment, "KIMI_MODEL_NAME": "m"}, None)
    kimi_program.check_login("kimi-legacy", {**environment, "KIMI_API_KEY": "k"}, None)
    (tmp_path / ".kimi-code").mkdir()
    config = tmp_path / ".kimi-code" / "config.toml"
    config.write_text('default_model = "kimi"\n')
    kimi_program.check_login("kimi-code", environment, None)
    config.write_text("not [ toml")
    kimi_program.check_login("kimi-code", environment, None)


# What it leaves behind


CODE_WIRE = [
    b'{"type":"usage.record","usage":{"inputOther":1,"output":2}}',
    b'{"type":"x","event":{"type":"step.end","finishReason":"end_turn",'
    b'"usage":{"inputOther":100,"output":129,"inputCacheRead":7,"inputCacheCreation":1}}}',
    b"torn {",
]
LEGACY_WIRE = [
    b'{"timestamp":1,"message":{"type":"StatusUpdate","payload":{"token_usage":'
    b'{"input_other":100,"output":129,"input_cache_read":7,"input_cache_creation":1}}}}',
    b'{"timestamp":1,"message":{"type":"ContentPart","payload":{"type":"text","text":"x"}}}',
]


def test_token_counts_are_read_from_both_programs_sessions() -> None:
    assert kimi_sessions.read_usage(CODE_WIRE) == kimi_sessions.Usage(108, 129, False)
    assert kimi_sessions.read_usage(LEGACY_WIRE) == kimi_sessions.Usage(108, 129, False)
    assert kimi_sessions.read_usage([]) is None
    cut = [line.replace(b"end_turn", b"max_tokens") for line in CODE_WIRE]
    assert kimi_sessions.read_usage(cut) == kimi_sessions.Usage(108, 129, True)


def test_only_our_own_sessions_are_removed(tmp_path: Path) -> None:
    sessions = tmp_path / "sessions"
    ours = sessions / "wd_hegelion-abc-1_0123456789ab" / "session_1" / "agents" / "main"
    theirs = sessions / "wd_project_0123456789ab" / "session_2"
    marks = sessions / ".index-dirty"
    for folder in (ours, theirs, marks):
        folder.mkdir(parents=True)
    (marks / "session_1.5").touch()
    (marks / "session_2.5").touch()
    (ours / "wire.jsonl").write_bytes(b"\n".join(CODE_WIRE))
    workdir = Path("/somewhere/hegelion-abc-1")
    usage = kimi_sessions.usage_of(tmp_path, "kimi-code", workdir)
    assert usage == kimi_sessions.Usage(108, 129, False)
    kimi_sessions.remove(tmp_path, "kimi-code", workdir)
    kimi_sessions.remove(tmp_path, "kimi-code", Path("/somewhere/project"))
    assert sorted(path.name for path in sessions.iterdir()) == [".index-dirty", "wd_project_0123456789ab"]
    assert [path.name for path in marks.iterdir()] == ["session_2.5"]
    assert kimi_sessions.usage_of(tmp_path, "kimi-code", workdir) is None


@pytest.mark.parametrize("step", ["**THESIS:** It is so.", "**SYNTHESIS**: It is so.", "CRITIQUE: No.", "SCORE: 7"])
def test_a_step_of_a_dialogue_is_told_from_a_hooks_words(step: str) -> None:
    hook = "A hook says hello."
    lines = [json.dumps({"role": "assistant", "content": text}) for text in (step, hook)]
    assert kimi_output.answer_text(kimi_output.read_lines("\n".join([*lines, END, ""]))) == step


def test_the_canary_of_a_dialogue_is_another_one() -> None:
    kimi = Kimi(Path("kimi"), "2.1.0", "kimi-code")
    assert canary.name(kimi) != canary.name(kimi, step=True)
    assert canary.call().step is None
    asked = canary.call(step=True)
    assert asked.step is not None
    assert canary.QUERY in steps.user_text(asked.query, None, asked.step)
