"""Credentials kept out of what is shown and written: by their values, where we know them, and by their form. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import quote

MARK = "[redacted]"
"""What stands in a credential's place."""

CREDENTIAL_NAME = re.compile(r"key|token|secret|passw|credential|auth|cookie", re.IGNORECASE)
"""Names of variables that look as if they hold a credential."""

MIN_LENGTH = 8
"""Characters of a value that is looked for; shorter ones (``true``, ``1``) stand in ordinary text."""
_UNMISTAKABLE = re.compile(r"(?=[^\d]*\d)\S+|\S{20,}")  # not AUTHOR=Dialectics, which answers may well speak of
_MIN_LINE = 20  # of a value in several lines, since logs show it line by line
_OURS = "HEGELION_"  # settings; none of them is a credential, though some name one

# A form is replaced as a whole, or after the part that it names. Everything repeated is bounded or cannot cross the
# character that begins it, so the time is linear; a key takes the whole run of letters, so a second pass finds no more.
# What has no digits must be longer than a word.
_KEY = r"(?:(?=[A-Za-z_*-]{0,200}\d)[\w*-]{8,}|[\w*-]{20,})"
_VALUE = r"(?:(?=[A-Za-z_.~+/*-]{0,200}\d)[\w.~+/*=-]{8,}|[\w.~+/*=-]{24,})"
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
    r"|(?<![A-Za-z0-9])(?:"
    r"(?:sk-|hf_|gsk_|xai-|npm_|nvapi-|pplx-|gh[pousr]_|github_pat_|glpat-|pypi-|xox[abeoprs]-|[spr]k_(?:live|test)_)"
    rf"{_KEY}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}[\w-]*|AIza[\w-]{30,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"  # a JSON web token
    r")"
    rf"|(?P<scheme>\b(?:Bearer|Basic)\s{{1,8}}){_VALUE}"
    r"|(?P<header>\b(?:x-)?(?:api|auth|access|secret)[-_]?(?:key|token)['\"]?\s{0,8}[:=]\s{0,8}['\"]?)"
    rf"{_VALUE}"
    r"|(?P<parameter>[?&][\w-]{0,40}(?:key|token|secret|passw|credential|sig|auth)[\w-]{0,40}=)[^&\s\"'<>#]+"
    r"|(?P<userinfo>://)[^/\s@\"'<>]+@",
    re.IGNORECASE | re.DOTALL,
)


_SIGNS = (
    *("sk-", "hf_", "gsk_", "xai-", "npm_", "nvapi-", "pplx-", "glpat-", "pypi-", "xox", "k_live", "k_test"),
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *("akia", "asia", "aiza", "eyj", "bearer", "basic", "key", "token", "secret", "passw", "credential", "sig", "auth"),
    *("://", "-----begin "),
)
"""What every form holds at least one of."""


class Redactor:
    """Replaces what is a credential, or looks like one, by ``MARK``; everything else stays as it is."""

    def __init__(self, environment: Mapping[str, str], named: Collection[str] = ()) -> None:
        """What is looked for.

        Args:
            environment: its values whose names match ``CREDENTIAL_NAME``, in any case of letters.
            named: variables of it that hold a credential, whatever their names are.
        """
        values = {form for value in _secrets(environment, named) for form in _spellings(value)}
        self._values = _any_of(values)
        self._own = {value.lower() for value in values if _UNMISTAKABLE.fullmatch(value)}
        self._unmistakable = _any_of(self._own)

    def known(self, text: str) -> str:
        """``text`` without the values that are looked for and are no words: for what must stay as it is otherwise.

        An answer may well show what a key looks like. The user's own never belongs into it.
        """
        return self._unmistakable.sub(MARK, text) if self._unmistakable is not None else text

    def growing(self, text: str) -> str:
        """``known`` of a text that is still being written: what may become such a value at its end is not shown yet."""
        text = self.known(text)
        lowered = text.lower()
        begun = (n for value in self._own for n in range(len(value) - 1, 2, -1) if lowered.endswith(value[:n]))
        return text[: len(text) - next(begun, 0)]

    def __call__(self, text: str) -> str:
        """``text`` without credentials."""
        if self._values is not None:
            text = self._values.sub(MARK, text)
        lowered = text.lower()
        # Hardly any line holds a form, and to look for what each must contain costs a fraction.
        if not any(sign in lowered for sign in _SIGNS):
            return text
        return _FORMS.sub(_masked, text)


def _any_of(values: Collection[str]) -> re.Pattern[str] | None:
    longest_first = sorted(values, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if values else None


def _secrets(environment: Mapping[str, str], named: Collection[str]) -> Iterator[str]:
    for name, value in environment.items():
        if name not in named and (not CREDENTIAL_NAME.search(name) or name.startswith(_OURS)):
            continue
        value = value.strip()
        if len(value) >= MIN_LENGTH and value.lower() not in MARK:
            yield value
        lines = value.splitlines()
        if len(lines) > 1:
            yield from (line.strip() for line in lines if len(line.strip()) >= _MIN_LINE)


def _spellings(value: str) -> set[str]:
    """The value as it is, in a URL and in JSON."""
    return {value, quote(value, safe="", errors="replace"), json.dumps(value)[1:-1]}


def _masked(found: re.Match[str]) -> str:
    kept = found.group(found.lastgroup) if found.lastgroup else ""
    return f"{kept}{MARK}{'@' if found.lastgroup == 'userinfo' else ''}"
