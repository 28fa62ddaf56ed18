"""When a provider says to come back: from its headers and its words to seconds. Pure."""

from __future__ import annotations

import email.utils
import math
import re
from collections.abc import Mapping
from datetime import UTC

MAX_WAIT = 30 * 86_400.0
"""Seconds; a provider that names a longer wait is not believed."""

_UNITS = {"ms": 0.001, "mil": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_AMOUNT = (
    r"\d{1,12}(?:\.\d{1,9})?\s?"
    r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
)
_NAMED = re.compile(
    rf"(?:after|in|within|wait)\s+(?:about\s+)?({_AMOUNT}(?:(?:,|\s|and){{0,4}}{_AMOUNT}){{0,4}})", re.IGNORECASE
)
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s?(ms|mil|s|m|h|d)", re.IGNORECASE)


def named_wait(words: str) -> float | None:
    """Seconds that the words name ("try again after 2 seconds", "in 7m12s", "resets in 3 hours"), else none."""
    found = _NAMED.search(words)
    return _duration(found[1]) if found else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that ``retry-after-ms`` or ``retry-after`` (seconds or a date) name, else none.

    Args:
        headers: names in lower case. Their ``date``, the server's clock, goes before ``now``.
        now: Unix time.
    """
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return _believed(milliseconds / 1000)
    return _moment(headers.get("retry-after", ""), _clock(headers, now))


def limit_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the limits that are used up are free again, by ``x-ratelimit-reset...``; else none.

    Where no ``x-ratelimit-remaining...`` says which are used up, all of them count. Arguments as for ``retry_after``.
    """
    prefix = "x-ratelimit-reset"
    clock = _clock(headers, now)
    waits = {
        name.removeprefix(prefix): _moment(text, clock) for name, text in headers.items() if name.startswith(prefix)
    }
    used_up = {name for name in waits if _number(headers.get(f"x-ratelimit-remaining{name}", "")) == 0}
    return max((wait for name, wait in waits.items() if wait is not None and name in (used_up or waits)), default=None)


def _clock(headers: Mapping[str, str], now: float) -> float:
    date = _date(headers.get("date", ""))
    return now if date is None else date


def _moment(text: str, now: float) -> float | None:
    """Seconds until a moment, which is told as seconds, a duration, a date, or Unix time in seconds or milliseconds."""
    if (number := _number(text)) is not None:
        if number < 1e9:
            return _believed(number)
        return _believed(max(0.0, number / (1000 if number > 1e11 else 1) - now))
    if (date := _date(text)) is not None:
        return _believed(max(0.0, date - now))
    return _duration(text)


def _duration(text: str) -> float | None:
    """``7m12s``, ``17ms``, ``2 hours and 5 minutes``, in seconds."""
    parts = _PART.findall(text)
    return _believed(sum(float(amount) * _UNITS[unit.lower()] for amount, unit in parts)) if parts else None


def _believed(seconds: float) -> float | None:
    return round(seconds, 3) if math.isfinite(seconds) and 0 <= seconds <= MAX_WAIT else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,15}(?:\.\d{1,9})?", text.strip(), re.ASCII) else None


def _date(text: str) -> float | None:
    """Unix time of an HTTP date."""
    try:
        date = email.utils.parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
