"""What a failed call means: from its words, its exit code or its HTTP status to a class with its own end. Pure.

One table of rules serves both Kimi programs, which tell what their provider said, and the providers themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from html import unescape

import msgspec

from hegelion_core.dialectic.parsing import clean
from hegelion_core.teachers import kimi_output
from hegelion_core.teachers.kimi_output import Dialect
from hegelion_core.teachers.retry_after import limit_reset, named_wait, retry_after
from hegelion_core.teachers.teacher import FaultKind, TeacherFault
from hegelion_core.unreadable import UNREADABLE

LEGACY_TRANSIENT = 75
"""The legacy program's exit code for what may work later."""
SIGNALS = {129, 130, 137, 143}

_MAX_MESSAGE = 300
_MAX_WORDS = 16 * 1024  # characters of an error that are looked at
_MAX_BODY = 64 * 1024  # characters of a body that are read
_MAX_DEPTH = 6
_TOLD = {"message", "msg", "detail", "error", "error_description", "error_message", "raw", "loc"}
_SOON = "Usually over soon; it is tried again."


@dataclass(frozen=True)
class Advice:
    """What to do, where it depends on the teacher."""

    login: str
    model: str
    """The model is not there."""
    missing: str
    """What was asked for is not there, and nobody says what."""


_KIMI_MODEL = "Check the model's name: teacher.model, KIMI_MODEL_NAME, or Kimi's own configuration."
_KIMI: dict[Dialect, Advice] = {
    "kimi-code": Advice(
        "Run 'kimi', enter /login and sign in; or set KIMI_MODEL_NAME, KIMI_MODEL_BASE_URL and "
        "KIMI_MODEL_API_KEY. '--teacher local' needs no account.",
        _KIMI_MODEL,
        _KIMI_MODEL,
    ),
    "kimi-legacy": Advice(
        "Run 'kimi', enter /setup and sign in; or set KIMI_API_KEY. '--teacher local' needs no account.",
        _KIMI_MODEL,
        _KIMI_MODEL,
    ),
}


@dataclass(frozen=True)
class HttpError:
    """An answer that is an error: its status, its body, its headers (names in any case), and when it came."""

    status: int
    body: str = ""
    headers: Mapping[str, str] | None = None
    now: float = 0.0
    """Unix time, for a wait that is told as a date; the server's own clock goes first."""


@dataclass(frozen=True)
class _Rule:
    kind: FaultKind
    sign: re.Pattern[str]
    hint: str
    """``{login}``, ``{model}`` and ``{missing}`` stand for the teacher's own advice."""
    statuses: frozenset[int] = frozenset()

    def holds(self, words: str, statuses: Set[int]) -> bool:
        return not self.statuses.isdisjoint(statuses) or self.sign.search(words) is not None


def _rule(kind: FaultKind, sign: str, hint: str, *statuses: int) -> _Rule:
    return _Rule(kind, re.compile(sign, re.IGNORECASE), hint, frozenset(statuses))


# The first rule that holds decides: the same HTTP status, and even the same error type, stands for several things.
_RULES = (
    _rule(
        "not_logged_in",
        r"no model configured|llm (?:is )?not set|auth\.(?:login_required|token_\w+|provisioning_required)"
        r"|-32000|invalid[_ ]authentication|(?:incorrect|invalid)[_ ]api[_ ]key|unauthorized"
        r"|no credential configured|refresh token was already used|re-?login required|run /login",
        "{login}",
        401,
    ),
    _rule(
        "quota",
        r"usage limit|usage quota|billing cycle|(?:5-hour|five-hour|weekly|daily) (?:limit|quota|usage)",
        "The plan's quota is used up; it refills. Run the same command again later: it goes on where it was.",
    ),
    _rule(
        "terminated",
        r"access terminated|access_terminated_error|community guidelines"
        r"|account.{0,40}(?:deactivated|disabled|banned|flagged)",
        "The provider has closed this account's access. Nothing is tried again; write to the provider.",
    ),
    _rule(
        "rate",  # said with the words of an empty account, but over in a minute
        r"(?:requests|tokens) ?per ?(?:minute|second)",
        "Too many requests at once; they are spaced out. Fewer instances help: --instances 1.",
    ),
    _rule(
        "balance",
        r"insufficient[_ ]quota|exceeded[_ ](?:your[_ ])?current[_ ]quota|insufficient[_ ](?:account[_ ])?balance"
        r"|account balance|out of credits|insufficient credits|suspended.{0,80}billing|check your plan and billing"
        r"|billing_hard_limit|billing_not_active|recharge|\u4f59\u989d\u4e0d\u8db3",  # "the balance does not suffice"
        "The account has no money left. Top it up, or use another teacher.",
        402,
    ),
    _rule(
        "rate",
        r"rate[_ ]limit|too many requests|max (?:rpm|tpm|concurrency|organization concurrency)",
        "Too many requests at once; they are spaced out. Fewer instances help: --instances 1.",
        429,
    ),
    _rule(
        "protocol",
        r"max_(?:completion_|new_)?tokens\b.{0,60}(?:too large|at most|less than|exceed|greater than|must be|invalid)"
        r"|\d in the completion\b",  # of a context that is too small for both: nearly always this part is the larger
        "Lower teacher.max_new_tokens, or leave it out.",
    ),
    _rule(
        "filtered",
        r"safety (?:policy|system)|content[_ ]?(?:filter|policy|management)|content exists risk|high risk"
        r"|data_?inspection_?failed|responsible ?ai|prohibited_content"
        r"|(?:input|prompt|content|message|request)\b.{0,40}\bflagged"
        r"|context[_ ](?:length|overflow|window)|maximum context|(?:prompt|input|request) is too (?:long|large)"
        r"|too many (?:input )?tokens|exceeded model token limit",
        "The provider does not take this prompt. It is set aside.",
        413,
        451,
    ),
    _rule(
        "transient",
        r"overloaded|connection_error|connection error|connection (?:refused|reset)|econn|enotfound|fetch failed"
        r"|timed? ?out|internal server error|service unavailable|bad gateway|at capacity"
        r"|empty response|only thinking content|oauth refresh lock",
        _SOON,
        *(408, 425, *range(500, 600)),
    ),
    _rule(
        "protocol",
        r"env: .?node|node: not found|requires node|unsupported engine",
        "Kimi Code needs Node 22.19 or later on PATH.",
    ),
    _rule(
        "protocol",
        r"model.{0,80}(?:not found|(?:does )?not exist|not supported|is not available)|not found the model"
        r"|unknown model|(?:invalid|no such|not a valid) model\b|model_not_found|access to (?:the )?model",
        "{model}",
    ),
    _rule(
        "protocol",
        r"unsupported[_ ](?:parameter|value)|unrecognized request argument|unknown (?:parameter|field|name)"
        r"|extra inputs are not permitted|unexpected keyword|(?:temperature|top_p|thinking).{0,80}"
        r"(?:not supported|not allowed|only|must be|should be|invalid)",
        "Leave that setting out: teacher.temperature, teacher.top_p, teacher.thinking or teacher.max_new_tokens.",
    ),
    _rule("not_logged_in", r"provider\.auth_error|permission_error", "{login}", 403),
    _rule("protocol", r"(?!)", "{missing}", 404, 405),
)
_ERROR_LINE = re.compile(r"^.*(?:error|failed|denied|not set|limit|terminated).*$", re.IGNORECASE | re.MULTILINE)
_PREFIX = re.compile(r"^error: (?:failed to run prompt: )?", re.IGNORECASE)
_STATUS = re.compile(r"\b(4(?:0\d|1\d|2\d|51)|5(?:0\d|2\d|30))\b")


def classify(dialect: Dialect, code: int, output: str, errors: str) -> TeacherFault:
    """The fault of a Kimi call that ended with ``code``, from what stood on standard output and standard error.

    Kimi Code tells errors on standard error; the legacy program prints a provider's on standard output.
    """
    words = _told(errors) if dialect == "kimi-code" else _unwrapped(f"{_told(output)}\n{_told(errors)}")
    statuses = {int(number) for number in _STATUS.findall(words)}
    ended = f"kimi ended with exit code {code}"
    if (rule := _first(words, statuses)) is not None:
        wait = named_wait(words) if rule.kind in ("rate", "quota") else None
        message = _message(words, rule.sign, _STATUS) or f"{ended}."
        return TeacherFault(rule.kind, message, _hint(rule, _KIMI[dialect]), wait)
    if code < 0 or code in SIGNALS:
        return TeacherFault("transient", f"kimi was ended by a signal (exit code {code}).", "It is tried again.")
    if dialect == "kimi-legacy" and code == LEGACY_TRANSIENT:
        return TeacherFault("transient", _message(words, _ERROR_LINE) or f"{ended}.", _SOON)
    message = _message(words, _ERROR_LINE) or "it said nothing"
    return TeacherFault("protocol", f"{ended}: {message}", "Run kimi by hand to see more.")


def classify_retry(message: str, status: int | None, delay: float | None) -> TeacherFault:
    """The fault behind Kimi Code's word that it would try again by itself, in ``delay`` seconds."""
    fault = classify("kimi-code", 1, "", f"{status or ''} {message}")
    fault.retry_after = delay
    return fault


def classify_http(error: HttpError, who: str, advice: Advice) -> TeacherFault:
    """The fault of a request that was answered with an error.

    Args:
        error: the answer.
        who: the endpoint, as the message names it.
        advice: what to do, where it depends on the endpoint.
    """
    page = _is_page(error.body)
    shown, words = (_page_title(error.body),) * 2 if page else _said(error.body)
    rule = _first(words, {error.status})
    message = f"{who} answered {error.status}: {_short(shown) or 'no reason given'}"
    if page and (rule is None or rule.kind in ("not_logged_in", "protocol")):
        hint = "A web page answered, so a proxy, a firewall or a wrong address: check teacher.url and the network."
        return TeacherFault("protocol", message, hint)
    if rule is None:
        return TeacherFault("protocol", message, "Check teacher.url, teacher.model and the other teacher settings.")
    return TeacherFault(rule.kind, message, _hint(rule, advice), _wait(rule.kind, words, error))


def login_hint(dialect: Dialect) -> str:
    """How to sign in."""
    return _KIMI[dialect].login


def _first(words: str, statuses: Set[int]) -> _Rule | None:
    words = words[:_MAX_WORDS]
    return next((rule for rule in _RULES if rule.holds(words, statuses)), None)


def _hint(rule: _Rule, advice: Advice) -> str:
    return rule.hint.format(login=advice.login, model=advice.model, missing=advice.missing)


def _wait(kind: FaultKind, words: str, error: HttpError) -> float | None:
    """Seconds to wait: as the headers tell, as the words tell, or until the limit's own reset."""
    if kind not in ("rate", "quota", "transient"):
        return None
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if (wait := retry_after(headers, error.now)) is not None or kind == "transient":
        return wait
    wait = named_wait(words[:_MAX_WORDS])
    return limit_reset(headers, error.now) if wait is None else wait


# What was said


def _message(words: str, *signs: re.Pattern[str]) -> str:
    """The line that holds a sign, fit to be shown; else the first line that says anything."""
    lines = [line.strip() for line in clean(words).splitlines() if line.strip()]
    marked = (line for sign in signs for line in lines if sign.search(line))
    return _PREFIX.sub("", next(marked, lines[0] if lines else ""))[:_MAX_MESSAGE]


def _told(output: str) -> str:
    """What a program says of itself: not the answer, which may speak of anything, nor where its log or session is."""
    lines = (line for line in output.split("\n") if kimi_output.read_line(line).kind == "other")
    return "\n".join(line for line in lines if not line.startswith(("See log:", "To resume this session:")))


def _unwrapped(words: str) -> str:
    """Without the line ends that the legacy program puts into a long message, in the middle of words."""
    return re.sub(r"(?<=[^\n]{76})\n", "", words)


def _short(words: str) -> str:
    return " ".join(clean(words).split())[:_MAX_MESSAGE]


def _said(body: str) -> tuple[str, str]:
    """What a body tells people, and all of its texts; one that is no JSON tells itself."""
    body = body[:_MAX_BODY]
    try:
        found: object = msgspec.json.decode(body.encode("utf-8", "replace"))
    except UNREADABLE:
        return body, body
    texts = list(_texts(found))
    words = " ".join(text for _, text in texts)
    return " ".join(dict.fromkeys(text for name, text in texts if name in _TOLD)) or words, words


def _texts(value: object, name: str = "error", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each text in a JSON value with the name that it stands under."""
    if isinstance(value, str) and value.strip():
        yield name, value
    elif depth > _MAX_DEPTH:
        return
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(part, str(key), depth + 1)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, name, depth + 1)


def _is_page(body: str) -> bool:
    return re.match(r"\s*(?:<!doctype|<html|<head|<\?xml|<body|<center|<h1)", body, re.IGNORECASE) is not None


def _page_title(body: str) -> str:
    """What a web page says: its title or first heading, else its first words."""
    body = body[:_MAX_WORDS]
    for tag in ("title", "h1"):
        if (found := re.search(rf"<{tag}[^>]*>([^<]*)", body, re.IGNORECASE)) is not None and found[1].strip():
            return unescape(found[1])
    return unescape(re.sub(r"<[^<>]*>", " ", body))[:100]
