"""Which endpoint is asked, with which key, and why it cannot be reached. Pure."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from hegelion_core.settings import BASE_URL, TeacherSettings
from hegelion_core.teachers.teacher import TeacherFault

NO_KEY = "none"
"""What a server on this machine or in this house is sent where no key is set; such servers look at none."""
_COMMON = "OPENAI_API_KEY"  # often set for another endpoint
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # overlay networks give such addresses to one's own machines
_HOUSE = (".localhost", ".local", ".lan", ".internal", ".home.arpa")


@dataclass(frozen=True)
class Endpoint:
    """Where the teacher is asked."""

    url: str | None
    """With whatever credentials it holds, so it is never shown; none: the library's own."""
    key: str
    loopback: bool


def find_endpoint(settings: TeacherSettings, environment: Mapping[str, str]) -> Endpoint:
    """The endpoint of the settings, and its key from the environment.

    Raises:
        TeacherFault: no url that can be asked, no key where one is needed, or one that would travel in the open.
    """
    url = (settings.url or environment.get(BASE_URL) or "").strip() or None
    parts = urlsplit("https:") if url is None else _parts(url)
    local = url is not None and is_local(parts.hostname or "")
    key = environment.get(settings.key_variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise TeacherFault(
            "not_logged_in",
            f"The environment variable {settings.key_variable} holds characters that no key has.",
            "Set it again, to the key alone.",
        )
    if not key and not local and parts.username is None:
        raise TeacherFault(
            "not_logged_in",
            f"The environment variable {settings.key_variable} holds no key for {shown(url)}.",
            login_hint(settings.key_variable),
        )
    if parts.scheme == "http" and not local and settings.key_variable == _COMMON:
        raise TeacherFault(
            "protocol",
            f"{shown(url)} would be sent the key in {_COMMON} in the open, for all on the way to read.",
            "Use an https address; if this is meant, keep that server's key in a variable of its own: "
            "teacher.key_variable.",
        )
    return Endpoint(url, key or NO_KEY, url is not None and is_loopback(parts.hostname or ""))


def login_hint(variable: str) -> str:
    """What to do about a key that is missing or wrong."""
    return (
        f"Set {variable} to the endpoint's key, or name another variable: teacher.key_variable. "
        "'--teacher local' needs no account."
    )


def no_address() -> TeacherFault:
    """The fault of a ``teacher.url`` that is no address."""
    return TeacherFault(
        "protocol",
        "teacher.url is no http or https address.",
        "It looks like https://host/v1 or http://127.0.0.1:8000/v1.",
    )


def shown(url: str | None) -> str:
    """A url without what may be secret in it: user, password, query."""
    if url is None:
        return "the default endpoint"
    parts = urlsplit(url)
    return f"{parts.scheme}://{host(url)}{parts.path}".rstrip("/")


def without_credentials(url: str) -> str:
    """A url that can be asked without telling anyone who asks."""
    parts = urlsplit(url)
    return parts._replace(netloc=host(url), query="", fragment="").geturl()


def host(url: str) -> str:
    """Host and port of a url."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_loopback(name: str) -> bool:
    """Whether a host is this machine."""
    address = _address(name)
    return name in ("localhost", "") or name.endswith(".localhost") or (address is not None and address.is_loopback)


def is_local(name: str) -> bool:
    """Whether a host is this machine or one of this house, where servers often want no key."""
    name = name.lower()
    if (address := _address(name)) is not None:
        return address.is_loopback or address.is_private or address.is_link_local or address in _SHARED
    return "." not in name or name.endswith(_HOUSE)


def unreachable(error: BaseException, url: str) -> TeacherFault:
    """The fault of a request that got no answer, from its causes."""
    where = shown(url)
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or str(cause)
            return TeacherFault(
                "protocol",
                f"{where} speaks no TLS that can be trusted ({reason}).",
                "A server without TLS has an http address; a certificate of your own is named by SSL_CERT_FILE.",
            )
        if isinstance(cause, socket.gaierror):
            return TeacherFault(
                "transient", f"{where}: no such host is known.", "Check teacher.url and this machine's network."
            )
        if isinstance(cause, ConnectionRefusedError):
            return TeacherFault(
                "transient", f"Nothing listens at {where}.", "Start the server there, or check teacher.url."
            )
    reason = next((text for cause in reversed(causes) if (text := str(cause).strip())), type(error).__name__)
    return TeacherFault("transient", f"{where} gave no answer: {reason[:200]}", "Check teacher.url and the network.")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # a port that is none, a bracket that stays open
        pass
    raise no_address()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, the innermost last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _causes(part)
        error = error.__cause__ or error.__context__
