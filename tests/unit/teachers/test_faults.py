"""What an endpoint's errors mean, and when it says to come back."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.teachers.faults import Advice, HttpError, classify_http
from hegelion_core.teachers.retry_after import MAX_WAIT, limit_reset, named_wait, retry_after
from hegelion_core.teachers.teacher import FaultKind, TeacherFault

ADVICE = Advice(login="LOGIN", model="MODEL", missing="MISSING")
NOW = 1_795_000_000.0


def judge(status: int, body: object, headers: dict[str, str] | None = None) -> TeacherFault:
    text = body if isinstance(body, str) else json.dumps(body)
    return classify_http(HttpError(status, text, headers, NOW), "host", ADVICE)


def error(message: str, **more: object) -> dict[str, object]:
    return {"error": {"message": message, **more}}


OPENAI_QUOTA = "You exceeded your current quota, please check your plan and billing details."
COMPLETION = "maximum context length is 4096 tokens. You requested 9000 (1000 in the messages, 8000 in the completion)."


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, error("Incorrect API key provided"), "not_logged_in"),
        (401, "", "not_logged_in"),
        (400, error("API key not valid", code="invalid_api_key"), "not_logged_in"),
        # One status, several ends.
        (
            403,
            error("You've reached your usage limit for this billing cycle.", type="access_terminated_error"),
            "quota",
        ),
        (
            403,
            error("Access terminated. Review our Community Guidelines.", type="access_terminated_error"),
            "terminated",
        ),
        (403, error("Your account has been flagged for potential abuse"), "terminated"),
        (403, error('Your chosen model requires moderation and your input was flagged for "x"'), "filtered"),
        (403, error("Forbidden"), "not_logged_in"),
        (403, error("Project `p` does not have access to model `m`", code="model_not_found"), "protocol"),
        (402, error("Insufficient Balance"), "balance"),
        (402, "", "balance"),
        (429, error(OPENAI_QUOTA, type="insufficient_quota", code="insufficient_quota"), "balance"),
        (429, error("suspended", type="exceeded_current_quota_error"), "balance"),
        (429, {"error": {"code": "1113", "message": "\u4f59\u989d\u4e0d\u8db3"}}, "balance"),
        (429, [error(f"{OPENAI_QUOTA} GenerateRequestsPerMinutePerProjectPerModel")], "rate"),
        (429, error("Your account reached max RPM: 3, please try again after 2 seconds"), "rate"),
        (429, error("You have reached your weekly limit"), "quota"),
        (429, "", "rate"),
        (413, "", "filtered"),
        (400, error("x", code="context_length_exceeded"), "filtered"),
        (400, error(COMPLETION), "protocol"),
        (400, error("max_tokens is too large: 9000. This model supports at most 4096."), "protocol"),
        (400, error("Content Exists Risk"), "filtered"),
        (400, error("The request was rejected because it was considered high risk"), "filtered"),
        (400, error("x", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), "filtered"),
        (400, error("Model Not Exist"), "protocol"),
        (404, error("The model `m` does not exist"), "protocol"),
        (404, {"detail": "Not Found"}, "protocol"),
        (422, {"detail": [{"loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]}, "protocol"),
        (400, {}, "protocol"),
        (408, "", "transient"),
        (500, error("The server had an error"), "transient"),
        (503, {"message": "no healthy upstream"}, "transient"),
        (529, error("Overloaded"), "transient"),
        (599, "", "transient"),
        (200, error("Provider returned error", metadata={"raw": "Rate limit exceeded"}), "rate"),
        # Pages of something in between.
        (502, "<html><head><title>502 Bad Gateway</title></head>", "transient"),
        (403, "<!DOCTYPE html><title>Attention Required!</title>", "protocol"),
        (401, "<html><title>Proxy login</title>", "protocol"),
        (404, "<html><h1>Not Found</h1>", "protocol"),
        (200, "<html><body>Welcome to the <b>hotel</b>", "protocol"),
    ],
)
def test_what_errors_mean(status: int, body: object, kind: FaultKind) -> None:
    fault = judge(status, body)
    assert fault.kind == kind
    assert fault.message.startswith(f"host answered {status}: ")
    assert fault.hint
    assert "<" not in fault.message


def test_the_message_is_what_is_told_in_one_short_line() -> None:
    body = error("No\n such \x1b[2Jkey" + "!" * 900, type="odd_error", code="odd", param=None)
    message = judge(400, body).message
    assert message.startswith("host answered 400: No such [2Jkey!!!")
    assert "odd_error" not in message
    assert len(message) < 350
    assert judge(404, "<html>\n<head><title>\n Not &amp; here\n</title>").message == "host answered 404: Not & here"
    where = judge(422, {"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}]})
    assert where.message == "host answered 422: body model Field required"


def test_the_advice_is_the_teachers() -> None:
    assert judge(401, "").hint == "LOGIN"
    assert judge(404, error("The model `m` does not exist")).hint == "MODEL"
    assert judge(404, "").hint == "MISSING"
    assert "web page" in judge(404, "<html>").hint


@given(
    st.integers(-1, 1000) | st.sampled_from([200, 400, 401, 403, 404, 429, 500]),
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["error", "message", "code", "detail", "x"]), inner, max_size=4)
        ),
    ).map(json.dumps),
    st.dictionaries(
        st.sampled_from(["Retry-After", "retry-after-ms", "Date", "X-RateLimit-Reset", "x-ratelimit-reset-tokens"]),
        st.text() | st.sampled_from(["9" * 400, "-1", "1e9", "nan", "inf", "0", "6m0s", "Wed, 99 Foo 2026", "\u0663"]),
    ),
)
def test_every_error_has_a_class(status: int, body: str, headers: dict[str, str]) -> None:
    fault = classify_http(HttpError(status, body, headers, NOW), "host", ADVICE)
    assert fault.message
    assert fault.hint
    assert "\n" not in fault.message
    assert fault.retry_after is None or 0 <= fault.retry_after <= MAX_WAIT


@pytest.mark.parametrize(
    "body", ["[" * 100_000, "<" * 100_000, '{"error":' * 20_000, "max_tokens " * 10_000, "model " * 20_000]
)
def test_a_hostile_body_costs_little(body: str) -> None:
    assert judge(400, body).kind == "protocol"


# When to come back


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("please try again after 2 seconds", 2),
        ("Please try again in 20s.", 20),
        ("Please try again in 7m12s. Visit", 432),
        ("Please retry in 38.5s.", 38.5),
        ("try again in 120ms", 0.12),
        ("It resets in 3 hours.", 10_800),
        ("resets in 2 hours and 5 minutes", 7500),
        ("wait about 1 day", 86_400),
        ("in 5 stages", None),
        ("in 400 days", None),
        ("Limit 3 / min", None),
        ("", None),
    ],
)
def test_a_wait_in_words(words: str, seconds: float | None) -> None:
    assert named_wait(words) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": formatdate(NOW + 60, usegmt=True)}, 60),
        ({"retry-after": formatdate(NOW - 60, usegmt=True)}, 0),
        # The server's clock is ten minutes ahead of ours.
        ({"retry-after": formatdate(NOW + 660, usegmt=True), "date": formatdate(NOW + 600, usegmt=True)}, 60),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": str(10**8)}, None),
        ({}, None),
    ],
)
def test_a_wait_in_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-remaining-tokens": "50",
            },
            1,
        ),
        ({"x-ratelimit-reset": str(int(NOW) + 30)}, 30),
        ({"x-ratelimit-reset": str(int(NOW + 30) * 1000)}, 30),
        ({"x-ratelimit-reset": "59"}, 59),
        ({"x-ratelimit-reset": "whenever"}, None),
        ({}, None),
    ],
)
def test_the_reset_of_a_limit(headers: dict[str, str], seconds: float | None) -> None:
    assert limit_reset(headers, NOW) == seconds


def test_which_wait_goes_first() -> None:
    words = error("Rate limit reached. Please try again in 20s.")
    reset = {"X-RateLimit-Reset-Requests": "90s"}
    assert judge(429, words, {"Retry-After": "7", **reset}).retry_after == 7
    assert judge(429, words, reset).retry_after == 20
    assert judge(429, error("Rate limit reached."), reset).retry_after == 90
    assert judge(503, error("try again in 20s"), {"Retry-After": "7"}).retry_after == 7
    assert judge(503, error("try again in 20s"), reset).retry_after is None
    assert judge(401, "", {"Retry-After": "7"}).retry_after is None
