"""Faults of a teacher that end everything, and with which exit code."""

from __future__ import annotations

from collections.abc import Mapping

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.teachers.teacher import FaultKind, TeacherFault

FATAL: Mapping[FaultKind, ExitCode] = {
    "not_logged_in": ExitCode.NOT_READY,
    "terminated": ExitCode.FAILED,
    "balance": ExitCode.FAILED,
}


def as_user_error(fault: TeacherFault) -> UserError:
    """A fault that a run cannot go on from; of whatever is not fatal in itself, a teacher that is not ready."""
    return UserError(fault.message, fault.hint, FATAL.get(fault.kind, ExitCode.NOT_READY))
