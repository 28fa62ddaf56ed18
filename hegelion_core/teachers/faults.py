"""What a failed Kimi call means: from its exit code and words to a class with its own end. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hegelion_core.dialectic.parsing import clean
from hegelion_core.teachers.kimi_output import Dialect
from hegelion_core.teachers.teacher import FaultKind, TeacherFault

LEGACY_TRANSIENT = 75
"""The legacy program's exit code for what may work later."""
SIGNALS = {129, 130, 137, 143}

_MAX_MESSAGE = 300
_LOGIN = {
    "kimi-code": "Run 'kimi', enter /login and sign in; or set KIMI_MODEL_NAME, KIMI_MODEL_BASE_URL and "
    "KIMI_MODEL_API_KEY. '--teacher local' needs no account.",
    "kimi-legacy": "Run 'kimi', enter /setup and sign in; or set KIMI_API_KEY. '--teacher local' needs no account.",
}


@dataclass(frozen=True)
class _Rule:
    kind: FaultKind
    sign: re.Pattern[str]
    hint: str


def _rule(kind: FaultKind, sign: str, hint: str) -> _Rule:
    return _Rule(kind, re.compile(sign, re.IGNORECASE), hint)


# The first rule that matches decides: the same HTTP status, and even the same error type, stands for several things.
_RULES = (
    _rule(
        "not_logged_in",
        r"no model configured|llm (?:is )?not set|auth\.(?:login_required|token_\w+|provisioning_required)"
        r"|-32000|invalid_authentication|invalid authentication|incorrect api key|\b401\b|unauthorized",
        "",  # depends on the program
    ),
    _rule(
        "quota",
        r"usage limit|usage quota|billing cycle|(?:5-hour|five-hour|weekly|daily) (?:limit|quota|usage)",
        "The plan's quota is used up; it refills. Run the same command again later: it goes on where it was.",
    ),
    _rule(
        "terminated",
        r"access terminated|access_terminated_error|community guidelines",
        "The provider has closed this account's access. Nothing is tried again; write to the provider.",
    ),
    _rule(
        "balance",
        r"insufficient_quota|exceeded_current_quota|insufficient balance|account balance|out of credits"
        r"|suspended.{0,80}billing|check your plan and billing|recharge",
        "The account has no money left. Top it up, or use another teacher.",
    ),
    _rule(
        "rate",
        r"rate[_ ]limit|too many requests|max (?:rpm|tpm|concurrency|organization concurrency)|\b429\b",
        "Too many requests at once; they are spaced out. Fewer instances help: --instances 1.",
    ),
    _rule(
        "filtered",
        r"safety policy|content[_ ]filter|high risk|content_policy|context[_ ](?:length|overflow|window)"
        r"|maximum context|prompt is too long",
        "The provider does not take this prompt. It is set aside.",
    ),
    _rule(
        "transient",
        r"overloaded|connection_error|connection error|connection (?:refused|reset)|econn|enotfound|fetch failed"
        r"|timed? ?out|\b5(?:0[0-4]|20|2[2-9])\b|internal server error|service unavailable|bad gateway",
        "Usually over soon; it is tried again.",
    ),
    _rule(
        "protocol",
        r"env: .?node|node: not found|requires node|unsupported engine",
        "Kimi Code needs Node 22.19 or later on PATH.",
    ),
    _rule(
        "not_logged_in",
        r"\b403\b|provider\.auth_error|permission_error",
        "",
    ),
    _rule(
        "protocol",
        r"\b404\b|model.{0,40}(?:not found|does not exist|not exist)|unknown model",
        "Check the model's name: teacher.model, KIMI_MODEL_NAME, or Kimi's own configuration.",
    ),
)
_ERROR_LINE = re.compile(r"^.*(?:error|failed|denied|not set|limit|terminated).*$", re.IGNORECASE | re.MULTILINE)
_PREFIX = re.compile(r"^error: (?:failed to run prompt: )?", re.IGNORECASE)
_WAIT = re.compile(
    r"(?:after|in|within|wait)\s+(?:about\s+)?(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|days?)\b",
    re.IGNORECASE,
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def classify(dialect: Dialect, code: int, output: str, errors: str) -> TeacherFault:
    """The fault of a call that ended with ``code``, from what stood on standard output and standard error.

    Kimi Code tells errors on standard error; the legacy program prints a provider's on standard output.
    """
    words = errors if dialect == "kimi-code" else _unwrapped(f"{output}\n{errors}")
    for rule in _RULES:
        if rule.sign.search(words):
            message = _message(words, rule.sign)
            hint = rule.hint or _LOGIN[dialect]
            return TeacherFault(rule.kind, message, hint, _wait(words) if rule.kind in ("rate", "quota") else None)
    if code < 0 or code in SIGNALS:
        return TeacherFault("transient", f"kimi was ended by a signal (exit code {code}).", "It is tried again.")
    if dialect == "kimi-legacy" and code == LEGACY_TRANSIENT:
        return TeacherFault("transient", _message(words, _ERROR_LINE), "Usually over soon; it is tried again.")
    message = _message(words, _ERROR_LINE) or "it said nothing"
    return TeacherFault("protocol", f"kimi ended with exit code {code}: {message}", "Run kimi by hand to see more.")


def login_hint(dialect: Dialect) -> str:
    """How to sign in."""
    return _LOGIN[dialect]


def _message(words: str, sign: re.Pattern[str]) -> str:
    """The line that holds the sign, fit to be shown; else the first line that says anything."""
    lines = [line.strip() for line in clean(words).splitlines() if line.strip()]
    line = next((line for line in lines if sign.search(line)), lines[0] if lines else "")
    return _PREFIX.sub("", line)[:_MAX_MESSAGE]


def _unwrapped(words: str) -> str:
    """Without the line ends that the legacy program puts into a long message, in the middle of words."""
    return re.sub(r"(?<=[^\n]{76})\n", "", words)


def _wait(words: str) -> float | None:
    """Seconds that the provider names ("try again after 2 seconds", "resets in 3 hours"), else none."""
    found = _WAIT.search(words)
    return float(found[1]) * _UNITS[found[2][0].lower()] if found else None
