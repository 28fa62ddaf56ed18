"""Whether the packages are there that this program needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from hegelion_core.doctor import remedies
from hegelion_core.doctor.case import Case
from hegelion_core.doctor.finding import Finding
from hegelion_core.training.tracking import missing_library

DISTRIBUTION = "hegelion-console"
_NAMED = ("mlx-lm", "mlx", "datasets")
Version = Callable[[str], str | None]
"""A package's version, ``None`` if it is not installed."""


def packages(case: Case) -> Finding:
    """What this program's own metadata requires, without extras."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return Finding(
            "packages", "note", f"{DISTRIBUTION} itself is not installed, so what it needs is not known.",
            "Install it: pip install -e . in its folder, or make.",
        )  # fmt: skip
    return judge(required, installed)


def judge(required: Iterable[str], version: Version) -> Finding:
    """The finding about requirements as metadata tells them."""
    needed = list(_needed(required))
    missing = [one for one in needed if version(one.name) is None]
    others = [
        one for one in needed if (have := version(one.name)) and not one.specifier.contains(have, prereleases=True)
    ]
    if missing or others:
        parts = [f"not installed: {_names(missing)}"] if missing else []
        parts += [f"of another version than needed: {one.name} {version(one.name)} ({one.specifier})" for one in others]
        remedy = remedies.install([_asked(one) for one in (*missing, *others)])
        return Finding("packages", "failed", f"{'; '.join(parts)}.", remedy.what, remedy)
    shown = ", ".join(f"{name} {have}" for name in _NAMED if (have := version(name)))
    return Finding("packages", "ok", f"{len(needed)} needed, all installed" + (f" ({shown})" if shown else ""))


def tracker(case: Case) -> Finding | None:
    """The library of ``training.track``, if one is wanted."""
    training = case.settings.training
    if training.track == "none":
        return None
    if not (command := missing_library(training)):
        return Finding("tracker", "ok", f"the library for {training.track} is installed")
    remedy = remedies.install(command.split()[2:])
    return Finding("tracker", "failed", f"The library for {training.track} is not installed.", remedy.what, remedy)


def installed(name: str) -> str | None:
    """A package's version, ``None`` if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _needed(required: Iterable[str]) -> Iterator[Requirement]:
    for text in required:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            yield one


def _names(requirements: Iterable[Requirement]) -> str:
    return ", ".join(one.name for one in requirements)


def _asked(one: Requirement) -> str:
    extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
    return f"{one.name}{extras}{one.specifier}"
