"""Credentials do not get out, and nothing else is touched."""

from __future__ import annotations

import json
import string
import time
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hegelion_core import jobs
from hegelion_core.redaction import MARK, Redactor

ENVIRONMENT = {"OPENAI_API_KEY": "zq-Own.value/77!x", "PATH": "/usr/local/bin", "KEYMAP": "us", "USER": "somebody"}
redact = Redactor(ENVIRONMENT)

LETTERS = string.ascii_letters + string.digits
# Values without brackets: one that is made of the mark's own characters would stand in the mark.
SECRETS = st.text(string.ascii_letters + string.digits + "-_.+/=!#$%&*~^", min_size=8, max_size=80)
PUNCTUATION = st.text(" \t\n.,;:!?'\"(){}<>|`=@/\\", max_size=5)


def _form(prefix: str, length: int, alphabet: str = LETTERS) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=length, max_size=length + 30).map(lambda rest: prefix + rest)


FORMS = st.one_of(
    _form("sk-", 24),
    _form("sk-proj-", 24, LETTERS + "-_"),
    _form("hf_", 20),
    _form("ghp_", 36),
    _form("gsk_", 20),
    _form("AKIA", 16, string.ascii_uppercase + string.digits).map(lambda key: key[:20]),
    st.tuples(_form("eyJ", 16), _form("", 20), _form("", 20)).map(".".join),
)


@given(SECRETS, PUNCTUATION, PUNCTUATION, st.sampled_from([str, str.upper, str.lower, str.swapcase]))
def test_no_value_of_a_credentials_variable_survives(secret: str, before: str, after: str, case: type[str]) -> None:
    for name in ("OPENAI_API_KEY", "my_token", "DB_PASSWORD", "AUTH_COOKIE"):
        said = Redactor({name: secret})(f"It said{before}{case(secret)}{after}and no more.")
        assert secret.lower() not in said.lower()
        assert MARK in said


@given(FORMS, PUNCTUATION, PUNCTUATION)
def test_nothing_of_a_keys_form_survives(key: str, before: str, after: str) -> None:
    said = redact(f"Incorrect key provided: {before}{key}{after} end")
    assert key not in said
    assert key[8:20] not in said
    assert said.endswith("end")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc123def456", f"Authorization: Bearer {MARK}"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", f"Authorization: Basic {MARK}"),
        ('{"api_key": "0a1b2c3d4e5f"}', f'{{"api_key": "{MARK}"}}'),
        ("x-api-key: 0a1b2c3d4e5f", f"x-api-key: {MARK}"),
        ("https://host/v1?key=AbC-1.2&alt=sse", f"https://host/v1?key={MARK}&alt=sse"),
        ("https://host/v1?alt=sse&access_token=x", f"https://host/v1?alt=sse&access_token={MARK}"),
        ("http://me:hunter2@host:8/v1 refused", f"http://{MARK}@host:8/v1 refused"),
        ("Incorrect API key provided: sk-proj-ab12****wxyz.", f"Incorrect API key provided: {MARK}."),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----, done",
            f"{MARK}, done",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE, cut off", MARK),
        (f"it was {quote(ENVIRONMENT['OPENAI_API_KEY'], safe='')}", f"it was {MARK}"),
    ],
)
def test_where_credentials_stand(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_value_of_several_lines_is_found_in_json_and_line_by_line() -> None:
    value = "first line of a long secret\nsecond line of a long secret"
    hide = Redactor({"SERVICE_CREDENTIALS": value})
    assert "secret" not in hide(f"a {value} b")
    assert "secret" not in hide(f"a {json.dumps(value)} b")
    assert hide("a second line of a long secret b") == f"a {MARK} b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Your account reached max RPM: 3, please try again after 2 seconds",
        "Missing bearer authentication in header. Bearer of good news; basic understanding of tokens.",
        "The task-oriented risk-averse desk-bound clerk scored 7/10; ask-me-anything-whenever-you-like.",
        "**THESIS**: The key = the lock? Then token: a sign, and secret: what nobody says.",
        "https://host/v1/models?limit=20&after=x and mailto someone@example.org",
        "Set OPENAI_API_KEY to the endpoint's key (teacher.key_variable).",
        "Le mot de passe, c'est la clé : une idée. 钥匙 \u00e9\U0001f600",
        "import sk-learn, hf_hub_download, then pypi-server; basic-auth is off",
    ],
)
def test_ordinary_text_is_untouched(text: str) -> None:
    assert redact(text) == text


@given(st.text(st.characters(categories=["L", "Zs", "Po"]), max_size=200))
def test_prose_is_untouched(text: str) -> None:
    words = " ".join(word for word in text.split() if len(word) < 20 and "/" not in word and "@" not in word)
    assert Redactor({})(words) == words


def test_short_values_and_our_own_settings_are_no_credentials() -> None:
    hide = Redactor(
        {"TOKENIZERS_PARALLELISM": "false", "HEGELION_TEACHER_KEY_VARIABLE": "MY_OWN_KEY", "AUTH": "redacted"}
    )
    text = "false, MY_OWN_KEY, [redacted]"
    assert hide(text) == text


@given(st.text(max_size=300) | st.lists(FORMS | PUNCTUATION | SECRETS, max_size=8).map("".join))
@example("sk-[redacted]abcdefgh12")
@example("://a@b@c")
@example("?key=?key=1")
@example("Bearer Bearer abc123456789")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "unit",
    [
        "sk-",
        "Bearer ",
        "://",
        "?key",
        "eyJ",
        "eyJaaaaaaaa.",
        "-----BEGIN PRIVATE KEY-----",
        "a",
        "api_key=",
        "&a-",
        "1",
        "zq-Own",
    ],
)
def test_the_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        best = float("inf")
        for _ in range(5):
            begun = time.process_time()
            redact(text)
            best = min(best, time.process_time() - begun)
        return best

    assert seconds(400_000) < max(0.1, 50 * seconds(40_000))  # quadratic: 100 times as long


NAMES = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "MY_", "x", "AWS_"]),
        st.sampled_from(["API_KEY", "Token", "secret", "PASSWORD", "passwd", "Credentials", "AUTH", "cookie"]),
        st.sampled_from(["", "_ID", "2", "_FILE"]),
    ),
)


@given(st.dictionaries(NAMES, SECRETS, min_size=1, max_size=4), st.text(max_size=30))
def test_whatever_it_is_called_it_goes_and_workers_do_not_get_it(environment: dict[str, str], around: str) -> None:
    hide = Redactor({**environment, "PATH": "/bin"})
    for value in environment.values():
        text = f"{around}{value}{around}"
        assert value not in hide(text) or value.lower() in MARK
        if any(character.isdigit() for character in value):
            assert value not in hide.known(text) or value.lower() in MARK
    assert set(jobs.environment({**environment, "PATH": "/bin"}, "")) == {"PATH"}


@given(SECRETS.filter(lambda value: any(character.isdigit() for character in value)))
def test_a_variable_that_is_named_is_one(value: str) -> None:
    environment = {"MY_ENDPOINT": value}
    assert Redactor(environment)("") == ""
    assert value not in Redactor(environment, ("MY_ENDPOINT",)).known(f"It is {value}.")
    assert jobs.environment(environment, "MY_ENDPOINT") == {}


@given(st.text(max_size=200))
@example("A key looks like sk-abcdefghijklmnop1234, and AUTHOR is Dialectics.")
def test_an_answer_keeps_all_but_what_is_known(text: str) -> None:
    hide = Redactor({"AUTHOR": "Dialectics", "A_TOKEN": "swordfish-4711"})
    assert "swordfish-4711" in text.lower() or hide.known(text) == text
